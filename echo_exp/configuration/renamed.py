"""Has a configuration of an earlier version name classes where they are today."""

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from echo_exp import MOVED
from echo_exp.configuration.groups import TARGET


def renamed(config: DictConfig | ListConfig) -> DictConfig:
    """Returns a configuration with each ``_target_`` where it is today."""
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
    """Returns the dotted name of a class as it is today."""
    package, _, rest = name.partition(".")
    module, _, inner = rest.partition(".")
    return (
        f"{package}.{MOVED[module]}.{inner}" if package == "echo_exp" and module in MOVED else name
    )
