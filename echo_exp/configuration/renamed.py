"""Adapts configurations of earlier versions: classes were renamed and settings were added."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from echo_exp import MOVED
from echo_exp.configuration.groups import TARGET
from echo_exp.training.settings import AUTO

CLASSES = {"echo_exp.task.problem.Problem": "echo_exp.task.echo.EchoProblem"}
"""Classes that were renamed, with their current names."""
ADDED = {
    "problem.offset": 0,
    "problem.order": "forward",
    "problem.train_lengths": [],
    "problem.test_lengths": [],
    "model.forget_bias": 1,
    "model.chrono": None,
    "model.decoder_forget_bias": 1,
    "model.decoder_chrono": None,
    "optimizer.schedule": "constant",
    "optimizer.warmup": 0,
    "trainer.clip_norm": None,
}
"""Settings that earlier configurations lack, with the values that keep the earlier behaviour."""
REPLACED = {"trainer.threads": (AUTO, 1)}
"""Values that do the same as an earlier one, within rounding: today's and the earlier one."""


def renamed(config: DictConfig | ListConfig) -> DictConfig:
    """Returns a configuration with the current name of each ``_target_``."""
    found = OmegaConf.create(_renamed(OmegaConf.to_container(config)))
    assert isinstance(found, DictConfig)
    return found


def _renamed(node: Any, key: str = "") -> Any:
    if isinstance(node, dict):
        return {name: _renamed(value, str(name)) for name, value in node.items()}
    if isinstance(node, list):
        return [_renamed(value) for value in node]
    return current(node) if key == TARGET and isinstance(node, str) else node


def current(name: str) -> str:
    """Returns the current dotted name of a class."""
    package, _, rest = name.partition(".")
    module, _, inner = rest.partition(".")
    if package == "echo_exp" and module in MOVED:
        name = f"{package}.{MOVED[module]}.{inner}"
    return CLASSES.get(name, name)


def as_first_written(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns flat settings as an earlier version would have written them, as far as possible."""
    before = {today: name for name, today in CLASSES.items()}
    replaced = {key: old for key, (today, old) in REPLACED.items() if settings.get(key) == today}
    return {
        key: before.get(value, value) if key.endswith(f".{TARGET}") else replaced.get(key, value)
        for key, value in settings.items()
        if key not in ADDED or value != ADDED[key]
    }
