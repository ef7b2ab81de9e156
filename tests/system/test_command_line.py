"""Hydra's flags work as Hydra documents them, or are refused in one line; all commands alike."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from echo_exp import configuration

from .called import COMMANDS, Called
from .conftest import Completed, Program

ALL = [*COMMANDS]


ALONE = [name for name in ALL if name != "echo-exp"]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [each for each in root.handlers if type(each) is logging.StreamHandler]:
        root.removeHandler(handler)  # of --info


ANSWERS = {
    # arguments of echo-exp: words of the answer
    ("--info",): ("Installed Hydra Plugins", "Defaults List", "Config search path"),
    ("--info", "all"): ("Installed Hydra Plugins", "Defaults List", "seed: 1"),
    ("--info", "config"): ("Defaults Tree", "seed: 1"),
    ("--info", "defaults"): ("Defaults List", "| model/seq2seq"),
    ("--info", "defaults", "model=stateless"): ("| model/stateless",),
    ("--info", "defaults-tree"): ("  model: seq2seq",),
    ("--info", "plugins"): ("EchoSweeper", "OptunaSweeper", "RayLauncher"),
    ("--info", "searchpath"): (f"file://{configuration.FOLDER}",),
    ("--cfg", "job"): ("seed: 1", "output_dir: outputs"),
    ("seed=5", "--cfg", "job", "epochs=3"): ("seed: 5", "epochs: 3"),
    ("--cfg", "job", "-p", "tracking"): ("# @package tracking", "artifacts: ${output_dir}"),
    ("--cfg", "job", "-p", "tracking", "--resolve"): ("artifacts: outputs/",),
    ("--cfg", "job", "-p", "epochs"): ("500",),
    ("--cfg", "hydra"): ("hydra:", "dir: ${output_dir}/sweeps"),
    ("--cfg", "hydra", "--resolve"): ("# @package hydra", "dir: outputs/sweeps"),
    ("--cfg", "hydra", "-p", "hydra.run", "--resolve"): ("# @package hydra.run", "dir: outputs"),
    ("--cfg", "all"): ("hydra:", "seed: 1"),
    ("--cfg", "all", "--resolve"): ("dir: outputs/sweeps", "seed: 1"),
    ("study=ignore_state", "--cfg", "job", "-p", "study"): ("name: ignore_state",),
    ("search=cheapest", "-c", "hydra", "-p", "hydra.sweeper"): ("minimize parameters",),
    ("--help",): ("echo-exp trains networks", "model: attention, "),
    ("--help", "--resolve"): ("artifacts: outputs/",),
    ("--hydra-help",): ("== Flags ==", "--shell-completion"),
    ("-cp", str(configuration.FOLDER), "--cfg", "job"): ("seed: 1",),
    ("-cn", "predict", "--cfg", "job"): ("checkpoint: last",),
}


@pytest.mark.parametrize("arguments", ANSWERS, ids=" ".join)
def test_hydras_options_print_what_they_promise(arguments: tuple[str, ...], call: Called) -> None:
    done = call("echo-exp", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ANSWERS[arguments]:
        assert word in done.stdout


REFUSED = {
    # arguments of echo-exp: words of the one line
    ("-m", "seed=1,2", "--cfg", "job"): ("--cfg=job", "one run", "`echo-exp seed=1 --cfg job`"),
    ("-m", "seed=1,2", "--info", "defaults"): ("--multirun", "not together with --info"),
    ("--run", "--multirun"): ("--run", "not together with --multirun"),
    ("seed=1,2", "--cfg", "job"): ("seed=1,2", "single value"),
    ("model=glob(*)",): ("model=glob(*)", "--multirun"),
    ("--cfg",): ("--cfg", "a value"),
    ("--cfg", "jobs"): ("--cfg=jobs", "job or hydra or all"),
    ("--cfg", "job", "-p", "nothing"): ("'nothing' not found",),
    ("--info", "none"): ("--info=none", "defaults or defaults-tree"),
    ("--resolve",): ("--resolve", "--cfg"),
    ("-p", "model"): ("--package=model", "--cfg"),
    ("--nonsense",): ("--nonsense", "no such flag"),
    ("-cd", "nowhere"): ("--config-dir=nowhere", "no such folder"),
    ("-cp", "conf"): ("--config-path=conf", "--config-dir"),
    ("-cp", "/nowhere"): ("--config-path=/nowhere", "--config-dir"),
    ("-cn", "nothing"): ("'nothing'",),
    ("--experimental-rerun", "config.pickle"): ("--experimental-rerun", "may run any code"),
    ("-sc",): ("--shell-completion", "install=<shell>"),
    ("-sc", "install=tcsh"): ("install=tcsh", "bash, fish, zsh"),
    ("-sc", "query=bash"): ("query=bash", "COMP_LINE"),
    ("--run", "study=ignore_state"): ("study=ignore_state", "one run"),
    ("search=cheapest", "hydra.mode=RUN"): ("search=cheapest", "one run"),
    ("--run", "launch=joblib"): ("launch=joblib", "one run"),
    ("-m", "optimizer.learning_rate=interval(0, 1)"): ("interval(0, 1)", "hydra/sweeper=optuna"),
    ("-m", "seed=range(3, 3)"): ("seed=range(3, 3)", "nothing to choose"),
    ("-m", "model=glob(none*)"): ("model=glob(none*)", "nothing to choose"),
    ("-m", "seed=json_str(1),2"): ("seed=json_str(1),2", "cannot be read"),
    ("-m", "seed=1", "hydra.sweeper.max_batch_size=0"): ("max_batch_size=0", "at least 1"),
    ("-m", "seed=1", "hydra.launcher=1,2"): ("hydra.launcher",),
    ("study=ignore_state", "seed=1,2"): ("seed=1,2", "single value"),
    ("study=ignore_state", "epochs=interval(1, 9)"): ("epochs=interval(1, 9)", "single value"),
    ("study=ignore_state", "+hydra.sweeper.params.seed=1"): ("hydra.sweeper.params", "own cells"),
    ("search=cheapest", "model=glob(none*)"): ("model=glob(none*)", "nothing to choose"),
    ("-m", "study=ignore_state", "trainer=glob(*)"): ("trainer=glob(*)", "single value"),
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_a_meaningless_command_line_is_refused_in_one_line(
    arguments: tuple[str, ...], call: Called, tmp_path: Path
) -> None:
    done = call("echo-exp", *arguments)
    assert done.returncode == 2
    for word in REFUSED[arguments]:
        assert word in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout
    assert not list(tmp_path.glob("**/*.ckpt"))


@pytest.mark.parametrize("name", ALL)
def test_every_command_prints_the_version(name: str, call: Called) -> None:
    done = call(name, "--version")
    assert (done.returncode, done.stdout) == (0, f"echo_exp {version('echo_exp')}\n")


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_its_own_help(name: str, call: Called) -> None:
    done = call(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{name} ")
    assert "output_dir: outputs" in done.stdout


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--info", "defaults"), "| tracking/local"),
        (("--cfg", "job", "-p", "tracking", "--resolve"), "artifacts: outputs/"),
        (("output_dir=there", "--cfg", "job"), "output_dir: there"),
    ],
)
def test_every_command_shows_its_configuration(
    name: str, arguments: tuple[str, ...], words: str, call: Called
) -> None:
    done = call(name, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert words in done.stdout


@pytest.mark.parametrize("name", ALONE)
def test_a_command_that_does_one_thing_refuses_a_sweep(name: str, call: Called) -> None:
    done = call(name, "-m", "output_dir=a,b")
    assert done.returncode == 2
    assert "--multirun is not allowed" in done.stderr
    several = call(name, "output_dir=a,b")
    assert several.returncode == 2
    assert "output_dir=a,b is not allowed: it must be a single value\n" in several.stderr


def test_a_sequence_is_not_taken_for_the_value_of_a_flag(call: Called) -> None:
    done = call("echo-exp-predict", "--cfg", "job", "-p", "sequences", "[1, 2]", "-3,4", "-5", "6")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == ["- '[1, 2]'", "- -3,4", "- '-5'", "- '6'"]


def _with_closed_pipe(module: str, arguments: Sequence[str], both: bool, folder: Path) -> Completed:
    """Runs a command whose standard output, or also standard error, nobody reads."""
    reads, writes = os.pipe()
    os.close(reads)
    try:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            stdout=writes,
            stderr=writes if both else subprocess.PIPE,
            cwd=folder,
            text=True,
            check=False,
        )
    finally:
        os.close(writes)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("echo_exp", ("--info", "defaults")),
        ("echo_exp", ("--cfg", "all")),
        ("echo_exp", ("--version",)),
        ("echo_exp.commands.report", ("--help",)),
        ("echo_exp.commands.sync", ()),
    ],
)
def test_a_closed_pipe_is_not_reported_as_an_error(
    module: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = _with_closed_pipe(module, arguments, both=False, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_training_continues_when_its_output_is_closed(program: Program) -> None:
    arguments = ("-m", "seed=1,2", "epochs=25", "model.units=2", "export=false")
    done = _with_closed_pipe("echo_exp", arguments, both=True, folder=program.folder)
    assert done.returncode == 0
    runs = program.runs()
    assert [run.info.status for run in runs] == ["FINISHED"] * 3


@pytest.fixture
def mine(program: Program) -> Program:
    """A program with a user's own configuration beside it."""
    folder = program.folder / "mine"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "small.yaml").write_text(
        "# @package _global_\n"
        "epochs: 1\nmodel: {units: 2}\n"
        "hydra:\n  mode: MULTIRUN\n"
        "  sweeper:\n    max_batch_size: 1\n"
        "    params: {seed: 'range(1, 3)', model: 'glob([seq2seq, state*])'}\n"
    )
    (folder / "tiny.yaml").write_text("defaults: [config, _self_]\nepochs: 1\nmodel: {units: 3}\n")
    return program


def test_an_experiment_file_may_be_a_sweep(mine: Program) -> None:
    command = ("--config-dir", "mine", "experiment=small", "seed=1")
    done = mine.run(*command)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 jobs succeeded" in done.stdout
    (parent,) = [run for run in mine.runs() if run.data.tags["kind"] == "sweep"]
    again = f"--config-dir={mine.folder / 'mine'} -m experiment=small seed=1"
    assert parent.data.tags["mlflow.source.name"].startswith(f"echo-exp {again}")
    note = parent.data.tags["mlflow.note.content"].replace("\\\n", " ")
    assert again in " ".join(note.split())
    assert mine.run(*command).stdout.count("ok, finished earlier") == 2


def test_a_sweep_accepts_another_primary_configuration(mine: Program) -> None:
    command = ("-cd", "mine", "-cn", "tiny", "-m", "seed=1,2")
    done = mine.run(*command)
    assert done.returncode == 0, done.stderr
    jobs = [run for run in mine.runs() if run.data.tags["kind"] == "run"]
    assert [run.data.params["model.units"] for run in jobs] == ["3", "3"]
    assert mine.run(*command).stdout.count("ok, finished earlier") == 2


def test_the_reported_sweep_runs_every_model(program: Program) -> None:
    done = program.run("-m", "model=glob(*, exclude=*padded)", "model.units=4", "epochs=1")
    assert f"of {len(list(configuration.FOLDER.glob('model/*.yaml'))) - 1} jobs" in done.stdout
    assert "transformer" in done.stdout
    assert "ConfigLoader" not in done.stderr
