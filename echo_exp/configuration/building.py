"""Builds the object that a group of the configuration names."""

import difflib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from echo_exp.configuration.groups import TARGET
from echo_exp.settings import SettingError

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def build(node: DictConfig, key: str, **runtime: Any) -> Any:
    """Builds the object that a group's ``_target_`` names from the settings beside it.

    Lists and mappings among the settings are passed as Python's own.

    Args:
        node: The group's configuration.
        key: The group's name, for messages.
        runtime: Further arguments, which are not settings.

    Returns:
        The object, or its factory if the group has ``_partial_``.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    target, parameters = node.get(TARGET), _parameters(node, key)
    settings = [str(name) for name in node if name not in (TARGET, "_partial_")]
    kinds = {name: parameter.kind for name, parameter in parameters.items()}
    allowed = [name for name in parameters if name not in runtime and kinds[name] not in VARIADIC]
    for name in settings:
        if name not in allowed and inspect.Parameter.VAR_KEYWORD not in kinds.values():
            raise unknown(f"{key}.{name}", node[name], [f"{key}.{name}" for name in allowed])
    for name in allowed:
        required = parameters[name].default is inspect.Parameter.empty
        if required and name not in settings and not node.get("_partial_"):
            raise SettingError(f"{key}.{name}", None, f"{target} needs it")
    try:
        return instantiate(node, _convert_="all", **runtime)
    except InstantiationException as error:
        raise error.__cause__ or error from None


def takes(node: DictConfig, key: str, name: str) -> bool:
    """Returns whether the class that a group's ``_target_`` names has an argument of this name.

    Args:
        node: The group's configuration.
        key: The group's name, for messages.
        name: Name of the argument.

    Raises:
        SettingError: ``_target_`` names nothing callable.
    """
    return name in _parameters(node, key)


def _parameters(node: DictConfig, key: str) -> Mapping[str, inspect.Parameter]:
    target = node.get(TARGET)
    try:
        return inspect.signature(pkgutil.resolve_name(target)).parameters
    except Exception as error:
        reason = f"it must be the import path of a callable ({error})"
        raise SettingError(f"{key}.{TARGET}", target, reason) from error


def unknown(key: str, value: Any, known: Iterable[str]) -> SettingError:
    """Returns the error for an unknown setting, which suggests the most similar known one.

    Args:
        key: Name of the setting.
        value: Its value.
        known: Names of the settings that exist.
    """
    known = list(known)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "there are " + ", ".join(sorted(known))
    return SettingError(key, value, f"there is no such setting; {hint}")
