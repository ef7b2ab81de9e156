"""Checks of settings, and the one error that bad values raise.

It imports neither torch nor Lightning, so that a wrong value is reported at once.
"""

import contextlib
import math
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_PASSWORD = re.compile(
    # scheme://user:password@, also as Hydra quotes it: scheme\://user\:password@
    r"(?P<user>[\w.+-]+\\?://[^\s:/@'\"\\]*\\?:)[^\s'\"]*@"
    r"|(?P<argument>[?&](?:password|passwd|pwd|sslpassword)=)[^\s&'\"]*"
)


class SettingError(ValueError):
    """A setting has a value that is not allowed.

    Args:
        key: Full name of the setting, as on the command line (``problem.n_in``).
        value: The value that was given.
        allowed: What is allowed, as a sentence without its full stop.
    """

    def __init__(self, key: str, value: Any, allowed: str) -> None:
        super().__init__(key, value, allowed)
        self.key, self.value, self.allowed = key, value, allowed

    def __str__(self) -> str:
        return redacted(f"{self.key}={word(self.value)} is not allowed: {self.allowed}")


def word(value: Any) -> str:
    """Returns a value as it is written in YAML."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def integer(
    key: str, value: Any, least: int, most: int | None = None, or_else: str | None = None
) -> int:
    """Returns ``value`` if it is an integer from ``least`` to ``most``, both included.

    Args:
        key: Full name of the setting.
        value: Its value.
        least: The smallest integer that is allowed.
        most: The largest; None for any.
        or_else: What else the setting may be, for the message.

    Raises:
        SettingError: It is not.
    """
    span = f"at least {least}" if most is None else f"from {least:,} to {most:,}"
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and least <= value and (most is None or value <= most)):
        another = "" if or_else is None else f", or {or_else}"
        raise SettingError(key, value, f"it must be an integer {span}{another}")
    return int(value)


def number(key: str, value: Any, above: float, below: float = math.inf) -> float:
    """Returns ``value`` as a float if it is finite and strictly between ``above`` and ``below``.

    Raises:
        SettingError: It is not.
    """
    span = f"above {above:g}" + ("" if math.isinf(below) else f" and below {below:g}")
    real = is_number(value)
    if not (real and math.isfinite(value) and above < value < below):
        raise SettingError(key, value, f"it must be a number {span}")
    return float(value)


def is_number(value: Any) -> bool:
    """Returns whether a value is a number; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def choice(key: str, value: Any, allowed: Sequence[Any]) -> None:
    """Checks that ``value`` is one of ``allowed``; 1 is not True, and 0 is not False.

    Raises:
        SettingError: It is not.
    """
    boolean = isinstance(value, bool)
    if not any(value == name and boolean == isinstance(name, bool) for name in allowed):
        raise SettingError(key, value, f"it must be {' or '.join(map(word, allowed))}")


@contextlib.contextmanager
def writable(key: str, folder: Path) -> Iterator[None]:
    """Names the setting of a folder if the ``with`` block fails to write there.

    Raises:
        SettingError: It does.
    """
    try:
        yield
    except OSError as error:
        reason = f"it cannot be written ({error.strerror or error})"
        raise SettingError(key, folder, reason) from error


def not_installed(key: str, value: Any, what: str, extra: str) -> SettingError:
    """Returns the error for a value that needs an optional dependency.

    Args:
        key: Full name of the setting.
        value: Its value.
        what: The dependency.
        extra: The extra of this package that installs it.
    """
    return SettingError(key, value, f"it needs {what}; pip install 'echo_exp[{extra}]' installs it")


def redacted(text: str) -> str:
    """Returns ``text`` with ``***`` in place of the password of each URI."""

    def hidden(match: re.Match[str]) -> str:
        return f"{match['user']}***@" if match["user"] else f"{match['argument']}***"

    return _PASSWORD.sub(hidden, text)


def program(name: str) -> str:
    """Returns how to call a program of this environment: by name if that finds it, else by path."""
    ours = Path(sys.executable).with_name(name)
    return str(ours) if ours.exists() and shutil.which(name) != str(ours) else name
