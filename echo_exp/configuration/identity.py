"""Tells configurations apart: fingerprints, differences, and parameters worth comparing."""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from echo_exp.configuration.groups import CALLBACKS, LAUNCH, TARGET, WHOLE
from echo_exp.configuration.renamed import ADDED, as_first_written
from echo_exp.configuration.swept import REPETITIONS, setting
from echo_exp.settings import is_number
from echo_exp.training.schedule import CONSTANT, needs_end

INCIDENTAL = (
    "resume",
    "output_dir",
    "inspect",
    "sweep",
    "export",
    "tracking",
    "trainer.progress",
    "trainer.checkpoint_seconds",
)
"""Settings that do not affect what is measured."""


BESIDE = ("hydra", *WHOLE)
"""What a composed configuration has beside the settings of a run."""


def measured(overrides: Iterable[str]) -> list[str]:
    """Returns the overrides whose settings may affect a result."""
    return [o for o in overrides if not _incidental(o.lstrip("+~").split("=")[0])]


def _incidental(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in (*INCIDENTAL, LAUNCH))


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Returns a nested configuration as one level of dotted keys.

    Args:
        config: The configuration, or one value.
        prefix: The dotted key of ``config`` itself.
    """
    if not isinstance(config, Mapping | DictConfig):
        return {prefix: config}
    return {
        key: value
        for name, node in config.items()
        for key, value in flat(node, f"{prefix}.{name}" if prefix else str(name)).items()
    }


def _measured(config: Any) -> dict[str, Any]:
    """Returns the settings that may affect a result, flat."""
    return {key: value for key, value in flat(config).items() if not _incidental(key)}


def parameters(config: DictConfig) -> dict[str, Any]:
    """Returns the parameters worth comparing between runs: each group's class and its arguments."""
    groups = ("problem", "model", "representation", "missing", "optimizer")
    chosen = {group: class_of(config, group) for group in groups}
    rest = {key: value for key, value in _measured(config).items() if "._" not in key}
    return chosen | rest


def class_of(config: DictConfig, group: str) -> str:
    """Returns the name of the class that a group names."""
    return str(config[group]._target_.rsplit(".", 1)[-1])


def problem_kind(config: DictConfig) -> str:
    """Returns the kind of a run's problem: the name of its class in words, ``delayed echo``."""
    name = class_of(config, "problem").removesuffix("Problem")
    return re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower()


def stack_settings(config: DictConfig) -> dict[str, Any]:
    """Returns the settings in which the runs of a stack may differ, by dotted keys.

    They change neither a tensor's shape nor the order of operations: the seeds, the epochs, and the
    numbers of the optimizer.
    """
    resolved = OmegaConf.to_container(config, resolve=True)
    return {key: value for key, value in flat(resolved).items() if _stacks(key, value)}


def stack_key(config: DictConfig) -> str:
    """Returns a hash of all other settings: runs with the same hash can form a stack.

    It is empty for a run with callbacks, which must be trained alone: its callbacks would see the
    training of the whole stack.
    """
    if config.get(CALLBACKS):
        return ""
    every = flat(OmegaConf.to_container(config, resolve=True))
    others = {key: value for key, value in every.items() if not _stacks(key, value)}
    return _hash(others | {"kept": sorted(every.keys() - others.keys())})


def _stacks(key: str, value: Any) -> bool:
    number = key.startswith("optimizer.") and is_number(value)
    return key in ("seed", "replicas", "epochs") or number


@dataclass(frozen=True)
class Fingerprints:
    """Hashes of the settings that may affect a result.

    A run of an earlier version has the same fingerprint as a run with the same settings today.

    Attributes:
        whole: The hash of all of them.
        longer: Without the epochs: equal for runs of which a longer one begins exactly as a shorter
            one does. Equal to ``whole`` if the epochs determine how a run begins.
        repeats: Without the seeds: equal for runs that repeat each other.
    """

    whole: str
    longer: str
    repeats: str


def fingerprints(config: DictConfig) -> Fingerprints:
    """Returns the fingerprints of a configuration."""
    every = as_first_written(_measured(OmegaConf.to_container(config, resolve=True)))
    epochs = ("epochs",) if can_grow(config) else ()
    return Fingerprints(*(_hash(every, but) for but in ((), epochs, REPETITIONS)))


def fingerprint(config: DictConfig) -> str:
    """Returns a hash of all settings that may affect a result."""
    return fingerprints(config).whole


def _hash(settings: Mapping[str, Any], but: Collection[str] = ()) -> str:
    kept = {key: value for key, value in settings.items() if key not in but}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def can_grow(config: DictConfig) -> bool:
    """Returns whether a run with more epochs starts with the same updates as this one.

    It does not if the learning rate depends on the number of epochs.
    """
    return not needs_end(
        config.optimizer.get("schedule", CONSTANT)
    )  # configurations of earlier versions lack it


def set_apart(first: DictConfig, second: DictConfig) -> list[str]:
    """Returns the groups and settings that may affect a result and differ, not yet resolved.

    Args:
        first: A configuration.
        second: Another one.
    """
    one, other = (
        {key: value for key, value in _measured(found).items() if _top(key) not in BESIDE}
        for found in (OmegaConf.to_container(each) for each in (first, second))
    )
    keys = sorted(
        key
        for key in one.keys() | other.keys()
        if (key in one, one.get(key)) != (key in other, other.get(key))
    )
    groups = {_top(key) for key in keys if key.endswith(f".{TARGET}")}
    return list(dict.fromkeys(_top(key) if _top(key) in groups else key for key in keys))


def _top(key: str) -> str:
    return key.partition(".")[0]


def differences(stored: DictConfig, given: DictConfig, overrides: Iterable[str]) -> dict[str, str]:
    """Returns the settings named by ``overrides`` whose value differs from that of a stored run.

    A setting that did not exist when the run was stored counts as having its default there.

    Args:
        stored: The configuration of the stored run.
        given: The configuration given now.
        overrides: Overrides on the command line; ``experiment`` names all settings.

    Returns:
        The difference in words, by the setting's name.
    """
    before, now = ADDED | _measured(stored), ADDED | _measured(given)
    named = [setting(override.partition("=")[0]) for override in overrides]
    everything = "experiment" in named
    return {
        key: f"{key} is {now.get(key)} here and {before.get(key)} there"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
        and (everything or any(key == name or key.startswith(f"{name}.") for name in named))
    }
