"""The version of the code that a result depends on: a change of it makes a finished job unfinished.

Not the version of the whole program: what is drawn, tracked or printed changes no result.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

MEASURING = (
    "data",
    "evaluation",
    "experiment",
    "missing",
    "models",
    "module",
    "optimizer",
    "outcome",
    "problem",
    "replicas",
    "representation",
)
"""The modules and packages that decide what a training gives."""


@cache
def code() -> str:
    """Returns a hash of the code of `MEASURING`; comments and layout are no part of it."""
    trees = (ast.dump(ast.parse(path.read_text())) for path in _files())
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()[:16]


def _files() -> list[Path]:
    package = Path(__file__).parent
    found = [package / f"{name}.py" for name in MEASURING]
    inside = [path for name in MEASURING for path in sorted((package / name).glob("*.py"))]
    return [path for path in found if path.exists()] + inside
