"""The version of the code that a result depends on: if it changes, finished jobs run again.

It is a hash of the rooms that define the task, train networks and score them, and of the files of
the classes that a configuration names, with all that these import. It is computed without importing
anything. Code that tracks or prints changes no result and is not part of it.
"""

import ast
import hashlib
import sysconfig
from collections.abc import Collection, Iterator
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "echo_exp"
HOME = Path(__file__).parents[1]
ROOMS = ("task", "models", "training")
"""The rooms whose code decides a result, except for `BESIDE`; `ASSEMBLY` puts it together."""
ASSEMBLY = tuple(
    f"configuration.{name}" for name in ("assembly", "building", "problem_and_network")
)

BESIDE = {
    "training.figures": "draws what was measured",
    "training.interrupts": "stops a training between two epochs, or not",
    "training.progress": "shows what has been computed",
    "training.tables": "writes what was measured",
    "training.walks": "lets a network answer that has been trained",
}
"""Modules of these rooms that do not affect a result, and what they do instead."""

LIBRARIES = {"site-packages", "dist-packages"}
STANDARD = Path(sysconfig.get_path("stdlib")).resolve()


@cache
def code(targets: Collection[str] = frozenset()) -> str:
    """Returns a hash of the code of `modules`, without comments, docstrings and layout.

    Args:
        targets: Names of the classes that a configuration calls, such as ``"elman.Elman"``.
    """
    contents = (f"{name} {_content(path)}" for name, path in sorted(modules(targets).items()))
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()[:16]


def modules(targets: Collection[str] = frozenset()) -> dict[str, Path]:
    """Returns the modules that decide the result of a training, and their files.

    Of a library, only the file that a target names is included.

    Args:
        targets: Names of the classes that a configuration calls.
    """
    found = _own_modules()
    waiting = [module for target in targets for module in _on_the_way(target)]
    while waiting:
        name, path = waiting.pop()
        if name in found or name.partition(".")[0] == PACKAGE:
            continue
        found[name] = path
        if _followed(path):
            for imported in _imports(name, path):
                waiting += [module for module in _on_the_way(imported) if _followed(module[1])]
    return found


def _own_modules() -> dict[str, Path]:
    """Returns the modules of this program, and their files."""
    paths = [path for room in ROOMS for path in (HOME / room).rglob("*.py")]
    paths += [HOME.joinpath(*name.split(".")).with_suffix(".py") for name in ASSEMBLY]
    found = {_name(path): path for path in paths}
    return {f"{PACKAGE}.{name}": path for name, path in found.items() if name not in BESIDE}


def _name(path: Path) -> str:
    parts = path.relative_to(HOME).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _followed(path: Path) -> bool:
    """Returns whether a module belongs to the user, and not to a library."""
    installed = path.is_relative_to(STANDARD) or not LIBRARIES.isdisjoint(path.parts)
    return path.suffix == ".py" and not installed


@cache
def _on_the_way(dotted: str) -> tuple[tuple[str, Path], ...]:
    """Returns the packages and the module that importing a dotted name loads, and their files."""
    top, *rest = dotted.split(".")
    name, spec = top, _find(top)
    found = []
    while spec is not None:
        if spec.origin is not None and Path(spec.origin).is_file():
            found.append((name, Path(spec.origin).resolve()))
        if not rest or spec.submodule_search_locations is None:
            break
        name = f"{name}.{rest.pop(0)}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return tuple(found)


@cache
def _find(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except (ImportError, ValueError):  # "__main__", or a name that no module can have
        return None


@cache
def _content(path: Path) -> str:
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return ast.dump(_tree(path))


@cache
def _tree(path: Path) -> ast.Module:
    """Returns the syntax tree of a file, without what does not affect its results."""
    tree: ast.Module = _Meaning().visit(ast.parse(path.read_bytes()))
    return tree


class _Meaning(ast.NodeTransformer):
    """Removes docstrings, and code that is only for a type checker."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        named = getattr(node.test, "attr", getattr(node.test, "id", None))
        return node.orelse if named == "TYPE_CHECKING" else node


def _imports(name: str, path: Path) -> Iterator[str]:
    """Yields the dotted names that a module imports, anywhere in its code."""
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = [*above, *filter(None, [node.module])]
            yield from (".".join([*base, alias.name]) for alias in node.names)
