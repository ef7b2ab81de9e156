"""A sweep: nested runs under one parent, a table at the end, one failure that stops nobody."""

import signal

from .conftest import Program, wait_for


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


def test_a_job_that_fails_stops_no_other_and_is_in_the_table(program: Program) -> None:
    done = program.run("-m", "optimizer.learning_rate=1e-3,1e38,-1,1e-2", "epochs=50")
    assert done.returncode == 1
    rows = [line for line in done.stdout.splitlines() if line[:1].isdigit() and "epochs=50" in line]
    assert [row.split()[-1] == "ok" for row in rows] == [True, False, False, True]
    assert "is not finite" in rows[1]
    assert "optimizer.learning_rate=-1 is not allowed" in rows[2]
    assert "2 of 4 jobs succeeded" in done.stdout
    parent, *jobs = program.runs()
    assert parent.info.status == "FAILED"
    assert [job.info.status for job in jobs] == ["FINISHED", "FAILED", "FINISHED"]


def test_a_wrong_name_among_the_values_shows_before_the_first_job(program: Program) -> None:
    done = program.run("-m", "model=seq2seq,seq2sqe")
    assert done.returncode == 2
    assert "model=seq2sqe is not allowed" in done.stderr
    assert program.runs() == []


def test_ctrl_c_ends_the_sweep_and_marks_job_and_parent_killed(program: Program) -> None:
    process = program.start("-m", "seed=1,2", "epochs=100000", "trainer.checkpoint_seconds=0.5")
    wait_for(lambda: program.epochs() > 0, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [run.info.status for run in program.runs()] == ["KILLED", "KILLED"]


def test_what_has_been_done_is_not_done_again_where_that_is_asked(program: Program) -> None:
    for _ in range(2):
        done = program.run("resume=auto", "epochs=5")
        assert done.returncode == 0, done.stderr
    (run,) = program.runs()
    assert f"run {run.info.run_id} has done this already" in done.stdout
    assert "mlflow ui" in done.stdout
