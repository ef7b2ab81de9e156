"""What pages get from the code, as Markdown, for `<!-- settings -->`, `<!-- modules -->` and so on.

The settings are those of the files in `conf`, with their comments; the modules those of the
package, with the first line of each; the pairs those of each problem.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import OmegaConf
from sphinx.application import Sphinx

import echo_exp
from docs.figures.rooms import first_line
from echo_exp import configuration
from echo_exp.task import problem as task
from echo_exp.task.problem import Stream, random_stream

COMMANDS = {"config": "echo-exp", "predict": "echo-exp-predict"}
"""Whose settings the files beside the groups hold; of others it is the file's name."""
SWEEPER = "hydra/sweeper"
GROUPS = (
    *configuration.GROUPS,
    "experiment",
    configuration.LAUNCH,
    *configuration.WHOLE,
    SWEEPER,
    f"{SWEEPER}/sampler",
    f"{SWEEPER}/pruner",
)
PAIRS = 3
LINE = re.compile(
    r'(?P<indent> *)"?(?P<name>[\w.]+)"?:(?: +(?P<value>[^#]*?))?(?: *# *(?P<says>.*))?'
)
INHERITED = re.compile(r"  - (\w+)")
GLOBAL = "# @package _global_"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connects it with Sphinx."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}


def _fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    for lines in (settings, modules, pairs):
        place = f"<!-- {lines.__name__} -->"
        if place in source[0]:
            source[0] = source[0].replace(place, "\n".join(lines()))


def modules() -> Iterator[str]:
    """Yields every module and package of the package with what it says about itself."""
    home = Path(echo_exp.__file__).parent
    for folder in (home, *sorted(path.parent for path in home.glob("*/**/__init__.py"))):
        if folder != home:
            name = folder.relative_to(home).as_posix()
            yield f"\n### `{name}/`\n\n{first_line(folder / '__init__.py')}\n"
        yield from ("| | |", "|---|---|")
        for path in sorted(folder.glob("[!_]*.py")):
            yield f"| `{path.stem}` | {first_line(path)} |"


def pairs() -> Iterator[str]:
    """Yields the first pairs of windows and answers of every problem."""
    for path in sorted((configuration.FOLDER / "problem").glob("*.yaml")):
        with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
            config = compose("config", [f"problem={path.stem}"])
        problem = configuration.problem(config)
        sequences = problem.generate(random_stream(config.seed, Stream.TRAINING), 1)
        yield from (f"`problem={path.stem}`", "", "```text")
        yield task.pairs(problem, sequences, PAIRS)
        yield from ("```", "")


def settings() -> Iterator[str]:
    """Yields the lines of the whole reference."""
    for path in sorted(configuration.FOLDER.glob("*.yaml")):
        command = COMMANDS.get(path.stem, f"echo-exp-{path.stem}")
        yield f"\n## Settings of `{command}`\n\n{description(path)}\n"
        yield from table(path, "", without=("defaults", "hydra"))
    for group in GROUPS:
        yield f"\n## `{group}=`\n"
        for path in sorted((configuration.FOLDER / group).glob("[!_]*.yaml")):
            yield f"\n### `{group}={path.stem}`\n\n{description(path)}\n"
            if group == configuration.STUDY:
                yield f"*{OmegaConf.load(path).study.question}*\n"
            else:
                yield from _inherited(path, group)
                yield from table(path, group.replace("/", ".") + ".")


def description(path: Path) -> str:
    """Returns what a file says about itself at its top."""
    lines = path.read_text(encoding="utf-8").removeprefix(GLOBAL).strip().splitlines()
    first = next(n for n, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.removeprefix("#").strip() for line in lines[:first])


def table(path: Path, prefix: str, without: tuple[str, ...] = ("defaults",)) -> Iterator[str]:
    """Yields the settings of a file: their names, values and comments.

    Args:
        path: The file.
        prefix: What stands before the names where the file's package is its group's.
        without: Keys at the top whose contents are left out.
    """
    text = path.read_text(encoding="utf-8")
    place: list[str] = []
    rows = []
    for match in map(LINE.fullmatch, text.splitlines()):
        if match is None:
            continue
        place[len(match["indent"]) // 2 :] = [match["name"]]
        value, says = match["value"] or "", match["says"] or ""
        if place[0] in without or not (value or says):
            continue
        name = ("" if text.startswith(GLOBAL) else prefix) + ".".join(place)
        rows.append(f"| `{name}` | {_shown(value)} | {says} |")
    if rows:
        yield from ("| setting | value | |", "|---|---|---|", *rows)


def _inherited(path: Path, group: str) -> Iterator[str]:
    for name in INHERITED.findall(path.read_text(encoding="utf-8")):
        if not name.startswith("_") and (path.parent / f"{name}.yaml").exists():
            yield f"As `{group}={name}`, but for\n"


def _shown(value: str) -> str:
    name = value.rpartition(".")[2]
    if value.startswith("echo_exp.") and name in echo_exp.__all__:
        return f"{{py:class}}`echo_exp.{name}`"
    return f"`{value}`" if value else ""
