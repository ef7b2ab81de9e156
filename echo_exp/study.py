"""A study: a question, and the cells (settings, each with many seeds) whose runs answer it.

Light on purpose: it is read at the start of every command that names a study. What the runs say is
the matter of `echo_exp.report`.
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from echo_exp import config as configuration
from echo_exp.settings import SettingError, choice

LABELS = "labels"

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One point of a study: a run with its replicas.

    Attributes:
        settings: What it changes in the default configuration.
        labels: What the study calls it beyond its settings, such as the task.
    """

    settings: Values
    labels: Values

    @property
    def attributes(self) -> dict[str, Any]:
        """The labels and settings by which cells are compared and drawn."""
        return {**self.labels, **self.settings}

    @property
    def overrides(self) -> list[str]:
        """The settings as on a command line: `echo-exp` with them repeats the cell."""
        return [f"{key}={word(value)}" for key, value in self.settings.items()]


@dataclass(frozen=True)
class Study:
    """What a study asks, and how its cells answer.

    Attributes:
        name: Its MLflow experiment is ``study/<name>``.
        question: What is to be found out.
        expectation: What the tutorial's author, or somebody else, expects.
        compare: The setting or label whose values are compared, all else being equal.
        scales: For each scale its grids: mappings of settings to a value or a list of values. The
            key ``labels`` of a grid holds a mapping of labels.
        scale: Which of the scales is run.
        metric: The skill that is compared, by its name in MLflow.
        also: Further metrics that are compared.
        panel: The setting or label that each have a panel of the figures.
        x: The setting on the horizontal axis of the figures.
        select: Settings of which only the values with the best validation are compared.
        law: The settings on whose powers the epochs until an accuracy are fitted to depend.
    """

    name: str
    question: str
    compare: str
    scales: Mapping[str, Sequence[Values]]
    expectation: str = ""
    scale: str = "full"
    metric: str = "test/accuracy"
    also: Sequence[str] = ()
    panel: str | None = None
    x: str | None = None
    select: Sequence[str] = ()
    law: Sequence[str] = ()
    cells: Sequence[Cell] = field(init=False, default=())

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and re.fullmatch(r"\w+", self.name)):
            raise SettingError("study.name", self.name, "it must be letters, digits and _")
        if not self.scales:
            raise SettingError("study.scales", self.scales, "it must name at least one scale")
        choice("study.scale", self.scale, list(self.scales))
        cells = [cell for grid in self.scales[self.scale] or () for cell in _expand(grid)]
        if not cells:
            key = f"study.scales.{self.scale}"
            raise SettingError(key, self.scales[self.scale], "it must hold at least one cell")
        object.__setattr__(self, "cells", tuple(cells))
        for key in ("compare", "panel", "x"):
            self._check_attribute(f"study.{key}", getattr(self, key))
        for key in ("select", "law"):
            for name in getattr(self, key):
                self._check_attribute(f"study.{key}", name)

    def _check_attribute(self, key: str, name: str | None) -> None:
        for cell in self.cells:
            if name is not None and name not in cell.attributes:
                reason = f"every cell must have it; one has only {', '.join(cell.attributes)}"
                raise SettingError(key, name, reason)


def read(config: DictConfig) -> Study:
    """Reads the study of a composed configuration.

    Raises:
        SettingError: There is none, or a key of it is unknown, missing or not allowed.
    """
    if config.get(configuration.STUDY) is None:
        raise SettingError(configuration.STUDY, None, "it must name a study")
    node = OmegaConf.to_container(config.study, resolve=True)
    assert isinstance(node, dict)
    fields = {f.name: f for f in dataclasses.fields(Study) if f.init}
    for key, value in node.items():
        if key not in fields:
            known = [f"study.{name}" for name in fields]
            raise configuration.unknown(f"study.{key!s}", value, known)
    for name, f in fields.items():
        if f.default is dataclasses.MISSING and node.get(name) is None:
            raise SettingError(f"study.{name}", None, "a study needs it")
    return Study(**cast("dict[str, Any]", node))


def _expand(grid: Any) -> list[Cell]:
    if not isinstance(grid, Mapping):
        raise SettingError("study.scales", grid, "a grid must be a mapping of settings to values")
    labels = grid.get(LABELS, {})
    axes = {
        str(key): value if isinstance(value, list) else [value]
        for key, value in grid.items()
        if key != LABELS
    }
    for key, values in axes.items():
        if not values:
            raise SettingError("study.scales", f"{key}: []", "a setting needs at least one value")
    return [
        Cell(dict(zip(axes, values, strict=True)), labels)
        for values in itertools.product(*axes.values())
    ]


def job_overrides(cell: Cell, arguments: Sequence[str]) -> list[str]:
    """Returns the command line of a cell's job.

    Args:
        cell: The cell.
        arguments: What the user gave; it goes before the cell's own settings.

    Raises:
        SettingError: An argument has several values.
    """
    given: dict[str, str] = {}
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        key = override.get_key_element()
        if override.is_sweep_override():
            value = (override.input_line or "").partition("=")[2]
            raise SettingError(key, value, "a study has its own cells: give one value")
        if key.split(".")[0] != configuration.STUDY:
            given[key] = override.input_line or ""
    own = [override for override in cell.overrides if override.split("=")[0] not in given]
    return [*own, *given.values()]


def compose_cell(cell: Cell, arguments: Sequence[str]) -> DictConfig:
    """Returns the checked configuration of a cell.

    Raises:
        SettingError: A setting is unknown or has a value that is not allowed.
    """
    composed = compose("config", job_overrides(cell, arguments))
    configuration.read(composed)
    return composed


def word(value: Any) -> str:
    """Returns a value as it is written on a command line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)
