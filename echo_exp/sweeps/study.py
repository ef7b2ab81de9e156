"""A study: a question, and the cells (settings, each with many seeds) whose runs answer it.

It imports little on purpose, because every command that names a study imports it at its start.
`echo_exp.reports` evaluates the runs.
"""

import dataclasses
import hashlib
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration
from echo_exp.settings import SettingError, choice, word
from echo_exp.sweeps.composition import compose_all

CELLS = "cells"
"""The tag that tells the cells of a parent run: the same cells have the same value."""
LABELS = "labels"
LISTS = ("also", "select", "law")
PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
OTHERS = ("null", "true", "false", "nan", "inf")
"""Words that Hydra does not read as strings."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One point of a study: a run with its replicas.

    Attributes:
        settings: What it changes in the default configuration.
        labels: Names that the study gives it besides its settings, such as that of its task.
        given: The user's overrides from the command line, by their settings; they take precedence
            over the cell's own settings.
    """

    settings: Values
    labels: Values
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, Any]:
        """The labels and settings by which cells are compared and drawn."""
        return {**self.labels, **self.settings}

    @property
    def overrides(self) -> list[str]:
        """The overrides of the cell: `echo-exp` with them repeats it."""
        settings = [f"{k}={quoted(v)}" for k, v in self.settings.items() if k not in self.given]
        return [*settings, *self.given.values()]


@dataclass(frozen=True)
class Wanted:
    """A cell whose runs are looked for.

    Attributes:
        cell: The cell.
        epochs: How many epochs each seed is trained for.
        seeds: Its seeds.
        fingerprint: The fingerprint of a run with all of its seeds.
        repeats: The same without the seeds.
    """

    cell: Cell
    epochs: int
    seeds: range
    fingerprint: str
    repeats: str


@dataclass(frozen=True)
class Study:
    """A study: its question, its cells, and how their runs are compared.

    Attributes:
        name: Its MLflow experiment is ``study/<name>``.
        question: What it is to find out.
        expectation: What the tutorial's author, or somebody else, expects.
        compare: The setting or label whose values are compared, all else being equal.
        scales: The grids of each scale, the smallest scale first. A grid maps settings to a value
            or a list of values; its key ``labels`` holds a mapping of labels.
        scale: The scale that is run.
        metric: The metric that is compared, by its name in MLflow.
        also: Further metrics that are compared.
        panel: The setting or label each of whose values has a panel of the figures.
        x: The setting or label on the horizontal axis of the figures.
        select: Settings of which only the value with the best validation is compared.
        law: Settings of a power law: the epochs until an accuracy is reached are fitted as a
            product of their powers.
        tasks: The setting or label of ``panel`` or ``x`` whose values are tasks: the scores of each
            compared value are also aggregated over them.
        span: The numeric setting or label whose largest value that is still learnt is reported.
        lengths: The metric that is shown over the lengths of the test (`problem.test_lengths`).
        arguments: The user's overrides from the command line, without those that name the study.
        cells: The cells of the scale.

    Raises:
        SettingError: A key or an argument is not allowed.
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
    tasks: str | None = None
    span: str | None = None
    lengths: str | None = None
    arguments: Sequence[str] = ()
    cells: Sequence[Cell] = field(init=False, default=())

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and re.fullmatch(r"\w+", self.name)):
            raise SettingError("study.name", self.name, "it must be letters, digits and _")
        if not self.scales:
            raise SettingError("study.scales", self.scales, "it must name at least one scale")
        choice("study.scale", self.scale, list(self.scales))
        for key in LISTS:
            names = getattr(self, key) or ()
            if isinstance(names, str) or not all(isinstance(name, str) for name in names):
                raise SettingError(f"study.{key}", names, "it must be a list of names")
            object.__setattr__(self, key, tuple(names))
        object.__setattr__(self, "cells", tuple(self._cells()))
        for key in ("compare", "panel", "x", "span"):
            self._check_attribute(f"study.{key}", getattr(self, key))
        for key in ("select", "law"):
            for name in getattr(self, key):
                self._check_attribute(f"study.{key}", name)
        self._check_extras()
        self._check_places()

    @property
    def command(self) -> str:
        """The arguments that name this study for `echo-exp` and `echo-exp-report`."""
        measured = configuration.measured(self.arguments)
        named = [f"study={self.name}", f"study.scale={self.scale}"]
        return shlex.join([*configuration.flags(), *named, *measured])

    @property
    def by_size(self) -> tuple[str, ...]:
        """The scales in the order in which a report looks for runs.

        Its own scale comes first, then the others from the largest to the smallest.
        """
        return (self.scale, *(name for name in reversed(list(self.scales)) if name != self.scale))

    @property
    def axes(self) -> tuple[str, ...]:
        """The settings and labels in which cells differ: panel, x, compared and selected ones."""
        return tuple(name for name in (self.panel, self.x, self.compare, *self.select) if name)

    @property
    def group(self) -> str | None:
        """The one of panel and x that is not the tasks; each of its values is aggregated alone."""
        others = [name for name in (self.panel, self.x) if name and name != self.tasks]
        return others[0] if self.tasks and others else None

    @property
    def comparisons(self) -> list[tuple[int, int]]:
        """The numbers of the cells that are compared: the first of each panel and x, and another.

        Of cells that differ only in what is selected, it has the first.
        """
        where = [name for name in (self.panel, self.x) if name]
        cells: dict[str, int] = {}
        first: dict[str, int] = {}
        for number, cell in enumerate(self.cells):
            cells.setdefault(_place(cell, [*where, self.compare]), number)
            first.setdefault(_place(cell, where), number)
        pairs = [(first[_place(self.cells[number], where)], number) for number in cells.values()]
        return [(reference, other) for reference, other in pairs if reference != other]

    @property
    def columns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The metrics and settings that MLflow's table of its runs shows."""
        settings = [name for name in self.axes if all(name in cell.settings for cell in self.cells)]
        return (
            (self.metric, *self.also, "epochs_to_solve"),
            tuple(dict.fromkeys([*settings, "model", "epochs", "replicas"])),
        )

    def _cells(self) -> list[Cell]:
        given = self._given()
        grids = self.scales[self.scale] or ()
        if isinstance(grids, str | Mapping):
            reason = "it must be a list of grids: each begins with a hyphen"
            raise SettingError(f"study.scales.{self.scale}", grids, reason)
        cells = [cell for grid in grids for cell in _expand(grid, given)]
        if not cells:
            key = f"study.scales.{self.scale}"
            raise SettingError(key, self.scales[self.scale], "it must hold at least one cell")
        return cells

    def _given(self) -> dict[str, Override]:
        """Returns the user's overrides, by the names of the settings."""
        given: dict[str, Override] = {}
        for override in OverridesParser.create().parse_overrides(list(self.arguments)):
            key = override.get_key_element().lstrip("+~")
            line = override.input_line or ""
            value = line.partition("=")[2]
            if override.is_sweep_override():
                raise SettingError(key, value, "a study defines its own cells; give a single value")
            if key in (*self.axes, *self.law):
                raise SettingError(key, value, f"study {self.name} distinguishes its cells by it")
            given[key] = override
        return given

    def _check_attribute(self, key: str, name: str | None) -> None:
        for cell in self.cells:
            if name is not None and name not in cell.attributes:
                reason = f"every cell must have it; one has only {', '.join(cell.attributes)}"
                raise SettingError(key, name, reason)

    def _check_extras(self) -> None:
        """Checks the keys that ask for more in the report than comparisons."""
        for name in self.law:
            self._check_numbers("study.law", name)
        if self.span is not None:
            self._check_numbers("study.span", self.span)
        if self.tasks is not None:
            choice("study.tasks", self.tasks, [name for name in (self.panel, self.x) if name])

    def _check_numbers(self, key: str, name: str) -> None:
        for cell in self.cells:
            value = cell.attributes[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                reason = f"its values must be numbers above 0; one is {word(value)}"
                raise SettingError(key, name, reason)

    def _check_places(self) -> None:
        places: set[str] = set()
        for cell in self.cells:
            place = _place(cell, self.axes)
            if place in places:
                reason = f"two cells have {place}: they must differ in what is compared or selected"
                raise SettingError("study.scales", self.scale, reason)
            places.add(place)


def read(config: DictConfig, arguments: Sequence[str] = ()) -> Study:
    """Reads the study of a composed configuration.

    Args:
        config: The configuration.
        arguments: The user's overrides from the command line.

    Raises:
        SettingError: No study is named, one of its keys is unknown, missing or not allowed, or an
            argument is not allowed.
    """
    if config.get(configuration.STUDY) is None:
        raise SettingError(configuration.STUDY, None, "it must name a study")
    node = OmegaConf.to_container(config.study, resolve=True)
    assert isinstance(node, dict)
    fields = {f.name: f for f in dataclasses.fields(Study) if f.init and f.name != "arguments"}
    for key, value in node.items():
        if key not in fields:
            known = [f"study.{name}" for name in fields]
            raise configuration.unknown(f"study.{key!s}", value, known)
    for name, f in fields.items():
        if f.default is dataclasses.MISSING and node.get(name) is None:
            raise SettingError(f"study.{name}", None, "a study needs it")
    others = [a for a in arguments if not re.match(rf"[+~]*{configuration.STUDY}\b", a)]
    return Study(**cast("dict[str, Any]", node), arguments=others)


def _place(cell: Cell, names: Iterable[str]) -> str:
    """Returns the values of some of a cell's attributes, in words."""
    return ", ".join(f"{name} {word(cell.attributes[name])}" for name in names)


def _expand(grid: Any, given: Mapping[str, Override]) -> list[Cell]:
    if not isinstance(grid, Mapping):
        raise SettingError("study.scales", grid, "a grid must be a mapping of settings to values")
    labels = grid.get(LABELS) or {}
    if not isinstance(labels, Mapping) or any(isinstance(v, list | dict) for v in labels.values()):
        raise SettingError("study.scales", labels, "labels must be a mapping of names to one value")
    axes = [_axis(str(key), value, given) for key, value in grid.items() if key != LABELS]
    lines = {key: override.input_line or "" for key, override in given.items()}
    return [_cell(places, labels, lines) for places in itertools.product(*axes)]


def _axis(key: str, values: Any, given: Mapping[str, Override]) -> list[dict[str, Any]]:
    """Returns the settings for each value of a key, which may name several settings at once."""
    names = [name.strip() for name in key.split(",")]
    rows = values if isinstance(values, list) else [values]
    if not rows:
        raise SettingError("study.scales", f"{key}: []", "a setting needs at least one value")
    if len(names) == 1:
        rows = [[row] for row in ([given[key].value()] if key in given else rows)]
    for row in rows:
        if not (isinstance(row, list) and len(row) == len(names)):
            reason = f"each of its values must be a list of {len(names)}, one for each name"
            raise SettingError("study.scales", f"{key}: {word(row)}", reason)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _cell(
    places: Iterable[Mapping[str, Any]], labels: Mapping[str, Any], lines: Mapping[str, str]
) -> Cell:
    """Returns the cell with these values; names that begin with ``labels.`` are labels."""
    every = {name: value for place in places for name, value in place.items()}
    prefix = f"{LABELS}."
    named = {name.removeprefix(prefix): v for name, v in every.items() if name.startswith(prefix)}
    settings = {name: value for name, value in every.items() if not name.startswith(prefix)}
    return Cell(settings, {**labels, **named}, lines)


def composed(cells: Iterable[Cell]) -> Iterator[DictConfig]:
    """Yields the checked configuration of each cell.

    Args:
        cells: The cells.

    Raises:
        SettingError: A setting is unknown or has a value that is not allowed.
    """
    for _, config in compose_all(cell.overrides for cell in cells):
        check(configuration.read(config))
        yield config


def wanted(cells: Sequence[Cell]) -> list[Wanted]:
    """Returns what the runs of some cells are found by.

    Args:
        cells: The cells.

    Raises:
        SettingError: A setting is unknown or has a value that is not allowed.
    """
    return [_wanted(cell, config) for cell, config in zip(cells, composed(cells), strict=True)]


def _wanted(cell: Cell, config: DictConfig) -> Wanted:
    seeds = range(config.seed, config.seed + config.replicas)
    found = configuration.fingerprints(config)
    return Wanted(cell, int(config.epochs), seeds, found.whole, found.repeats)


def cells_mark(fingerprints: Iterable[str]) -> str:
    """Returns the tag `CELLS` of a study.

    Args:
        fingerprints: The fingerprints of its cells.
    """
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()[:16]


def check(settings: configuration.Settings) -> None:
    """Checks that the runs of a cell have a validation, which the report of a study needs.

    Args:
        settings: The cell's checked settings.

    Raises:
        SettingError: They have none.
    """
    every, epochs = settings.trainer.validate_every, settings.epochs
    if not settings.trainer.validates(epochs):
        reason = f"a study compares validations, and there is none in {epochs:,} epochs"
        raise SettingError("trainer.validate_every", every, reason)


def lines(params: Values) -> list[str]:
    """Returns settings that stand in YAML as overrides.

    Args:
        params: The settings with their values; a text is taken as the value of the override as is.
    """
    return [f"{k}={v if isinstance(v, str) else quoted(v)}" for k, v in params.items()]


def quoted(value: Any) -> str:
    """Returns a value as it must be written in an override.

    Args:
        value: A scalar, a list or a mapping.
    """
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{quoted(k)}: {quoted(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(quoted, value))}]"
    if isinstance(value, str) and not (PLAIN.fullmatch(value) and value.lower() not in OTHERS):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return word(value)
