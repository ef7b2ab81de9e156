"""Markdown as MLflow's UI shows it in descriptions."""

import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from echo_exp.settings import redacted

WIDTH = 84
"""Letters of a line of code; more would push what MLflow has on the right out of the page."""
LONGEST_REASON = 400
BOLD = "**"


def text(*parts: str) -> str:
    """Joins paragraphs into one text, without passwords."""
    return redacted("\n\n".join(filter(None, parts)))


def table(left: str, right: str, rows: Iterable[tuple[str, str]]) -> str:
    """Returns a table of two columns.

    Args:
        left: Title of the first column.
        right: Title of the second column.
        rows: The two cells of each row.
    """
    return lines((left, right), rows)


def lines(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table with a line of titles above its rows."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def commands(described: Mapping[str, str]) -> str:
    """Returns a block of code with commands, each beside or below what it does."""
    width = max(map(len, described))
    lines = [f"{command:<{width}}  # {what}" for command, what in described.items()]
    if max(map(len, lines)) > WIDTH:
        lines = [f"# {what}\n{_broken(command)}" for command, what in described.items()]
    return "\n".join(["```sh", *lines, "```"])


def _broken(command: str) -> str:
    """Returns a command in lines that fit, as a shell reads them."""
    try:
        words = [shlex.quote(word) for word in shlex.split(command)]
    except ValueError:  # people may have edited it
        return command
    lines = [words[0]]
    for word in words[1:]:
        if len(f"{lines[-1]} {word} \\") > WIDTH:
            lines.append(f"   {word}")
        else:
            lines[-1] += f" {word}"
    return " \\\n".join(lines)


def reason(text: str) -> str:
    """Returns why something failed, escaped and short enough for a tag of MLflow."""
    return plain(textwrap.shorten(text, LONGEST_REASON))


def headline(text: str) -> str:
    """Returns the first line of the description of something that ended early: why it did."""
    return f"{BOLD}{reason(text)}{BOLD}"


def plain(text: str) -> str:
    """Returns a text escaped for Markdown and HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", text).replace("\n", " ")
