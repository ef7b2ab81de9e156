"""A finished run is trained on: what its user types, sees and finds."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.entities import Run

from .conftest import Program, wait_for
from .nursery import Nursery

SMALL = (
    *("problem.length=12", "problem.n_values=8", "model.units=4", "batch_size=4"),
    *("trainer.test_sequences=2", "trainer.progress=none"),
)
VARIATIONS = {
    "plain": (),
    "replicas, of which some diverge": ("replicas=6", "optimizer.learning_rate=1e35"),
    "encoder-decoder": ("model=encoder_decoder", "problem=echo_partial", "missing=mask"),
    "numbers": ("representation=scaled", "missing=sentinel", "batch_size=6"),
}


def _alone(nursery: Nursery, folder: Path, *arguments: str) -> tuple[Program, Run]:
    folder.mkdir()
    program = Program(folder, nursery)
    done = program.run(*arguments)
    assert done.returncode == 0, done.stderr
    return program, program.runs()[-1]


def _checkpoint(program: Program, run: Run, name: str) -> dict[str, Any]:
    (path,) = (program.folder / "outputs").glob(f"**/{run.info.run_id}/**/checkpoints/{name}")
    return dict(torch.load(path, weights_only=True))


def _assert_same(program: Program, run: Run, other: Program, expected: Run) -> None:
    """The same parameters, curves and scores in the store, and the same checkpoints."""
    assert run.info.status == "FINISHED"
    assert run.data.params == expected.data.params
    assert run.data.metrics.keys() == expected.data.metrics.keys()
    for key in run.data.metrics.keys() - {"fit_seconds"}:
        mine, others = program.history(run, key), other.history(expected, key)
        assert str(mine) == str(others)  # where they are no numbers, too
    for name in ("last.ckpt", "best.ckpt"):
        found, there = _checkpoint(program, run, name), _checkpoint(other, expected, name)
        assert found["echo_epochs"] == there["echo_epochs"]
        for weight, value in there["state_dict"].items():
            assert torch.equal(found["state_dict"][weight], value)


@pytest.mark.parametrize("variation", VARIATIONS)
def test_it_is_bit_for_bit_the_run_of_all_epochs(
    program: Program, nursery: Nursery, tmp_path: Path, variation: str
) -> None:
    settings = (*SMALL, *VARIATIONS[variation])
    assert program.run(*settings, "epochs=60").returncode == 0
    done = program.run("resume=last", "epochs=110", "trainer.progress=lines")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("epoch 60 of 110" if variation else "epoch")
    shorter, longer = program.runs()
    _assert_same(program, longer, *_alone(nursery, tmp_path / "alone", *settings, "epochs=110"))
    assert [step for step, _ in program.history(longer, "train/loss")] == list(range(1, 111))
    assert [step for step, _ in program.history(shorter, "train/loss")] == list(range(1, 61))


@pytest.fixture
def finished(program: Program) -> Program:
    assert program.run(*SMALL, "epochs=50").returncode == 0
    return program


def test_both_runs_name_the_other_and_times_are_those_of_the_measurement(
    finished: Program,
) -> None:
    assert finished.run("resume=last", "epochs=75").returncode == 0
    shorter, longer = finished.runs()
    for run, other, tag in ((longer, shorter, "continues"), (shorter, longer, "continued")):
        assert run.data.tags[tag] == other.info.run_id
        link = f"/runs/{other.info.run_id}?"
        assert link in run.data.tags["mlflow.note.content"]
    times = [
        {p.step: p.timestamp for p in finished.client.get_metric_history(run.info.run_id, key)}
        for run in (shorter, longer)
        for key in ["train/loss"]
    ]
    assert times[0].items() < times[1].items()
    assert longer.data.metrics["fit_seconds"] > shorter.data.metrics["fit_seconds"]


def test_the_same_again_is_done_already_however_it_is_asked_for(finished: Program) -> None:
    (shorter,) = finished.runs()
    again = (f"resume={shorter.info.run_id}", "epochs=75")
    assert finished.run(*again).returncode == 0
    _, longer = finished.runs()
    asked = shlex.split(longer.data.tags["mlflow.source.name"])[1:]
    for arguments in (again, asked, ("resume=auto", *SMALL, "epochs=75")):
        done = finished.run(*arguments)
        assert done.returncode == 0, done.stderr
        assert f"run {longer.info.run_id} has done this already" in done.stdout
    assert len(finished.runs()) == 2


REFUSED: dict[tuple[str, ...], str] = {
    (): r"resume=last is not allowed: run \w+ has finished its 50 epochs: epochs= above 50 trains",
    ("epochs=50",): r"epochs=50 is not allowed: run \w+ has finished its 50 epochs",
    ("epochs=49",): r"epochs=49 is not allowed: run \w+ has finished its 50 epochs",
    ("epochs=75", "model.units=30"): r"another configuration: model.units is 30 here and 4 there$",
    ("epochs=75", "replicas=2"): r"another configuration: replicas is 2 here and 1 there$",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_is_no_longer_run_of_the_same_is_refused_by_name(
    finished: Program, arguments: Sequence[str]
) -> None:
    done = finished.run("resume=last", *arguments)
    assert done.returncode == 2
    assert re.search(REFUSED[tuple(arguments)], done.stderr.strip()), done.stderr
    assert len(finished.runs()) == 1


def test_a_run_of_other_code_is_refused(finished: Program) -> None:
    (run,) = finished.runs()
    finished.client.set_tag(run.info.run_id, "code", "of another version")
    done = finished.run("resume=last", "epochs=75")
    assert done.returncode == 2
    assert "another version of the code" in done.stderr


def test_an_interrupted_run_is_to_be_finished_first(finished: Program) -> None:
    (run,) = finished.runs()
    finished.client.set_terminated(run.info.run_id, "KILLED")
    done = finished.run("resume=last", "epochs=75")
    assert done.returncode == 2
    assert "epochs is 75 here and 50 there" in done.stderr
    assert f"`echo-exp resume={run.info.run_id}` finishes it" in done.stderr


LONG = (*SMALL, "problem.length=52", "trainer.checkpoint_seconds=0.1")


@pytest.mark.parametrize("again", ["the same command", "resume=last"])
def test_a_kill_while_it_is_trained_on_costs_nothing(
    program: Program, nursery: Nursery, tmp_path: Path, again: str
) -> None:
    assert program.run(*LONG, "epochs=60").returncode == 0
    (shorter,) = program.runs()
    command = (f"resume={shorter.info.run_id}", "epochs=700", "trainer.checkpoint_seconds=0.1")
    process = program.start(*command)
    wait_for(lambda: _epochs(program, shorter) > 100, process)
    process.kill()
    process.communicate()
    wait_for(lambda: program.runs()[-1].info.status == "FAILED")
    done = program.run(*(command if again == "the same command" else ("resume=last",)))
    assert done.returncode == 0, done.stderr
    _, longer = program.runs()
    _assert_same(program, longer, *_alone(nursery, tmp_path / "alone", *LONG, "epochs=700"))


def _epochs(program: Program, but: Run) -> int:
    """The epochs of the last checkpoint of another run, 0 while there is none."""
    found = (program.folder / "outputs").glob("artifacts/*/*/artifacts/checkpoints/last.ckpt")
    paths = [path for path in found if but.info.run_id not in str(path)]
    return max((torch.load(p, weights_only=True)["echo_epochs"] for p in paths), default=0)


def test_a_job_goes_on_from_the_longest_that_is_shorter_and_the_same(
    program: Program, nursery: Nursery, tmp_path: Path
) -> None:
    done = program.run("-m", *SMALL, "epochs=25,60,100", "seed=1,2")
    assert done.returncode == 0, done.stderr
    runs = [run for run in program.runs() if run.data.tags["kind"] == "run"]
    by = {(run.data.params["epochs"], run.data.params["seed"]): run for run in runs}
    for seed in "12":
        ids = [by[epochs, seed].info.run_id for epochs in ("25", "60")]
        assert "continues" not in by["25", seed].data.tags
        assert [by[e, seed].data.tags["continues"] for e in ("60", "100")] == ids
    alone = _alone(nursery, tmp_path / "alone", *SMALL, "epochs=100", "seed=2")
    _assert_same(program, by["100", "2"], *alone)


def test_all_anew_and_with_a_callback_of_ones_own_nothing_is_taken_over(program: Program) -> None:
    stop = "+callbacks.look={_target_: pytorch_lightning.callbacks.Callback}"
    for others in (("sweep.again=all",), (stop,)):
        for epochs in (25, 50):
            done = program.run("-m", *SMALL, f"epochs={epochs}", *others)
            assert done.returncode == 0, done.stderr
    assert all("continues" not in run.data.tags for run in program.runs())


def test_checkpoints_of_a_job_that_are_gone_are_trained_again(finished: Program) -> None:
    for path in (finished.folder / "outputs").glob("**/last.ckpt"):
        path.unlink()
    done = finished.run("resume=auto", *SMALL, "epochs=75")
    assert done.returncode == 0, done.stderr
    _, longer = finished.runs()
    assert "continues" not in longer.data.tags
    assert [step for step, _ in finished.history(longer, "train/loss")] == list(range(1, 76))
