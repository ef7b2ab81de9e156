"""Kills, signals, simultaneous starts and a diverging loss: no measurement is lost."""

import signal
import subprocess
from pathlib import Path

import pytest
import torch

from .conftest import TIMEOUT, Program, wait_for
from .nursery import Nursery

OFTEN = "trainer.checkpoint_seconds=0.2"
# Slow enough to be caught in the middle, quick enough to be finished afterwards.
LONG = (
    "model=encoder_decoder",
    "problem=echo_partial",
    "batch_size=21",
    "model.units=40",
    "epochs=800",
    OFTEN,
)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Program:
    program = Program(tmp_path_factory.mktemp("uninterrupted"), nursery)
    assert program.run(*LONG).returncode == 0
    return program


def _assert_same(program: Program, uninterrupted: Program) -> None:
    """Asserts equal weights and, in the store, every epoch once with the same value."""
    weights, expected = program.weights(), uninterrupted.weights()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    (run,), (reference,) = program.runs(), uninterrupted.runs()
    assert run.info.status == "FINISHED"
    for key in ("train/loss", "train/accuracy", "val/accuracy", "test/loss"):
        assert program.history(run, key) == uninterrupted.history(reference, key)


def test_a_killed_run_is_marked_failed_and_resumes_bit_for_bit(
    program: Program, uninterrupted: Program
) -> None:
    for _ in range(2):  # killed twice
        arguments = ("resume=last", OFTEN) if program.runs() else LONG
        before = program.epochs()
        process = program.start(*arguments)
        wait_for(lambda before=before: program.epochs() > before, process)  # type: ignore[misc]
        process.kill()
        process.communicate()
        wait_for(lambda: program.runs()[0].info.status == "FAILED")
        assert "killed" in program.runs()[0].data.tags["error"]
    assert program.run("resume=last").returncode == 0
    _assert_same(program, uninterrupted)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_marks_the_run_killed_and_it_resumes_bit_for_bit(
    program: Program, uninterrupted: Program, signum: signal.Signals
) -> None:
    process = program.start(*LONG)
    wait_for(lambda: program.epochs() > 0, process)
    process.send_signal(signum)
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signum
    (run,) = program.runs()
    assert run.info.status == "KILLED"
    assert f"resume={run.info.run_id}" in err
    assert "Traceback" not in err
    epochs = program.epochs()
    assert [step for step, _ in program.history(run, "train/loss")] == list(range(1, epochs + 1))
    assert program.run(f"resume={run.info.run_id}").returncode == 0
    _assert_same(program, uninterrupted)


def test_processes_that_start_at_once_on_a_fresh_folder_all_succeed(program: Program) -> None:
    count = 6
    processes = [
        program.start("epochs=5", f"seed={seed}", "trainer.progress=none") for seed in range(count)
    ]
    for process in processes:
        _, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, err
    assert [run.info.status for run in program.runs()] == ["FINISHED"] * count
    assert {run.data.params["seed"] for run in program.runs()} == {str(n) for n in range(count)}


def test_a_diverging_loss_ends_the_run_as_failed_with_its_curve(program: Program) -> None:
    done = program.run("optimizer.learning_rate=1e38", "epochs=100")
    assert done.returncode == 1
    assert "is not finite" in done.stderr
    assert "Traceback" not in done.stderr
    (run,) = program.runs()
    assert run.info.status == "FAILED"
    assert "is not finite" in run.data.tags["error"]
    assert len(program.history(run, "train/loss")) >= 25


def test_a_kill_of_the_writer_ends_the_run_with_a_message(tmp_path: Path) -> None:
    program = Program(tmp_path)  # whose writer is a child of its own
    process = program.start(*LONG)
    wait_for(lambda: program.epochs() > 0, process)
    subprocess.run(
        ["pkill", "-KILL", "-P", str(process.pid), "-f", "echo_exp.tracking"], check=True
    )
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "tracking store" in err
    assert "Traceback" not in err
