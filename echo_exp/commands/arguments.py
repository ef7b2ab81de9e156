"""The arguments of a command: Hydra's flags, checked before Hydra reads them, and settings."""

import argparse
import json
import os
import re
from argparse import Namespace
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Never

from hydra._internal.utils import get_args_parser

from echo_exp.settings import SettingError, redacted

MODES = ("run", "multirun", "cfg", "info", "shell_completion")
"""Flags that exclude each other."""
SHELLS = ("bash", "fish", "zsh")
NUMBER = re.compile(r"-\d")
RERUN = (
    "it unpickles a file, which may run any code; the arguments that repeat a run are in its tag "
    "`mlflow.source.name`, and `resume=<id>` continues it"
)


class FlagError(SettingError):
    """A flag is not allowed."""

    def __str__(self) -> str:
        given = self.key if self.value is None else f"{self.key}={self.value}"
        return redacted(f"{given} is not allowed: {self.allowed}")


class _Parser(argparse.ArgumentParser):
    """Hydra's parser, with the version of this program, and errors that are raised."""

    def __init__(self) -> None:
        super().__init__(parents=[get_args_parser()], add_help=False, conflict_handler="resolve")
        number = f"echo_exp {version('echo_exp')}"
        self.add_argument("--version", action="version", version=number)

    def error(self, message: str) -> Never:
        raise argparse.ArgumentTypeError(message)


def read(given: Sequence[str], several: bool, unnamed: str | None) -> tuple[Namespace, list[str]]:
    """Reads the arguments of a command.

    Args:
        given: The arguments.
        several: Whether the command can make several runs.
        unnamed: The setting that gets a list of the arguments without a name, if there is one.

    Returns:
        The flags, and the arguments as Hydra expects them: all flags first.

    Raises:
        FlagError: A flag is not allowed, or not together with another one.
        SystemExit: ``--version`` was given.
    """
    parser = _Parser()
    numbers = [argument for argument in given if unnamed and NUMBER.match(argument)]
    try:
        flags = parser.parse_intermixed_args([a for a in given if a not in numbers])
    except argparse.ArgumentTypeError as error:
        raise FlagError(*_wrong(str(error))) from None
    overrides = flags.overrides
    if unnamed is not None:
        words = [a for a in given if a in numbers or (a in overrides and not _named(a))]
        overrides = [a for a in overrides if _named(a)]
        overrides += [f"{unnamed}={json.dumps(words)}"] if words else []
    _check(flags, several)
    if flags.shell_completion:
        _check_completion(overrides)
    elif not several or flags.run:
        overrides.append("hydra.mode=RUN")
    if flags.cfg == "hydra" and flags.resolve:  # Hydra's own output for this lacks `output_dir`
        flags.cfg, flags.package = "all", flags.package or "hydra"
    return flags, [*_written(parser, flags), *overrides]


def _named(argument: str) -> bool:
    """Returns whether an argument is for Hydra: it sets or, as ``~key``, removes a setting.

    A word that only begins with ``~`` is not: the sign stands for noise in a sequence.
    """
    return "=" in argument or re.match(r"~[A-Za-z]", argument) is not None


def _wrong(message: str) -> tuple[str, str | None, str]:
    """Returns the flag that a message of argparse is about, its value and the reason."""
    choice = re.match(
        r"argument (--[\w-]+)\S*: invalid choice: '(.*?)' \(choose from (.*)\)", message
    )
    if choice:
        flag, value, allowed = choice.groups()
        return flag, value, "it must be " + " or ".join(re.findall(r"[\w-]+", allowed))
    missing = re.match(r"argument (--[\w-]+)\S*: expected one argument", message)
    if missing:
        return missing.group(1), None, "it needs a value"
    named = message.removeprefix("unrecognized arguments: ")
    return named, None, "there is no such flag; --hydra-help lists all"


def _check(flags: Namespace, several: bool) -> None:
    if flags.experimental_rerun is not None:
        raise FlagError("--experimental-rerun", flags.experimental_rerun, RERUN)
    if flags.multirun and not several:
        raise FlagError("--multirun", None, "only `echo-exp` makes sweeps")
    asked = [f"--{mode.replace('_', '-')}" for mode in MODES if getattr(flags, mode)]
    if len(asked) > 1:
        reason = f"not together with {asked[1]}"
        if flags.cfg and flags.multirun:
            reason = "it prints the configuration of one run, as in `echo-exp seed=1 --cfg job`"
            asked.reverse()
        raise FlagError(
            asked[0], getattr(flags, asked[0][2:]) if asked[0] == "--cfg" else None, reason
        )
    if flags.resolve and not (flags.cfg or flags.help):
        raise FlagError("--resolve", None, "it belongs to --cfg or --help")
    if flags.package is not None and not flags.cfg:
        raise FlagError("--package", flags.package, "it belongs to --cfg")
    _check_folders(flags)


def _check_folders(flags: Namespace) -> None:
    folder = flags.config_dir
    if folder is not None and not Path(folder).is_dir():
        raise FlagError("--config-dir", folder, "there is no such folder")
    folder = flags.config_path
    if folder is not None and not (Path(folder).is_absolute() and Path(folder).is_dir()):
        reason = (
            "it must be the absolute path of a folder with all settings; --config-dir adds a "
            "folder to the program's own"
        )
        raise FlagError("--config-path", folder, reason)


def _check_completion(overrides: Sequence[str]) -> None:
    """Checks the argument of ``--shell-completion``.

    Raises:
        FlagError: It is not one of the three that are allowed.
    """
    wanted = " or ".join(f"{verb}=<shell>" for verb in ("install", "uninstall", "query"))
    found = [re.fullmatch(r"(install|uninstall|query)=(.*)", override) for override in overrides]
    if len(found) != 1 or found[0] is None or found[0].group(2) not in SHELLS:
        given = " ".join(overrides) or None
        reason = f"it must be followed by {wanted}, where <shell> is one of {', '.join(SHELLS)}"
        raise FlagError("--shell-completion", given, reason)
    if found[0].group(1) == "query" and "COMP_LINE" not in os.environ:
        raise FlagError(
            "--shell-completion",
            overrides[0],
            "only the shell's completion uses it, with COMP_LINE set",
        )


def _written(parser: argparse.ArgumentParser, flags: Namespace) -> list[str]:
    """Returns the flags as they are written on a command line."""
    written = []
    for action in parser._actions:
        value = getattr(flags, action.dest, None)
        if action.option_strings and value is True:
            written.append(action.option_strings[0])
        elif action.option_strings and isinstance(value, str):
            written.append(f"{action.option_strings[0]}={value}")
    return written
