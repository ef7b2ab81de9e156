"""Output for people, drawn with `rich`: on a terminal, and where there is none.

`rich` is imported only where something is drawn, since most starts of a command draw nothing.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

UNLIMITED = 10_000
"""Columns of output to a file or a pipe."""


def redraws(stream: TextIO) -> bool:
    """Returns whether lines of a stream can be redrawn: it is a terminal, and not a dumb one."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


@cache
def console(stderr: bool = False) -> "Console":
    """Returns the console of standard output or error, the same one each time.

    It has the width of the terminal, or that of ``COLUMNS``; without either, lines are not wrapped.
    There are no colours without a terminal, or if ``NO_COLOR`` is set.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    narrow = stream.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(
        stderr=stderr,
        width=None if narrow else UNLIMITED,
        markup=False,  # settings have brackets
        emoji=False,
        highlight=False,
    )


def table(lines: Iterable[Sequence[str]]) -> "Table":
    """Returns a table to be printed on a console.

    Args:
        lines: The cells of each line, the titles first; a cell that tells how a job ended has a
            colour.
    """
    from rich.table import Table
    from rich.text import Text

    titles, *rows = lines
    made = Table(box=None, pad_edge=False)
    for title in titles:
        made.add_column(title, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    return made


def counted(number: int, what: str) -> str:
    """Returns a number of things, as in ``1 job`` or ``2 jobs``.

    Args:
        number: The number.
        what: One of the things.
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Returns a time in round numbers, such as ``12 min``."""
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 1.5:
        return f"{hours:.0f} h"
    return f"{minutes:.0f} min" if minutes >= 1.5 else f"{seconds:.0f} s"


def _style(cell: str) -> str:
    first = cell.partition(",")[0]
    return {"ok": "green", "failed": "red", "stopped": "red", "pruned": "dim"}.get(first, "")
