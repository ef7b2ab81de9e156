"""Checks the settings of a composed configuration; imports nothing heavy."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from echo_exp.configuration.building import build, unknown
from echo_exp.configuration.groups import CALLBACKS, FOLDER, GROUPS, ROOT
from echo_exp.configuration.identity import flat
from echo_exp.configuration.problem_and_network import problem
from echo_exp.settings import SettingError, choice, integer
from echo_exp.task.missing import Missing
from echo_exp.task.problem import (
    LENGTHS,
    Problem,
    WithLengths,
    at_lengths,
    check_batch_size,
    check_lengths,
    check_stateful,
)
from echo_exp.tracking import TrackingSettings
from echo_exp.training.settings import TrainerSettings

AUTO = "auto"
"""`export=auto`: every run stores its model, except a job of a sweep."""
MOST_REPLICAS = 1_000_000
PRE = "pre"
"""The padding of a network that answers while it reads, but only in the last timesteps."""


@dataclass(frozen=True)
class Settings:
    """The settings that can be checked without torch.

    Attributes:
        problem: What is to be learned.
        missing: What is done with missing values.
        trainer: The trainer's settings.
        seeds: One seed per replica (R of them), from ``seed`` on.
        epochs: Tutorial epochs.
        batch_size: Windows per update.
        output_dir: Where everything is written.
        inspect: Whether to inspect the network after its training.
    """

    problem: Problem
    missing: Missing
    trainer: TrainerSettings
    seeds: Sequence[int]
    epochs: int
    batch_size: int
    output_dir: Path
    inspect: bool


def read(config: DictConfig) -> Settings:
    """Checks a composed configuration as far as that is possible without torch.

    Args:
        config: The configuration; its interpolations are resolved in place.

    Returns:
        Its checked settings.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    _resolve(config)
    for key in config:
        if key not in GROUPS + ROOT:
            raise unknown(str(key), config[key], GROUPS + ROOT)
    for group in GROUPS:
        if not isinstance(config.get(group), DictConfig):
            raise SettingError(group, config.get(group), "it must name an option of this group")
    choice(
        "export", config.get("export", AUTO), (True, False, AUTO)
    )  # configurations of earlier versions lack it
    callbacks(config)
    missing = build(config.missing, "missing")
    task = problem(config)
    if isinstance(task, WithLengths):
        for name in LENGTHS:
            check_lengths(task, name)
    others = [each for name in LENGTHS for each in at_lengths(task, name).values()]
    for variant in (task, *others):
        _check_network(variant, config.model)
    choice("inspect", config.get("inspect", False), (True, False))
    replicas = integer("replicas", config.get("replicas"), 1, MOST_REPLICAS)
    seed = integer("seed", config.get("seed"), 0, 2**63 - replicas)
    return Settings(
        problem=task,
        missing=missing,
        trainer=build(config.trainer, "trainer"),
        seeds=range(seed, seed + replicas),
        epochs=integer("epochs", config.get("epochs"), 1),
        batch_size=check_batch_size(task, config.get("batch_size")),
        output_dir=Path(str(config.output_dir)),
        inspect=config.get("inspect", False),
    )


def _check_network(task: Problem, model: DictConfig) -> None:
    """Refuses a network that answers too early, or carries state between independent windows."""
    check_stateful(task, model.get("stateful"))
    if "padding" not in model:  # it answers after reading the whole window
        return
    last = task.n_in - task.n_out
    begin = last if model.padding == PRE else 0
    early = [n for n, due in enumerate(task.due) if begin + n < due]
    if early:
        n, way = early[0], "a network that reads the whole window first, as encoder_decoder does"
        if all(last + n >= due for n, due in enumerate(task.due)):
            way = f"model=seq2seq_last, or {way}"
        raise SettingError(
            "model.padding",
            model.padding,
            f"answer {n + 1} would come at timestep {begin + n + 1} of {task.n_in}, but may only "
            f"come from timestep {task.due[n] + 1} on: use {way}",
        )


def exports(config: DictConfig) -> bool:
    """Returns whether a run stores its network as an MLflow model."""
    return bool("job" not in config.sweep if config.export == AUTO else config.export)


def check_keys(config: DictConfig, settings: str) -> None:
    """Checks that a command's settings are those that its file declares.

    Args:
        config: The composed settings.
        settings: Name of the file in ``conf``.

    Raises:
        SettingError: One is not declared, or one was removed.
    """
    file = OmegaConf.load(FOLDER / f"{settings}.yaml")
    known = ["tracking", *(str(key) for key in file if key not in ("defaults", "hydra"))]
    for key, value in config.items():
        if key not in known:
            raise unknown(str(key), value, known)
    for key in known:
        if key not in config:
            reason = f"~{key} would remove a setting that this command needs"
            raise SettingError(key, None, reason)


def callbacks(config: DictConfig) -> dict[str, DictConfig]:
    """Returns the settings of each of the user's callbacks, by its name.

    Raises:
        SettingError: The callbacks, or the settings of one, are not a mapping.
    """
    named = config.get(CALLBACKS, {})  # configurations of earlier versions lack it
    if not isinstance(named, Mapping | DictConfig):
        reason = "it must be a mapping of a name to a _target_ and its arguments"
        raise SettingError(CALLBACKS, named, reason)
    for name, node in named.items():
        if not isinstance(node, DictConfig):
            reason = "it must be a mapping with a _target_"
            raise SettingError(f"{CALLBACKS}.{name}", node, reason)
    return {str(name): node for name, node in named.items()}


def tracking(config: DictConfig) -> TrackingSettings:
    """Returns the settings of ``tracking``.

    Raises:
        SettingError: One is unknown or has a value that is not allowed.
    """
    settings = {str(key): value for key, value in config.tracking.items()}
    known = [field.name for field in dataclasses.fields(TrackingSettings)]
    for name, value in settings.items():
        if name not in known:
            raise unknown(f"tracking.{name}", value, [f"tracking.{name}" for name in known])
    return TrackingSettings(**settings)


def _resolve(config: DictConfig) -> None:
    for key, value in flat(OmegaConf.to_container(config, resolve=False)).items():
        try:
            OmegaConf.select(config, key)
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            raise SettingError(key, value, f"it cannot be resolved ({reason})") from error
    OmegaConf.resolve(config)
