"""Every option is named where a reader looks for it."""

import re

import pytest

from .. import matrix
from .called import COMMANDS
from .written import PAGES, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^\| `(\w+)=` \| (.*?) \|", README, re.MULTILINE))
"""What the README says of each group."""
LAUNCHERS = [f"launch={name}" for name in matrix.options("launch")]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("group", ["problem", "model", "representation", "missing"])
def test_the_readme_names_every_option_of_a_group(group: str) -> None:
    assert {*matrix.options(group)} <= {*re.findall(r"`(\w+)`", PARTS[group])}


@pytest.mark.parametrize(
    "name", [*(f"launch={name}" for name in matrix.options("launch")), *COMMANDS]
)
def test_a_page_names_every_launcher_and_command(name: str) -> None:
    assert re.search(rf"{name}\b(?!-)", TEXT)
