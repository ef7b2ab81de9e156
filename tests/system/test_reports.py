"""Reports of sweeps and of any runs, made by the commands."""

import json
from pathlib import Path

import pytest
from mlflow.entities import Run

from .conftest import Program
from .nursery import Nursery

SWEEP = ("-m", "model.units=5,20", "seed=1,2", "epochs=100", "batch_size=7")
FAILING = ("-m", "batch_size=7,8", "optimizer.learning_rate=1e-3,-1", "epochs=25")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Program:
    """A store with a sweep."""
    program = Program(tmp_path_factory.mktemp("reports"), nursery)
    for arguments in (SWEEP, ("seed=7", "epochs=25")):
        assert program.run(*arguments).returncode == 0
    return program


def _parent(program: Program) -> Run:
    return next(run for run in program.runs() if run.data.tags.get("kind") == "sweep")


def _artifacts(program: Program, run: Run, path: str | None = None) -> set[str]:
    return {Path(f.path).name for f in program.client.list_artifacts(run.info.run_id, path)}


def test_a_sweep_has_its_report_among_the_artifacts_of_its_run(store: Program) -> None:
    parent = _parent(store)
    assert {"plan.json", "jobs.json", "report"} <= _artifacts(store, parent)
    report = _artifacts(store, parent, "report")
    assert {"report.md", "report.html", "scores.png", "ranking.csv", "jobs.csv"} <= report
    assert parent.data.tags["mlflow.note.content"].startswith("**Best: units 20: ")


def test_the_run_of_a_sweep_has_its_settings_and_progress(store: Program) -> None:
    parent = _parent(store)
    assert parent.data.params["model.units"] == "5, 20"
    assert parent.data.params["epochs"] == "100"
    assert parent.data.metrics["sweep/finished"] == 4
    assert parent.data.metrics["sweep/failed"] == 0
    assert parent.data.metrics["sweep/best_accuracy"] > 0.1


def test_jobs_are_named_by_what_distinguishes_them(store: Program) -> None:
    names = {run.info.run_name for run in store.runs() if run.info.run_name.startswith("units")}
    assert names == {f"units {units}, seed {seed}" for units in (5, 20) for seed in (1, 2)}


def test_the_report_of_the_last_sweep_can_be_written_again(store: Program) -> None:
    written = store.folder / "outputs" / "reports" / "sweeps" / _parent(store).info.run_id
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    done = store.report("sweep=last")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Best: units 20: ")
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


def test_any_runs_can_be_compared(store: Program) -> None:
    ids = [run.info.run_id for run in store.runs() if run.info.run_name.endswith("seed 1")]
    done = store.report(f"runs=[{','.join(ids)}]")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("units 5: ")
    assert "; against the first " in second


def test_a_job_that_another_sweep_has_finished_counts_in_this_one(program: Program) -> None:
    for seeds in ("1", "1,2"):
        arguments = ("-m", f"seed={seeds}", "model.units=5,6", "epochs=25", "sweep.report=false")
        assert program.run(*arguments).returncode == 0
    done = program.report("sweep=last")
    assert done.returncode == 0, done.stderr
    assert "2 seeds" in done.stdout.splitlines()[0]
    assert not [p for p in program.folder.glob("outputs/reports/sweeps/*") if p.suffix]


def test_failed_jobs_are_in_the_report(program: Program) -> None:
    """One setting is refused before the start, another by its job."""
    assert program.run(*FAILING).returncode == 1
    done = program.report("sweep=last")
    assert done.returncode == 0, done.stderr
    assert "2 of 4 jobs: FAILED: batch_size=8 is not allowed" in done.stdout
    assert "1 of 4 jobs: FAILED: optimizer.learning_rate=-1 is not allowed" in done.stdout
    written = next(program.folder.glob("outputs/reports/sweeps/*/report.md"))
    assert "optimizer.learning_rate=-1 is not allowed" in written.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("study=null", "name one of study=, sweep=, runs=")),
        (("sweep=last", "runs=[a]"), ("runs=['a'] is not allowed", "with sweep=")),
        (("sweep=nobody",), ("sweep=nobody", "the newest of experiment echo are:")),
        (("sweep=last", "metric=test/mae"), ("metric=test/mae", "test/accuracy")),
        (
            ("sweep=last", "tracking.experiment=other"),
            ("sweep=last", "experiment other has no sweep yet"),
        ),
        (("runs=[nobody]",), ("runs=nobody", "it must be `last`")),
        (("runs='metrics.m > '",), ("runs=", "MLflow refuses it")),
        (("runs=[]",), ("runs=[]",)),
        (("study=topologies", "metric=test/loss"), ("metric=test/loss", "defines its own metric")),
        (("study=topologies", "from=nowhere"), ("from=nowhere", "there is no such file")),
        (("study=topologies", "from=/dev/null"), ("from=/dev/null", "Parquet")),
        (("sweep=last", "from=file"), ("from=file", "only the report of a study")),
    ],
)
def test_an_impossible_report_is_refused_in_one_line(
    store: Program, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = store.report(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_a_single_run_is_refused_as_a_sweep(store: Program) -> None:
    single = next(run for run in store.runs() if run.data.params.get("seed") == "7")
    done = store.report(f"sweep={single.info.run_id}")
    assert done.returncode == 2
    assert "it is the id of a single run" in done.stderr


def test_the_plan_of_a_sweep_is_a_table(store: Program) -> None:
    text = store.client.download_artifacts(_parent(store).info.run_id, "plan.json")
    table = json.loads(Path(text).read_text(encoding="utf-8"))
    assert table["columns"] == ["job", "settings", "fingerprint", "code", "problem"]
    assert [row[0] for row in table["data"]] == [0, 1, 2, 3]
