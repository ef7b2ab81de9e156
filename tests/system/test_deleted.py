"""What users delete and edit in MLflow before, during and after the program's commands."""

import contextlib
import re
import signal
from collections.abc import Iterator

import pytest
from mlflow.entities import Run

from .called import Called
from .conftest import TIMEOUT, Completed, Process, Program, _completed, wait_for
from .nursery import Nursery

EPOCHS = 600
SHORT = ("epochs=5", "trainer.progress=none")
LONG = (f"epochs={EPOCHS}", "trainer.progress=none", "trainer.checkpoint_seconds=0.2")


def _assert_one_line(done: Completed, code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("echo-exp: ")]
    assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[0]
    for raw in ("Traceback", "MlflowException", "RuntimeError"):
        assert raw not in done.stderr + done.stdout


@pytest.fixture(scope="module")
def with_a_deleted_run(
    tmp_path_factory: pytest.TempPathFactory, nursery: Nursery
) -> tuple[Program, str]:
    program = Program(tmp_path_factory.mktemp("deleted"), nursery)
    assert program.run(*SHORT).returncode == 0
    (run,) = program.runs()
    program.client.delete_run(run.info.run_id)
    return program, run.info.run_id


@pytest.mark.parametrize(
    "command",
    [
        ("echo-exp", "resume={run}"),
        ("echo-exp-predict", "run={run}", "1 2 3 4 5"),
        ("echo-exp-inspect", "run={run}"),
        ("echo-exp-export", "run={run}"),
        ("echo-exp-ui", "run={run}"),
    ],
)
def test_asking_for_a_deleted_run_prints_the_command_that_restores_it(
    with_a_deleted_run: tuple[Program, str],
    command: tuple[str, ...],
    call: Called,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program, run_id = with_a_deleted_run
    monkeypatch.chdir(program.folder)
    done = call(*(part.format(run=run_id) for part in command))
    _assert_one_line(done, 2, f"run {run_id} was deleted", f"runs restore --run-id {run_id}`")


@pytest.mark.parametrize(
    "command",
    [
        ("echo-exp", "resume=last"),
        ("echo-exp-predict", "1 2 3 4 5"),
        ("echo-exp-ui", "run=last"),
    ],
)
def test_a_deleted_run_is_not_the_last(
    with_a_deleted_run: tuple[Program, str],
    command: tuple[str, ...],
    call: Called,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program, run_id = with_a_deleted_run
    monkeypatch.chdir(program.folder)
    done = call(*command)
    _assert_one_line(done, 2)
    assert run_id not in done.stderr


@pytest.fixture(scope="module")
def with_a_deleted_experiment(
    tmp_path_factory: pytest.TempPathFactory, nursery: Nursery
) -> Program:
    program = Program(tmp_path_factory.mktemp("deleted"), nursery)
    for name in ("echo", "study/ignore_state"):
        done = program.run(*SHORT, f"tracking.experiment={name}")
        assert done.returncode == 0, done.stderr
    for run in program.runs():
        program.client.delete_experiment(run.info.experiment_id)
    return program


@pytest.mark.parametrize(
    "command",
    [
        ("echo-exp", *SHORT),
        ("echo-exp", "-m", *SHORT, "seed=1,2"),
        ("echo-exp", "-m", *SHORT, "seed=range(1,3)", "hydra/sweeper=optuna"),
        ("echo-exp", "resume=last"),
        ("echo-exp", "study=ignore_state", "study.scale=quick"),
        ("echo-exp-predict", "1 2 3 4 5"),
        ("echo-exp-inspect",),
        ("echo-exp-export",),
        ("echo-exp-report", "study=ignore_state", "study.scale=quick"),
        ("echo-exp-ui",),
    ],
)
def test_a_deleted_experiment_is_reported_with_the_ways_out(
    with_a_deleted_experiment: Program,
    command: tuple[str, ...],
    call: Called,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(with_a_deleted_experiment.folder)
    done = call(*command)
    ways = [r"tracking.experiment=", "experiments restore --experiment-id "]
    if command[0] == "echo-exp":
        ways.append("tracking.experiment=another")
    _assert_one_line(done, 2, "was deleted in MLflow", *ways)


@contextlib.contextmanager
def _paused(process: Process) -> Iterator[None]:
    """Pauses a program, so that it stays in the middle of its training."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def _epochs(program: Program, run: Run) -> list[int]:
    return [step for step, _ in program.history(run, "train/loss")]


@pytest.mark.parametrize("what", ["run", "experiment"])
def test_a_run_deleted_while_it_trains_loses_no_measurement(program: Program, what: str) -> None:
    process = program.start(*LONG)
    wait_for(lambda: program.epochs() > 0, process)
    (run,) = program.runs()
    client = program.client
    with _paused(process):
        if what == "run":
            client.delete_run(run.info.run_id)
        else:
            client.delete_experiment(run.info.experiment_id)
    done = _completed(process)
    _assert_one_line(done, 1, f"run {run.info.run_id} was deleted in MLflow", f"{what}s restore")
    assert "sequence accuracy" in done.stdout  # what came out is told as ever
    assert "`echo-exp-sync` delivers them" in done.stderr
    assert program.epochs() == EPOCHS
    told = program.sync()
    assert told.returncode == 1
    assert f"run {run.info.run_id} was deleted in MLflow" in told.stdout
    if what == "run":
        client.restore_run(run.info.run_id)
    else:
        client.restore_experiment(run.info.experiment_id)
    assert program.sync().returncode == 0
    (run,) = program.runs()
    assert run.info.status == "FINISHED"
    assert _epochs(program, run) == list(range(1, EPOCHS + 1))
    assert not list((program.folder / "outputs" / "spool").iterdir())


def test_a_run_deleted_for_good_while_it_trains_ends_with_one_line(
    program: Program,
) -> None:
    process = program.start(*LONG)
    wait_for(lambda: program.epochs() > 0, process)
    (run,) = program.runs()
    gc = ("gc", "--run-ids", run.info.run_id, "--tracking-uri", program.client.tracking_uri)
    with _paused(process):
        program.client.delete_run(run.info.run_id)
        purged = program.script(
            f"from mlflow.cli import cli; cli({[*gc, '--backend-store-uri', gc[-1]]!r})"
        )
    assert purged.returncode == 0, purged.stderr
    done = _completed(process)
    _assert_one_line(done, 1, f"run {run.info.run_id} is no longer in the store", "may be removed")
    told = program.sync()
    assert told.returncode == 1
    found = re.search(r"(\S+\.jsonl) may be removed", told.stdout)
    assert found is not None
    (program.folder / found.group(1)).unlink()
    assert "nothing waits" in program.sync().stdout


def test_a_sweep_whose_parent_and_running_job_are_deleted_ends_with_its_table(
    program: Program,
) -> None:
    sweep = ("-m", "seed=1,2", *LONG)
    process = program.start(*sweep)
    wait_for(lambda: program.epochs() > 0 and len(program.runs()) == 3, process)
    parent, first, second = program.runs()
    with _paused(process):
        for run in (parent, second):
            program.client.delete_run(run.info.run_id)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "1 of 2 jobs succeeded" in out
    assert f"run {second.info.run_id} was deleted in MLflow" in out
    assert f"run {parent.info.run_id} was deleted in MLflow" in err
    assert f"runs restore --run-id {parent.info.run_id}`" in err
    for raw in ("Traceback", "MlflowException", "RuntimeError"):
        assert raw not in out + err
    (kept,) = program.runs()
    assert (kept.info.run_id, kept.info.status) == (first.info.run_id, "FINISHED")

    again = program.run(*sweep)  # does what is deleted once more, and nothing else
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("ok, finished earlier") == 1
    assert "2 of 2 jobs succeeded" in again.stdout
    assert len(program.runs()) == 3  # a new parent, a new job

    program.client.restore_run(parent.info.run_id)
    program.client.restore_run(second.info.run_id)
    done = program.sync()
    assert done.returncode == 0, done.stderr
    restored = program.client.get_run(second.info.run_id)
    assert restored.info.status == "FINISHED"
    assert _epochs(program, restored) == list(range(1, EPOCHS + 1))


def test_a_failed_job_without_its_tags_is_not_taken_for_another(program: Program) -> None:
    sweep = ("-m", "optimizer.learning_rate=1e-3,-1", *SHORT)
    assert program.run(*sweep).returncode == 1
    (job,) = [run for run in program.runs() if run.data.tags["kind"] == "run"]
    program.client.delete_tag(job.info.run_id, "fingerprint")
    again = program.run(*sweep)
    assert again.returncode == 1
    assert "optimizer.learning_rate=-1 is not allowed" in again.stdout
    assert "1 of 2 jobs succeeded" in again.stdout
