"""Prevents a stored configuration from running code on the machine that reads it."""

from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from echo_exp.configuration.groups import FOLDER, GROUPS, TARGET
from echo_exp.settings import SettingError

Target = tuple[str, str]
"""A setting ``<group>._target_`` and what it names."""


def check(
    stored: DictConfig,
    trusted: Collection[Target],
    asked: tuple[str, str],
    by_name: bool = False,
) -> None:
    """Refuses a configuration that would call unknown names, or look up anything.

    Args:
        stored: The configuration, from the store.
        trusted: Further names that it may call, besides those of the options of each group.
        asked: The setting that names the run, and its value.
        by_name: Whether the setting ``trust`` can name what may be called.

    Raises:
        SettingError: It would call or look up something else.
    """
    known = offered() | set(trusted)
    for _, value in _leaves(OmegaConf.to_container(stored)):
        if isinstance(value, str) and "${" in value:
            raise SettingError(*asked, f"the run's stored configuration would look up {value}")
    foreign = sorted({str(name) for key, name in targets(stored) if (key, name) not in known})
    if foreign:
        names = ", ".join(foreign)
        be = "are" if foreign[1:] else "is"
        reason = (
            f"the run's stored configuration would call {names}, which {be} not part of echo_exp"
        )
        every = ",".join(sorted({*foreign, *(name for _, name in trusted)}))
        hint = f"; if you trust that, add trust=[{every}]"
        raise SettingError(*asked, reason + hint if by_name else reason)


@cache
def offered() -> frozenset[Target]:
    """Returns the names that the options of each group call, with their ``<group>._target_``."""
    found = set()
    for group in GROUPS:
        for path in (FOLDER / group).glob("*.yaml"):
            node = OmegaConf.load(path)
            if isinstance(node, DictConfig):
                node = node.get(group, node)  # an option may set more than its group
            if isinstance(node, DictConfig) and TARGET in node:
                found.add((f"{group}.{TARGET}", str(node[TARGET])))
    return frozenset(found)


def targets(config: DictConfig) -> set[Target]:
    """Returns the names that a configuration calls, with their ``<group>._target_``."""
    leaves = _leaves(OmegaConf.to_container(config))
    return {(key, value) for key, value in leaves if _names_target(key)}


def _names_target(key: str) -> bool:
    return key.endswith(f".{TARGET}")


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every value with its dotted key; those in a list have the key of the list."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, key)
    else:
        yield key, node
