"""What the README and the documentation tell a reader to type works.

A single run or a sweep is run, with few epochs and without a store. Any other command is followed
as far as its work: the program itself reads its arguments, composes and checks the settings, of
some cells of a study too, and is stopped where it would begin to train, read or serve. A command
that no test knows fails: whoever writes one into the documentation says here how it is tried.
"""

import argparse
import importlib
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig

from echo_exp import configuration
from echo_exp.commands import hydra_main as command
from echo_exp.commands import report
from echo_exp.commands import train as app
from echo_exp.sweeps import plan, study

from .written import PAGES, PROJECT, ROOT

SHELL, PYTHON, INDENTED = ("sh", "bash", "console"), ("python",), "indented"


CELL = "code-cell"


SHORT = ("epochs=25", "tracking=none", "trainer.test_sequences=2")
"""What is added to a command that is run."""


MOST_CELLS = 12
"""How many cells of a study are composed; `tests.sweeps.test_study` composes all."""


NOT_RUN = re.compile(r"--(help|cfg)|(resume|study|search|launch|tracking|hydra/sweeper|inspect)=")
"""What a command has that is only followed, at the beginning of an argument."""


@dataclass(frozen=True)
class Block:
    """A block of a page: its language, or `INDENTED`."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def _blocks(page: Path) -> Iterator[Block]:
    fence: list[str] | None = None
    language, began = "", 0
    indented: list[str] = []
    for number, line in enumerate([*page.read_text(encoding="utf-8").splitlines(), ""], start=1):
        if fence is not None and line.strip() == "```":
            yield Block(page, began, language, "\n".join(fence))
            fence = None
        elif fence is not None:
            fence.append(line)
        elif line.lstrip().startswith("```"):
            fence, language, began = [], line.strip("`{ ").split("}")[0].strip(), number
        elif re.match(r"    \S", line) and (indented or line.strip().startswith("echo-exp")):
            indented.append(line.strip())
        elif indented:
            yield Block(page, number - len(indented), INDENTED, "\n".join(indented))
            indented = []


BLOCKS = [block for page in PAGES for block in _blocks(page)]


def _commands(text: str) -> Iterator[list[str]]:
    """Yields the words of each command of a shell block."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = next((n for n, word in enumerate(words) if word in ("|", "&&", ";")), len(words))
            yield words[:end]
            words = words[end + 1 :]


class Reached(BaseException):
    """A command has reached its work."""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a reader who works in the root of a clone."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def _spread(every: list[Any]) -> list[Any]:
    """Returns at most about `MOST_CELLS` of many, from all places among them."""
    return every[:: max(1, len(every) // MOST_CELLS)]


def _stop_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = command.run

    def check(body: Callable[[DictConfig], None], config: DictConfig) -> None:
        if body is app._echo:
            configuration.read(config)
        if body is report._report and config.get("study") is not None:
            study.read(config, configuration.overrides(HydraConfig.get()))
        raise Reached

    def stopped(body: Callable[[DictConfig], None], settings: str, **how: Any) -> None:
        compose(lambda config: check(body, config), settings, **how)

    def swept(asked: plan.Sweep, *_: object) -> None:
        assert asked.jobs
        assert [job.problem for job in asked.jobs if job.error] == []
        raise Reached

    def searched(*_: object) -> None:
        raise Reached

    cells = study.Study._cells
    monkeypatch.setattr(study.Study, "_cells", lambda asked: _spread(cells(asked)))
    monkeypatch.setattr(command, "run", stopped)
    Plugins.instance()  # which loads them once
    monkeypatch.setattr("echo_exp.sweeps.run_sweep.run_sweep", swept)
    monkeypatch.setattr("echo_exp.sweeps.search.run_search.run_search", searched)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")  # Slurm's sbatch


def _follow_own(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, function = PROJECT["scripts"][words[0]].partition(":")
    main = getattr(importlib.import_module(module), function)
    if words[0] == "echo-exp" and not any(NOT_RUN.match(word) for word in words):
        monkeypatch.setattr("sys.argv", [*words, *SHORT])
        main()
        return
    _stop_before_work(monkeypatch)
    monkeypatch.setattr("sys.argv", list(words))
    with pytest.raises((Reached, SystemExit)) as end:
        main()
    asks = {"--help", "--cfg", "--hydra-help"} & set(words)
    assert isinstance(end.value, SystemExit) == bool(asks), end.value
    assert not isinstance(end.value, SystemExit) or end.value.code in (None, 0)


def _follow_make(words: list[str], _: pytest.MonkeyPatch) -> None:
    subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)


def _follow_python(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert words[1] == "-m"
    parse = argparse.ArgumentParser.parse_args

    def parsed(self: argparse.ArgumentParser, *arguments: Any) -> None:
        parse(self, *arguments)
        raise Reached

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr("sys.argv", words[2:])
    monkeypatch.syspath_prepend(str(ROOT))
    with pytest.raises(Reached):
        runpy.run_module(words[2], run_name="__main__")


def _follow_pip(words: list[str], _: pytest.MonkeyPatch) -> None:
    assert words[1] == "install"
    for name in words[2:]:
        extra = re.fullmatch(r"echo_exp\[(\w+)\]", name)
        assert extra, f"{name} is not ours"
        assert extra[1] in PROJECT["optional-dependencies"]


def _follow_click(words: list[str], _: pytest.MonkeyPatch) -> None:
    home = {"mlflow": "mlflow.cli", "ray": "ray.scripts.scripts"}[words[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of its own imports
        group = importlib.import_module(home).cli
    for place, word in enumerate(words[1:], start=1):
        found = group.get_command(click.Context(group), word)
        assert found is not None, word
        if not isinstance(found, click.Group):
            found.make_context(word, words[place + 1 :])
            return
        group = found
    raise AssertionError(f"{words} names no command")


def _follow_postgres(words: list[str], _: pytest.MonkeyPatch) -> None:
    if not Path(words[0]).exists():
        pytest.skip(f"there is no {words[0]}")
    help_ = subprocess.run([words[0], "--help"], capture_output=True, text=True, check=True).stdout
    for option in filter(None, (re.match(r"--?\w[\w-]*(?==|$)", word) for word in words[1:])):
        assert re.search(rf"{option[0]}\b", help_), option


def _follow_curl(words: list[str], _: pytest.MonkeyPatch) -> None:
    assert words[1].startswith("http://127.0.0.1:")
    assert "inputs" in json.loads(words[words.index("-d") + 1])


FOLLOW: dict[str, Callable[[list[str], pytest.MonkeyPatch], None]] = {
    **dict.fromkeys(PROJECT["scripts"], _follow_own),
    **dict.fromkeys(("initdb", "pg_ctl", "createdb"), _follow_postgres),
    **dict.fromkeys(("mlflow", "ray"), _follow_click),
    "curl": _follow_curl,
    "make": _follow_make,
    "pip": _follow_pip,
    "python": _follow_python,
}


def _own_configuration(page: Path, folder: Path) -> None:
    """Creates the files that the page tells its reader to write."""
    example = next((b for b in BLOCKS if b.page == page and b.language == "yaml"), None)
    if example is not None and "my_conf" in page.read_text(encoding="utf-8"):
        group = "study" if "\nstudy:" in example.text else "search"
        file = folder / "my_conf" / group / "mine.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(example.text, encoding="utf-8")


def _cells(block: Block) -> bool:
    """Says whether a block of a report has the commands of a study's cells."""
    return block.language == INDENTED and "study=" not in block.text


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language in (*SHELL, INDENTED) and not _cells(b)], ids=str
)
def test_the_commands_of_a_block_work(
    block: Block, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["bash", "-n", "-c", block.text], check=True)
    _own_configuration(block.page, reader)
    for words in _commands(block.text):
        told = [word.partition("=") for word in words[words[0] == "export" :]]
        while told and re.fullmatch(r"[A-Z_]+", told[0][0]) and told[0][1]:
            name, _, value = told.pop(0)
            value = os.path.expandvars(value)
            if name == "PYTHONPATH":
                monkeypatch.syspath_prepend(value)
            else:
                monkeypatch.setenv(name, value)
        rest = [os.path.expandvars("".join(parts)) for parts in told]
        if rest:
            name = Path(rest[0]).name
            assert name in FOLLOW, f"{name}: say in FOLLOW how this command is tried"
            with monkeypatch.context() as one:
                FOLLOW[name](rest, one)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in (*SHELL, INDENTED)], ids=str)
def test_a_command_can_be_pasted_into_any_shell(block: Block) -> None:
    # zsh takes brackets for a pattern of file names unless they are quoted.
    for line in block.text.splitlines():
        unquoted = re.sub(r"'[^']*'|\"[^\"]*\"|\s#.*", "", line)
        assert not re.search(r"[\[\]{}]", unquoted)


@pytest.mark.parametrize("block", [b for b in BLOCKS if _cells(b)], ids=str)
def test_the_commands_of_the_cells_in_a_report_can_be_composed(block: Block) -> None:
    commands = list(_commands(block.text))
    assert {words[0] for words in commands} == {"echo-exp"}
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        jobs = plan.make_jobs(words[1:] for words in _spread(commands))
    assert [job.problem for job in jobs if job.error] == []


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in PYTHON], ids=str)
def test_a_python_block_runs(block: Block, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", list(sys.path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning has advice for everybody
        exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize(
    "page", sorted({block.page for block in BLOCKS if block.language == CELL}), ids=lambda p: p.stem
)
def test_a_notebook_runs(page: Path, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", list(sys.path))
    names: dict[str, Any] = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in BLOCKS:
            if (block.page, block.language) == (page, CELL):
                cell = re.sub(r"^:tags:.*$", "", block.text, flags=re.MULTILINE)
                exec(compile(cell, str(block), "exec"), names)


def test_every_block_has_a_language_that_these_tests_check() -> None:
    known = {*SHELL, *PYTHON, INDENTED, "yaml", CELL, "toctree", "include"}
    known |= {"literalinclude", "eval-rst", ""}
    assert {block.language.split()[0] if block.language else "" for block in BLOCKS} <= known
