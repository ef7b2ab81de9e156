"""A sweep trained as one stack leaves the same as one by one, also after kills."""

import signal
from pathlib import Path

import pytest
from mlflow.entities import Run

from .conftest import TIMEOUT, Program, wait_for
from .nursery import Nursery

JOBS = (
    "-m",
    "seed=1,2",
    "optimizer.learning_rate=1e-3,3e-3",
    "epochs=30",
    "trainer.validate_every=10",
)
LONG = ("-m", "seed=1,2,3", "epochs=600", "trainer.checkpoint_seconds=0.2")
SHARE = ("fit_seconds",)


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Program:
    program = Program(tmp_path_factory.mktemp("one_by_one"), nursery)
    assert program.run(*JOBS, "sweep.fused=false").returncode == 0
    return program


def jobs(program: Program) -> dict[str, Run]:
    """The runs of the jobs by what distinguishes them."""
    runs = [run for run in program.runs() if run.data.tags["kind"] == "run"]
    return {run.data.tags["fingerprint"]: run for run in runs}


def files(run: Run) -> set[str]:
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_each_job_of_a_stack_equals_the_run_that_trains_alone(
    program: Program, one_by_one: Program
) -> None:
    done = program.run(*JOBS)
    assert done.returncode == 0, done.stderr
    together, alone = jobs(program), jobs(one_by_one)
    assert together.keys() == alone.keys()
    for fingerprint, run in together.items():
        expected = alone[fingerprint]
        assert run.info.status == "FINISHED"
        assert run.data.tags["stack"] == "4"
        assert run.data.tags["threads"] == "1"
        assert run.info.run_name == expected.info.run_name
        assert run.data.params == expected.data.params
        assert files(run) == files(expected)
        assert run.data.metrics.keys() == expected.data.metrics.keys()
        for name in expected.data.metrics:
            if name in SHARE:
                continue
            found, wanted = program.history(run, name), one_by_one.history(expected, name)
            assert [step for step, _ in found] == [step for step, _ in wanted]
            values = [value for _, value in found]
            assert values == pytest.approx([value for _, value in wanted], rel=1e-3, abs=1e-5)


def test_a_finished_job_counts_whether_it_trained_in_a_stack_or_alone(program: Program) -> None:
    few = ("-m", "seed=1,2", "epochs=5")
    assert program.run(*few).returncode == 0
    done = program.run(*few, "sweep.fused=false")
    assert done.stdout.count("ok, finished earlier") == 2
    assert len(jobs(program)) == 2


def test_every_job_of_a_stopped_stack_is_marked_killed(program: Program) -> None:
    process = program.start(*LONG)
    wait_for(lambda: program.epochs() > 0, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signal.SIGTERM
    assert [run.info.status for run in jobs(program).values()] == ["KILLED"] * 3
    (first, *_) = jobs(program).values()
    done = program.run(f"resume={first.info.run_id}")
    assert done.returncode == 0, done.stderr
    assert len(program.history(first, "train/loss")) == 600


def test_jobs_whose_optimizer_takes_no_vectors_train_one_by_one(program: Program) -> None:
    sgd = "optimizer={_target_:torch.optim.SGD,_partial_:true,lr:0.1}"
    done = program.run("-m", "seed=1,2", "epochs=5", "~optimizer", f"+{sgd}")
    assert done.returncode == 0, done.stderr
    said = "2 jobs are trained one by one: SGD does not set `per_replica = True`"
    assert said in done.stderr
    assert all("stack" not in run.data.tags for run in jobs(program).values())


def test_a_job_of_a_stack_can_predict(program: Program) -> None:
    assert program.run("-m", "seed=1,2", "epochs=5").returncode == 0
    for run in jobs(program).values():
        told = program.call(
            "echo_exp.commands.predict", f"run={run.info.run_id}", "sequences=[[1,2,3,4,5,6]]"
        )
        assert told.returncode == 0, told.stderr
