"""Markdown as MLflow's UI shows it in descriptions."""

import re
from collections.abc import Iterable, Mapping, Sequence

from echo_exp.settings import redacted


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
    """Returns a block of code with commands, each followed by what it does."""
    width = min(60, max(map(len, described)))
    lines = [f"{command:<{width}}  # {what}" for command, what in described.items()]
    return "\n".join(["```sh", *lines, "```"])


def plain(text: str) -> str:
    """Returns a text escaped for Markdown and HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", text).replace("\n", " ")
