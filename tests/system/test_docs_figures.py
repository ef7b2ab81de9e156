"""Every link and figure of the documentation exists, and every figure names its command."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from docs.figures import data, rooms

from .written import PAGES, ROOT

FIGURES = {
    "figures/reproduction.png": "python -m benchmarks.reproduction --from-results",
    "figures/replicas.png": "python -m benchmarks.replicas",
    "figures/growth.png": "python -m benchmarks.growth",
    "figures/windows.png": "python -m benchmarks.windows",
    "figures/search.png": "echo-exp search=cheapest",
    "figures/data.svg": "python -m docs.figures.data",
    "figures/rooms.svg": "python -m docs.figures.rooms",
    "figures/inside/": "echo-exp-inspect",
    **{
        f"figures/ui/{path.name}": "python -m benchmarks.screenshots"
        for path in (ROOT / "docs" / "figures" / "ui").glob("*.png")
    },
    **{
        f"{study}/{name}.png": f"study={study}"
        for study in (path.name for path in (ROOT / "docs" / "findings").iterdir())
        for name in ("curves", "interquartile", "lengths", "profiles", "scores", "solving", "spans")
    },
}
"""The command that makes each figure, by the end of its path or a folder in it."""


def _targets(page: Path) -> list[str]:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target for target in found if not re.match(r"https?://", target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_figure_of_a_page_exists(page: Path) -> None:
    for target in _targets(page):
        path, _, anchor = target.partition("#")
        found = page if not path else (page.parent / path)
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]
            assert anchor in slugs, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_command_that_makes_a_figure_is_on_its_page_or_one_that_it_links_to(page: Path) -> None:
    linked = [page.parent / target.partition("#")[0] for target in _targets(page)]
    texts = [path.read_text(encoding="utf-8") for path in (page, *linked) if path.suffix == ".md"]
    for figure in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        absolute = str((page.parent / figure).resolve())
        made = [command for end, command in FIGURES.items() if _is(absolute, end)]
        assert made, f"{figure}: say in FIGURES which command makes it"
        assert any(made[0] in text for text in texts), (figure, made[0])


def _is(path: str, place: str) -> bool:
    """Says whether a path ends in the given file or is in the given folder."""
    return place in path if place.endswith("/") else path.endswith(place)


@pytest.mark.parametrize("figure", [data, rooms], ids=["data", "rooms"])
def test_a_committed_drawing_equals_the_output_of_its_script(figure: ModuleType) -> None:
    assert figure.FILE.read_text(encoding="utf-8") == "\n".join(figure.drawing()) + "\n"


def test_the_table_of_the_rooms_agrees_with_the_contracts() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "\n".join(rooms.table()) in text
