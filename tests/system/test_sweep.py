"""A sweep: nested runs under one parent, a final table, and failures that stop no other job."""

import json
import re
import signal
import threading
from pathlib import Path

import pytest
from mlflow.entities import Run

from .conftest import TIMEOUT, Program, wait_for
from .faults import Record, counted, tell


def _artifact(run: Run, name: str) -> str:
    return (Path(run.info.artifact_uri.removeprefix("file://")) / name).read_text(encoding="utf-8")


def test_jobs_are_nested_under_one_parent(program: Program) -> None:
    done = program.run("-m", "seed=1,2,3", "epochs=5")
    assert done.returncode == 0, done.stderr
    parent, *jobs = program.runs()
    assert parent.data.tags["kind"] == "sweep"
    assert parent.info.status == "FINISHED"
    assert [job.data.tags["mlflow.parentRunId"] for job in jobs] == [parent.info.run_id] * 3
    assert sorted(job.data.params["seed"] for job in jobs) == ["1", "2", "3"]
    assert "3 of 3 jobs succeeded" in done.stdout
    assert parent.info.run_id in done.stdout


def test_a_failed_job_is_in_the_table_and_stops_no_other(program: Program) -> None:
    done = program.run("-m", "optimizer.learning_rate=1e-3,1e38,-1,1e-2", "epochs=50")
    assert done.returncode == 1
    rows = [line for line in done.stdout.splitlines() if line[:1].isdigit() and "rate=" in line]
    assert sorted(row.split()[-1] for row in rows) == ["failed", "failed", "ok", "ok"]
    assert "2 of 4 jobs succeeded, 2 failed" in done.stdout
    parent, *jobs = program.runs()
    description = parent.data.tags["mlflow.note.content"]
    table = json.loads(_artifact(parent, "jobs.json"))
    errors = [row[table["columns"].index("error")] for row in table["data"]]
    for number, said in ((1, "is not finite"), (2, "optimizer.learning_rate=-1 is not allowed")):
        for place in (done.stdout, done.stderr, description):
            assert re.search(rf"job {number}: .*{said}", place)
        assert said in errors[number]
    assert parent.info.status == "FAILED"
    assert [job.info.status for job in jobs] == ["FINISHED", "FAILED", "FINISHED"]


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_equal_failures_are_grouped_and_counted_consistently(
    program: Program, launcher: str
) -> None:
    values = ("batch_size=7,8", "optimizer.learning_rate=1e-3,1e38", "seed=1,2", "epochs=25")
    done = program.run("-m", *values, f"launch={launcher}")
    assert done.returncode == 1, done.stderr
    wrong = "jobs 4 to 7 (4 jobs): batch_size=8 is not allowed"
    diverged = "jobs 2 and 3 (2 jobs): DivergedError: the loss of epoch"
    description = program.runs()[0].data.tags["mlflow.note.content"]
    for place in (done.stdout, description):
        assert place.count(wrong) == place.count(diverged) == 1
        assert place.count("batch_size=8 is") == place.count("DivergedError") == 1
        assert "2 of 8 jobs succeeded, 6 failed" in place
    assert done.stderr.count("batch_size=8 is") == done.stderr.count("DivergedError") == 1
    assert "sweep: 8 of 8 done, 0 running, 6 failed" in done.stderr


def test_a_dry_run_lists_jobs_and_stacks_and_leaves_nothing(program: Program) -> None:
    arguments = ("-m", "seed=1,2", "model.units=5,6", "batch_size=7,8", "epochs=5")
    done = program.run(*arguments, "sweep.dry_run=true")
    assert done.returncode == 0, done.stderr
    cells = [line.split() for line in done.stdout.splitlines() if line[:1].isdigit()][:8]
    assert cells[0] == ["0", "seed=1", "model.units=5", "batch_size=7", "to", "run", "0"]
    assert [line[-1] for line in cells] == ["0", "wrong", "1", "wrong"] * 2
    assert (
        "8 jobs: 4 wrong, 4 to run, as 2 stacks of 2 networks, one after the other" in done.stdout
    )
    assert "jobs 1, 3, 5 and 7 (4 jobs): batch_size=8 is not allowed" in done.stdout
    assert "Time: unknown" in done.stdout
    assert list(program.folder.iterdir()) == []


def test_a_dry_run_knows_what_has_finished_and_how_long_it_took(program: Program) -> None:
    assert program.run("-m", "seed=1,2", "epochs=5").returncode == 0
    before = _content(program.folder / "outputs")
    done = program.run("-m", "seed=1,2,3,4", "epochs=5", "sweep.dry_run=true")
    assert "4 jobs: 2 finished earlier, 2 to run, as 1 stack of 2 networks" in done.stdout
    assert re.search(
        r"^Time: \d+ s of training, about 1 s of recording$", done.stdout, re.MULTILINE
    )
    again = program.run("-m", "seed=1,2", "epochs=5", "sweep.dry_run=true", "sweep.again=all")
    assert "2 jobs: 2 to run" in again.stdout
    assert _content(program.folder / "outputs") == before
    assert program.run("-m", "seed=1,2", "epochs=5").stdout.count("finished earlier") == 2


def _content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_wrong_name_among_the_values_is_refused_before_the_first_job(program: Program) -> None:
    done = program.run("-m", "model=seq2seq,seq2sqe")
    assert done.returncode == 2
    assert "model=seq2sqe is not allowed" in done.stderr
    assert program.runs() == []


def test_resume_auto_does_not_repeat_a_finished_run(program: Program) -> None:
    for _ in range(2):
        done = program.run("resume=auto", "epochs=5")
        assert done.returncode == 0, done.stderr
    (run,) = program.runs()
    assert f"run {run.info.run_id} has done this already" in done.stdout
    assert "echo-exp-ui" in done.stdout


def test_the_same_command_again_runs_what_is_missing(program: Program) -> None:
    first = ("-m", "seed=1,2", "optimizer.learning_rate=1e-3,1e38", "epochs=25")
    assert program.run(*first).returncode == 1
    done = program.run(*first)
    rows = [line for line in done.stdout.splitlines() if line[:1].isdigit() and "seed=" in line]
    assert sorted("finished earlier" in row for row in rows) == [False, False, True, True]
    assert "2 of 4 jobs succeeded" in done.stdout
    runs = program.runs()
    assert len([run for run in runs if run.data.tags["kind"] == "sweep"]) == 1
    finished = [run for run in runs if run.info.status == "FINISHED"]
    assert len(finished) == 2
    assert len(runs) == 5  # a job that failed goes on with its run

    left = program.run(*first, "sweep.again=new")
    assert "jobs 1 and 3 (2 jobs): earlier: DivergedError" in left.stdout
    assert len(program.runs()) == 5

    assert program.run(*first, "sweep.again=all").returncode == 1
    assert len(program.runs()) == 9


def test_adding_seeds_runs_only_the_new_ones(program: Program) -> None:
    assert program.run("-m", "seed=1,2", "epochs=5").returncode == 0
    done = program.run("-m", "seed=1,2,3", "epochs=5")
    assert done.stdout.count("ok, finished earlier") == 2
    assert len([run for run in program.runs() if run.data.tags["kind"] == "run"]) == 3


def test_jobs_with_the_same_settings_run_once(program: Program) -> None:
    done = program.run("-m", "seed=1,1", "epochs=5", "model.units=20")
    assert done.returncode == 0
    assert "2 of 2 jobs succeeded" in done.stdout
    assert len([run for run in program.runs() if run.data.tags["kind"] == "run"]) == 1


def test_two_processes_share_the_same_sweep(program: Program) -> None:
    arguments = ("-m", "seed=range(6)", "epochs=50")
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(program.run(*arguments))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for done in answers:
        assert done.returncode == 0, done.stderr
        assert "6 of 6 jobs succeeded" in done.stdout
    parents = [run for run in program.runs() if run.data.tags["kind"] == "sweep"]
    jobs = [run for run in program.runs() if run.data.tags["kind"] == "run"]
    assert [parent.info.status for parent in parents] == ["FINISHED"]
    assert sorted(int(job.data.params["seed"]) for job in jobs) == list(range(6))
    for job in jobs:
        assert job.info.status == "FINISHED"
        assert [step for step, _ in program.history(job, "train/loss")] == list(range(1, 51))


@pytest.mark.fault
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_sweep_continues_where_it_stopped(
    program: Program, signum: signal.Signals, record_property: Record
) -> None:
    arguments = ("-m", "seed=1,2", "epochs=1000", "trainer.checkpoint_seconds=0.2")
    process = program.start(*arguments)
    wait_for(lambda: program.epochs() > 0, process)
    process.send_signal(signum)
    process.communicate(timeout=TIMEOUT)
    wait_for(lambda: all(run.info.status != "RUNNING" for run in program.runs()))
    if signum == signal.SIGTERM:
        assert process.returncode == 128 + signum
        assert [run.info.status for run in program.runs()] == ["KILLED"] * 3
    done = program.run(*arguments)
    assert done.returncode == 0, done.stderr
    parent, *jobs = program.runs()
    assert [run.info.status for run in (parent, *jobs)] == ["FINISHED"] * 3
    found = [counted(program.client, job.info.run_id, ("train/loss",)) for job in jobs]
    fault = f"sweep's process stopped ({signum.name}), same command again"
    tell(record_property, fault, *((1000, *each) for each in found))


def test_a_sweep_without_tracking_prints_its_table(program: Program) -> None:
    done = program.run("-m", "seed=1,2", "epochs=5", "tracking=none")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 jobs succeeded" in done.stdout
