"""What the program reads and writes does not depend on the locale."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXTS = {"read_text", "write_text"}


def test_files_that_hydra_reads_are_ascii() -> None:
    """Hydra opens its files in the locale's encoding."""
    wrong = [p for p in ROOT.glob("conf/**/*.yaml") if not p.read_bytes().isascii()]
    assert wrong == []


def _unnamed(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg for keyword in node.keywords}
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        pipes = given & {"text", "universal_newlines"}
        if (called in TEXTS or pipes) and "encoding" not in given:
            yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_text_file_and_pipe_is_opened_with_an_explicit_encoding() -> None:
    """Ruff's rule, PLW1514, sees only what it knows to be a path."""
    files = [
        p for room in ("echo_exp", "hydra_plugins", "docs") for p in ROOT.glob(f"{room}/**/*.py")
    ]
    assert [place for path in files for place in _unnamed(path)] == []
