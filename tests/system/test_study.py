"""A study from its command to its report, with a real store."""

import io
import re
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest

from echo_exp import configuration

from .conftest import TIMEOUT, Program, wait_for

TINY = ("epochs=4", "trainer.validate_every=2", "trainer.test_sequences=4", "replicas=8")
NAMES = sorted(path.stem for path in (configuration.FOLDER / "study").glob("[a-z]*.yaml"))
DOCS = Path(__file__).parents[2] / "docs" / "studies.md"


def _own(program: Program, text: str) -> tuple[str, ...]:
    """Writes a user's own study and returns the arguments that name it."""
    (program.folder / "my_conf" / "study").mkdir(parents=True)
    (program.folder / "my_conf" / "study" / "mine.yaml").write_text(text, encoding="utf-8")
    return "--config-dir", "my_conf", "study=mine"


def _written(program: Program, name: str, scale: str = "full") -> dict[str, bytes]:
    folder = program.folder / "outputs" / "reports" / name / scale
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _cells(program: Program, name: str, scale: str = "full") -> pd.DataFrame:
    return pd.read_csv(program.folder / "outputs" / "reports" / name / scale / "cells.csv")


@pytest.mark.parametrize("name", NAMES)
def test_every_study_runs_and_has_a_report(program: Program, name: str) -> None:
    arguments = (f"study={name}", "study.scale=quick", *TINY)
    done = program.run(*arguments)
    assert done.returncode == 0, done.stderr
    parent, *jobs = program.runs()
    assert re.search(r"\b(\d+) of \1 jobs succeeded", done.stdout)
    assert parent.data.tags["study"] == name
    assert {job.data.tags["mlflow.parentRunId"] for job in jobs} == {parent.info.run_id}
    experiment = program.client.get_experiment(parent.info.experiment_id)
    assert experiment.name == f"study/{name}"

    reported = program.report(*arguments)
    assert reported.returncode == 0, reported.stderr
    cells = _cells(program, name, "quick")
    assert (cells["status"] == "FINISHED").all()
    assert (cells["seeds"] == 8).all()
    assert (cells["epochs"] == 4).all()  # as given, and not as in the study's file
    assert (cells["test/accuracy_low"] <= cells["test/accuracy"]).all()
    assert (cells["test/accuracy"] <= cells["test/accuracy_high"]).all()
    written = _written(program, name, "quick")
    for figure in ("scores", "solving", "curves"):
        assert written[f"{figure}.png"].startswith(b"\x89PNG")
        assert b"<svg" in written[f"{figure}.svg"]
    assert f"echo-exp {' '.join(arguments)}" in written["report.md"].decode()
    page = written["report.html"].decode()
    assert page.count("data:image/png;base64,") == sum(name.endswith(".png") for name in written)
    assert re.search(r'src="(?!data:)', page) is None  # it needs no file beside it
    logged = {a.path for a in program.client.list_artifacts(parent.info.run_id, "report")}
    assert logged == {f"report/{file}" for file in written}


def test_a_users_own_study_is_one_file(program: Program) -> None:
    example = re.search(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
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

    kept = program.folder / "elsewhere.parquet"
    kept.write_bytes(before["runs.parquet"])
    shutil.rmtree(program.folder / "outputs")  # the store too
    assert program.report(*mine, f"from={kept}").returncode == 0
    assert _written(program, "mine") == before


GROWING = """
# @package _global_
defaults: [_base]
study:
  name: mine
  question: Do more seeds decide it?
  compare: model.units
  scales:
    full: [{model.units: [3, 4], epochs: 4, replicas: 3, trainer.validate_every: 2}]
"""


def test_more_seeds_are_added_to_those_that_have_finished(program: Program) -> None:
    mine = _own(program, GROWING)
    assert program.run(*mine).returncode == 0
    told = program.run(*mine, "replicas=5", "sweep.dry_run=true")
    assert "4 jobs: 2 finished earlier, 2 to run" in told.stdout
    done = program.run(*mine, "replicas=5")
    assert done.returncode == 0, done.stderr
    assert "Seeds that have finished in earlier runs: 6 of 10." in done.stdout
    assert done.stdout.count("ok, finished earlier") == 2
    runs = [run for run in program.runs() if run.data.tags["kind"] == "run"]
    seeds = [(run.data.params["seed"], run.data.params["replicas"]) for run in runs]
    assert sorted(seeds) == [("1", "3"), ("1", "3"), ("4", "2"), ("4", "2")]
    assert program.report(*mine, "replicas=5").returncode == 0
    joined = _written(program, "mine")

    whole = (*mine, "replicas=5", "tracking.experiment=whole")
    assert program.run(*whole).returncode == 0
    assert program.report(*whole).returncode == 0
    at_once = _written(program, "mine")
    a, b = (pd.read_csv(io.BytesIO(each["seeds.csv"])) for each in (joined, at_once))
    pd.testing.assert_frame_equal(a, b, rtol=1e-5)
    said = "The seeds of 2 cells were trained in several runs."
    assert said in joined["report.md"].decode()
    assert said not in at_once["report.md"].decode()


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


def test_the_report_counts_failed_cells_and_gives_the_reason(program: Program) -> None:
    """Two of four cells diverge; four more are refused by their jobs and have no run."""
    grid = "[1e-3, 1e-2, 1e37, 1e38]\n        problem.n_out: [5, 2]"
    text = FAILING.replace("[1e-3, 1e38, 1e-2]", grid)
    mine = _own(program, text.replace("  scales:", "  panel: problem.n_out\n  scales:"))
    done = program.run(*mine)
    assert done.returncode == 1
    assert "2 of 8 jobs succeeded, 6 failed" in done.stdout
    reported = program.report(*mine)
    assert reported.returncode == 0, reported.stderr
    text = _written(program, "mine")["report.md"].decode()
    assert "2 of 8 cells finished, 2 seeds" in text
    assert "Missing cells: 6;" in text
    assert re.search(
        r"\*\*missing\*\* \(FAILED: DivergedError: .*\), 2 cells: "
        r"lr 1e\+37, n_out 5, epochs 50; lr 1e\+38, n_out 5, epochs 50$",
        text,
        re.MULTILINE,
    )
    assert "(4 cells): FAILED: problem.n_out=2 is not allowed: without padding" in reported.stdout
    cells = _cells(program, "mine")
    assert cells["status"].value_counts().to_dict() == {"FINISHED": 2, "FAILED": 6}
    assert (cells["error"].isna() == (cells["status"] == "FINISHED")).all()


def test_without_a_finished_cell_the_command_says_why_there_is_no_report(program: Program) -> None:
    mine = _own(program, FAILING.replace("[1e-3, 1e38, 1e-2]", "[1e37, 1e38]"))
    assert program.run(*mine).returncode == 1
    reported = program.report(*mine)
    assert reported.returncode == 2
    assert "no cell of it has finished in" in reported.stderr
    assert "(2 cells): FAILED: DivergedError: the loss of epoch" in reported.stderr
    assert len(reported.stderr.splitlines()) == 1


def test_a_killed_study_continues_where_it_stopped(program: Program) -> None:
    mine = (
        *_own(program, FAILING.replace("1e38", "3e-3").replace("50", "600")),
        "trainer.checkpoint_seconds=0.2",
        "sweep.fused=false",
    )
    process = program.start(*mine)
    checkpoints = program.folder / "outputs" / "artifacts"
    wait_for(lambda: len(list(checkpoints.glob("**/last.ckpt"))) == 2, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signal.SIGINT
    assert "the same command continues it where it stopped" in err
    parent, first, second = program.runs()
    statuses = [run.info.status for run in (parent, first, second)]
    assert statuses == ["KILLED", "FINISHED", "KILLED"]
    done = program.run(*mine)
    assert done.returncode == 0, done.stderr
    parent, *jobs = program.runs()
    assert [run.info.status for run in (parent, *jobs)] == ["FINISHED"] * 4
    assert jobs[0].info.end_time == first.info.end_time  # it was not touched again
    for job in jobs:
        assert [step for step, _ in program.history(job, "train/loss")] == list(range(1, 601))


SCALES = """
# @package _global_
defaults: [_base]
study:
  name: mine
  question: Which of the scales is there?
  compare: seed
  scales:
    tiny: [{seed: [1, 2], epochs: 2}]
    small: [{seed: [1, 2], epochs: 3}]
    full: [{seed: [1, 2], epochs: 4}]
"""


def test_a_report_covers_the_largest_finished_scale_and_says_so(program: Program) -> None:
    mine = _own(program, SCALES)
    for scale in ("tiny", "small"):
        assert program.run(*mine, f"study.scale={scale}").returncode == 0
    done = program.report(*mine)
    assert done.returncode == 0, done.stderr
    assert (
        "No run of study.scale=full has finished; this report is of scale small.\n" in done.stdout
    )
    assert _cells(program, "mine", "small")["epochs"].tolist() == [3, 3]
    assert program.report(*mine, "study.scale=tiny").returncode == 0
    assert _cells(program, "mine", "tiny")["epochs"].tolist() == [2, 2]
    refused = program.report(*mine, "study.scale=full")
    assert refused.returncode == 2
    assert "no cell of it has finished in" in refused.stderr
    folders = {path.name for path in (program.folder / "outputs" / "reports" / "mine").iterdir()}
    assert folders == {"tiny", "small"}


@pytest.mark.parametrize("dry", [(), ("sweep.dry_run=true",)])
def test_settings_in_the_file_of_a_study_that_no_cell_would_get_are_refused(
    program: Program, dry: tuple[str, ...]
) -> None:
    lost = SCALES.replace("[_base]", "[_base, override /model: gru]") + "seed: 9\n"
    done = program.run(*_own(program, lost), *dry)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "echo-exp: study=mine is not allowed: its file sets model, seed, which has no effect "
        "there: set it in the grids of study.scales or on the command line"
    )
    assert program.runs() == []


def test_a_report_of_a_study_that_never_ran_names_the_command_that_runs_it(
    program: Program,
) -> None:
    done = program.report("study=topologies")
    assert done.returncode == 2
    assert "there is no such store yet" in done.stderr
    assert "`echo-exp study=topologies study.scale=full` creates it" in done.stderr
    assert not list(program.folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("study=ignore_stat",),
            "study=ignore_stat is not allowed: it must be architectures or ignore_state or",
        ),
        (("study=ignore_state", "study.scale=half"), "study.scale=half is not allowed"),
        (("study=ignore_state", "epochs=1,2"), "epochs=1,2 is not allowed"),
        (("study=ignore_state", "epochs=0"), "epochs=0 is not allowed"),
        (("study=ignore_state", "batch_size=7"), "batch_size=7 is not allowed"),
        (("study=ignore_state,topologies",), "study=ignore_state,topologies is not allowed"),
    ],
)
def test_a_wrong_setting_of_a_study_is_explained(
    program: Program, arguments: tuple[str, ...], said: str
) -> None:
    for done in (program.run(*arguments), program.report(*arguments)):
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert program.runs() == []
