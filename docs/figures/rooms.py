"""Draws the rooms of `echo_exp` from their contracts: `python -m docs.figures.rooms`."""

import ast
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path

from docs.figures.data import FAINT, FILL, INK

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("rooms.svg")
WIDTH, LEFT, HEIGHT, GAP = 1000, 170, 34, 8


def layers() -> list[tuple[str, ...]]:
    """Returns the rooms of each layer, the highest first, as `pyproject.toml` has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [tuple(map(str.strip, layer.split("|"))) for layer in contract["layers"]]


def says(room: str) -> str:
    """Returns what a room says of itself, in its first line."""
    home = ROOT / "echo_exp" / room
    return first_line(home / "__init__.py" if home.is_dir() else home.with_suffix(".py"))


def first_line(module: Path) -> str:
    """Returns the first line of a module's docstring."""
    said = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    assert said, f"{module} does not say why it exists"
    return said.splitlines()[0]


def table() -> Iterator[str]:
    """Yields the lines of a table of the rooms in Markdown."""
    yield from ("| room | |", "|---|---|")
    for room in (room for layer in layers() for room in layer):
        name = f"{room}/" if (ROOT / "echo_exp" / room).is_dir() else f"{room}.py"
        yield f"| `{name}` | {says(room)} |"


def drawing() -> Iterator[str]:
    """Yields the lines of the SVG."""
    rooms = layers()
    height = len(rooms) * (HEIGHT + GAP) + GAP
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">'
    yield f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
    yield '<g font-family="Helvetica, Arial, sans-serif">'
    for row, layer in enumerate(rooms):
        y = GAP + row * (HEIGHT + GAP)
        width = (WIDTH - 2 * GAP - (len(layer) - 1) * GAP) / len(layer)
        for place, room in enumerate(layer):
            yield from _box(GAP + place * (width + GAP), y, width, room, len(layer) == 1)
    yield "</g></svg>"


def _box(x: float, y: float, width: float, room: str, alone: bool) -> Iterator[str]:
    yield (
        f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT}" rx="5" fill="{FILL}"'
        f' stroke="{INK}"/>'
    )
    yield f'<text x="{x + 12}" y="{y + 22}" fill="{INK}" font-size="15">{room}</text>'
    place = x + (LEFT - GAP if alone else 92)
    yield (
        f'<text x="{place}" y="{y + 22}" fill="{FAINT}" font-size="{13 if alone else 11}">'
        f"{escape(says(room).rstrip('.'))}</text>"
    )


if __name__ == "__main__":
    FILE.write_text("\n".join(drawing()) + "\n", encoding="utf-8")
