"""Turns an error into one message and an exit code."""

import contextlib
import difflib
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.initialize import initialize_config_dir
from omegaconf.errors import OmegaConfBaseException

from echo_exp import configuration
from echo_exp.settings import SettingError, not_installed, redacted
from echo_exp.tracking import TrackingError
from echo_exp.training.interrupts import Interrupted

FAILED, WRONG_SETTING, SIGNALLED = 1, 2, 128
TRACEBACK = "hydra.verbose=true shows the traceback"
QUOTING = (
    "write several values as a,b without spaces, and quote others: 'key=\"a > b\"', 'key=[a, b]'"
)

LAUNCHERS = {
    "joblib": ("joblib", "hydra-joblib-launcher"),
    "ray": ("ray", "Ray"),
    "submitit_slurm": ("slurm", "hydra-submitit-launcher"),
}
"""For each optional launcher of Hydra: its option, which is also its extra, and what it needs."""


@contextlib.contextmanager
def explained(settings: str = "config") -> Iterator[None]:
    """Ends the program with a message and an exit code if the ``with`` block raises an error.

    Args:
        settings: Name of the file in ``conf`` with the program's settings.
    """
    try:
        yield
    except (Exception, Interrupted) as error:
        if any(a.startswith("hydra.verbose=") and not a.endswith("false") for a in sys.argv):
            traceback.print_exc()
        message, code = explain(error, settings)
        print(f"echo-exp: {message}", file=sys.stderr)
        sys.exit(code)


def explain(error: BaseException, settings: str = "config") -> tuple[str, int]:
    """Returns the message for an error, and the program's exit code.

    Args:
        error: The error.
        settings: Name of the file in ``conf`` with the program's settings.
    """
    message, code = _explain(error, settings)
    return redacted("\n".join([message, *getattr(error, "__notes__", ())])), code


def _explain(error: BaseException, settings: str) -> tuple[str, int]:
    if isinstance(error, Interrupted):
        return str(error), SIGNALLED + error.signum
    if isinstance(error, SettingError):
        return str(error), WRONG_SETTING
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _explain_composition(error, settings), WRONG_SETTING
    if isinstance(error, ValueError) and "Config group override" in str(error):
        return "a group must be given the name of an option, as in model=seq2seq", WRONG_SETTING
    if isinstance(error, OSError) and _is_output(error.filename):
        wrong = SettingError(
            "output_dir", error.filename, f"it cannot be written ({error.strerror})"
        )
        return str(wrong), WRONG_SETTING
    known = isinstance(error, TrackingError)
    return (str(error) if known else f"{type(error).__name__}: {error}\n{TRACEBACK}"), FAILED


def _is_output(path: Any) -> bool:
    """Returns whether a path lies in the output folder, or on the way there.

    Commands that train nothing have none; their folder is ``.``.
    """
    if path is None:
        return False
    if not HydraConfig.initialized():  # it is Hydra that makes the folder
        return True
    here, given = Path(os.fsdecode(path)).absolute(), HydraConfig.get()
    folders = [Path(each).absolute() for each in (given.run.dir, given.sweep.dir) if each != "."]
    return any(here.is_relative_to(each) or each.is_relative_to(here) for each in folders)


def _explain_composition(error: Exception, settings: str) -> str:
    """Explains a wrong override, and suggests the setting that may have been meant."""
    found = wrong_setting(error, settings)
    if found is not None:
        return str(found)
    text = str(error).strip().splitlines()[0]
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read as setting=value: {text} ({QUOTING})"
    return text


def wrong_setting(error: Exception, settings: str = "config") -> SettingError | None:
    """Returns the error for the setting that Hydra could not compose, if it says which that is.

    Args:
        error: Hydra's error.
        settings: Name of the file in ``conf`` with the program's settings.
    """
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _missing_option(error.missing_cfg_file or "", error.options)
    several = re.match(r"Ambiguous value for argument '([^=]+)=(.*)'", text)
    if several:
        key, value = several.groups()
        swept = settings == "config" and key not in configuration.WHOLE
        more = "; a sweep, -m, takes several" if swept else ""
        return SettingError(key, value, f"it must be a single value{more}")
    named = re.search(r"Could not (?:override|append|delete)[^']*'([^']+)'", text)
    named = named or re.search(r"Key '([^']+)' is not in struct", text)
    if isinstance(error, ConfigCompositionException) and named:
        return _unknown(named.group(1), text, settings)
    merged = re.match(r"Error merging override ([^=]+)=(.*)", text)
    if merged and error.__cause__ is not None:
        key, value = merged.groups()
        return SettingError(key, value, str(error.__cause__).splitlines()[0])
    return None


def _missing_option(file: str, options: Sequence[str]) -> SettingError:
    group, _, option = file.rpartition("/")
    if group == "hydra/launcher" and option in LAUNCHERS:
        name, what = LAUNCHERS[option]
        return not_installed(configuration.LAUNCH, name, what, extra=name)
    names = [name for name in options if not name.startswith("_")]
    allowed = "it must be " + " or ".join(names)
    if not difflib.get_close_matches(option, names) and not _has_own_folder():
        allowed += "; --config-dir adds a folder with options of your own"
    return SettingError(group, option, allowed)


def _has_own_folder() -> bool:
    """Returns whether the command line names a folder with the user's own settings."""
    return any(re.match(r"--config-(dir|path)\b|-c[dp]\b", argument) for argument in sys.argv)


def _unknown(key: str, text: str, settings: str) -> SettingError:
    if key.startswith("hydra.sweeper."):
        return configuration.unknown(key, _given(text, key), _known_to_search())
    if key.startswith("hydra."):
        return SettingError(key, _given(text, key), "there is no such setting")
    return configuration.unknown(key, _given(text, key), _known(settings))


def _given(text: str, key: str) -> str:
    value = re.search(rf"{re.escape(key)}=(\S+)", text)
    return value.group(1) if value else "..."


def _known(settings: str) -> list[str]:
    """Returns every setting and group of the program."""
    with _hydra():
        known = configuration.flat(compose(settings))
    groups: tuple[str, ...] = ("tracking",)
    if settings in configuration.WHOLE_PROGRAM:
        groups = (*configuration.GROUPS, configuration.LAUNCH, "experiment", *configuration.WHOLE)
    return [*(key for key in known if "._" not in key), *groups]


def _known_to_search() -> list[str]:
    """Returns the settings of Hydra's sweeper for searches."""
    with _hydra():
        composed = compose("config", ["hydra/sweeper=optuna"], return_hydra_config=True)
        return [f"hydra.sweeper.{key}" for key in composed.hydra.sweeper if key[0] != "_"]


def _hydra() -> contextlib.AbstractContextManager[object]:
    """Initialises Hydra with the configuration, unless it already is, as in a sweep."""
    if GlobalHydra.instance().is_initialized():
        return contextlib.nullcontext()
    return initialize_config_dir(str(configuration.FOLDER), version_base="1.3")
