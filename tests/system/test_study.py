"""A study from its command to its report, with a real store."""

import re
import signal
from pathlib import Path

import pandas as pd
import pytest

from echo_exp import config as configuration

from .conftest import TIMEOUT, Program, wait_for

TINY = ("epochs=4", "trainer.validate_every=2", "trainer.test_sequences=4", "replicas=8")
NAMES = sorted(path.stem for path in (configuration.FOLDER / "study").glob("[a-z]*.yaml"))
DOCS = Path(__file__).parents[2] / "docs" / "studies.md"


def _own(program: Program, text: str) -> tuple[str, ...]:
    """Writes a user's own study and returns the arguments that name it."""
    (program.folder / "my_conf" / "study").mkdir(parents=True)
    (program.folder / "my_conf" / "study" / "mine.yaml").write_text(text)
    return "--config-dir", "my_conf", "study=mine"


def _written(program: Program, name: str) -> dict[str, bytes]:
    folder = program.folder / "outputs" / "reports" / name
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _cells(program: Program, name: str) -> pd.DataFrame:
    return pd.read_csv(program.folder / "outputs" / "reports" / name / "cells.csv")


@pytest.mark.parametrize("name", NAMES)
def test_every_study_runs_and_has_a_report(program: Program, name: str) -> None:
    arguments = (f"study={name}", "study.scale=quick", *TINY)
    done = program.run(*arguments)
    assert done.returncode == 0, done.stderr
    parent, *jobs = program.runs()
    assert f"{len(jobs)} of {len(jobs)} jobs succeeded" in done.stdout
    assert parent.data.tags["study"] == name
    assert {job.data.tags["mlflow.parentRunId"] for job in jobs} == {parent.info.run_id}
    experiment = program.client.get_experiment(parent.info.experiment_id)
    assert experiment.name == f"study/{name}"

    reported = program.report(*arguments)
    assert reported.returncode == 0, reported.stderr
    cells = _cells(program, name)
    assert (cells["status"] == "FINISHED").all()
    assert (cells["seeds"] == 8).all()
    assert (cells["epochs"] == 4).all()  # as given, and not as in the study's file
    assert (cells["test/accuracy_low"] <= cells["test/accuracy"]).all()
    assert (cells["test/accuracy"] <= cells["test/accuracy_high"]).all()
    written = _written(program, name)
    for figure in ("scores", "solving", "curves"):
        assert written[f"{figure}.png"].startswith(b"\x89PNG")
        assert b"<svg" in written[f"{figure}.svg"]
    assert f"echo-exp {' '.join(arguments)}" in written["report.md"].decode()
    page = written["report.html"].decode()
    assert page.count("data:image/png;base64,") == 3
    assert re.search(r'src="(?!data:)', page) is None  # it needs no file beside it
    logged = {a.path for a in program.client.list_artifacts(parent.info.run_id, "report")}
    assert logged == {f"report/{file}" for file in written}


def test_a_users_own_study_is_one_file(program: Program) -> None:
    example = re.search(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert example is not None
    mine = (*_own(program, example.group(1)), *TINY)
    assert program.run(*mine).returncode == 0
    assert program.report(*mine).returncode == 0
    before = _written(program, "mine")
    assert b"Do more units help" in before["report.md"]

    again = program.run(*mine)
    assert again.returncode == 0
    assert again.stdout.count("ok, finished earlier") == 4
    assert len(program.runs()) == 5  # no run is made twice, nor the parent
    assert program.report(*mine).returncode == 0
    assert _written(program, "mine") == before


FAILING = """
# @package _global_
defaults: [_base]
study:
  name: mine
  question: What of a cell that fails?
  compare: optimizer.learning_rate
  scales:
    full:
      - optimizer.learning_rate: [1e-3, 1e38, 1e-2]
        epochs: 50
"""


def test_what_failed_is_in_the_report_in_numbers(program: Program) -> None:
    mine = _own(program, FAILING)
    done = program.run(*mine)
    assert done.returncode == 1
    assert "2 of 3 jobs succeeded" in done.stdout
    assert program.report(*mine).returncode == 0
    text = _written(program, "mine")["report.md"].decode()
    assert "2 of 3 cells finished, 2 seeds" in text
    assert "1 cells are missing" in text
    assert "**missing** (FAILED): learning_rate 1e+38" in text
    assert _cells(program, "mine")["status"].tolist() == ["FINISHED", "FAILED", "FINISHED"]


def test_a_study_that_was_killed_goes_on_where_it_stopped(program: Program) -> None:
    mine = (
        *_own(program, FAILING.replace("1e38", "3e-3").replace("50", "2000")),
        "trainer.checkpoint_seconds=0.2",
    )
    process = program.start(*mine)
    checkpoints = program.folder / "outputs" / "artifacts"
    wait_for(lambda: len(list(checkpoints.glob("**/last.ckpt"))) == 2, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT)
    assert "the same command goes on where it stopped" in err
    first, *_ = (run for run in program.runs() if run.data.tags["kind"] == "run")
    done = program.run(*mine)
    assert done.returncode == 0, done.stderr
    parent, *jobs = program.runs()
    assert [run.info.status for run in (parent, *jobs)] == ["FINISHED"] * 4
    assert jobs[0].info.end_time == first.info.end_time  # it was not touched again
    for job in jobs:
        assert [step for step, _ in program.history(job, "train/loss")] == list(range(1, 2001))


def test_a_report_of_a_study_never_run_says_what_makes_it(program: Program) -> None:
    done = program.report("study=topologies")
    assert done.returncode == 2
    assert "there is no such store yet" in done.stderr
    assert "`echo-exp study=topologies study.scale=full` makes it" in done.stderr
    assert not (program.folder / "outputs" / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("study=ignore_stat",), "study=ignore_stat is not allowed: it must be ignore_state or"),
        (("study=ignore_state", "study.scale=half"), "study.scale=half is not allowed"),
        (("study=ignore_state", "epochs=1,2"), "epochs=1,2 is not allowed"),
        (("study=ignore_state", "epochs=0"), "epochs=0 is not allowed"),
        (("study=ignore_state", "batch_size=7"), "batch_size=7 is not allowed"),
        (("study=ignore_state,topologies",), "study=ignore_state,topologies is not allowed"),
    ],
)
def test_a_wrong_study_is_explained(
    program: Program, arguments: tuple[str, ...], said: str
) -> None:
    for done in (program.run(*arguments), program.report(*arguments)):
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert program.runs() == []
