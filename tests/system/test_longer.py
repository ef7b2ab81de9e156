"""A finished run is trained longer: the commands, their output and the runs in the store."""

import functools
import shutil
from pathlib import Path
from typing import Any

import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from .conftest import Program, wait_for
from .nursery import Nursery
from .servers import Server

SMALL = (
    *("problem.length=12", "problem.n_values=8", "model.units=4", "batch_size=4"),
    *("trainer.test_sequences=2", "trainer.progress=none"),
)


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
    """Asserts equal parameters, curves and scores in the store, and equal checkpoints."""
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


LONG = (*SMALL, "problem.length=52", "trainer.checkpoint_seconds=0.1")


def test_kills_during_a_longer_training_cost_nothing(
    program: Program, nursery: Nursery, tmp_path: Path
) -> None:
    assert program.run(*LONG, "epochs=60").returncode == 0
    (shorter,) = program.runs()
    command = (f"resume={shorter.info.run_id}", "epochs=400", "trainer.checkpoint_seconds=0.1")
    for epochs in (80, 200):
        process = program.start(*command)
        wait_for(functools.partial(_beyond, epochs, program, shorter), process)
        process.kill()
        process.communicate()
        wait_for(lambda: program.runs()[-1].info.status == "FAILED")
    done = program.run("resume=last")
    assert done.returncode == 0, done.stderr
    _, longer = program.runs()
    _assert_same(program, longer, *_alone(nursery, tmp_path / "alone", *LONG, "epochs=400"))


def _beyond(epochs: int, program: Program, but: Run) -> bool:
    return _epochs(program, but) > epochs


def _epochs(program: Program, but: Run) -> int:
    """The epochs of the last checkpoint of another run, 0 while there is none."""
    found = (program.folder / "outputs").glob("**/checkpoints/last.ckpt")
    paths = [path for path in found if but.info.run_id not in str(path)]
    return max((torch.load(p, weights_only=True)["echo_epochs"] for p in paths), default=0)


def test_a_job_continues_the_longest_shorter_run_with_the_same_settings(
    program: Program, nursery: Nursery, tmp_path: Path
) -> None:
    done = program.run("-m", *SMALL, "epochs=25,60,100", "seed=1,2", "sweep.fused=false")
    assert done.returncode == 0, done.stderr
    runs = [run for run in program.runs() if run.data.tags["kind"] == "run"]
    by = {(run.data.params["epochs"], run.data.params["seed"]): run for run in runs}
    for seed in "12":
        ids = [by[epochs, seed].info.run_id for epochs in ("25", "60")]
        assert "continues" not in by["25", seed].data.tags
        assert [by[e, seed].data.tags["continues"] for e in ("60", "100")] == ids
    alone = _alone(nursery, tmp_path / "alone", *SMALL, "epochs=100", "seed=2")
    _assert_same(program, by["100", "2"], *alone)
    done = program.run("-m", *SMALL, "epochs=110", "sweep.again=all")
    assert done.returncode == 0, done.stderr
    assert "continues" not in program.runs()[-1].data.tags


def test_checkpoints_stored_on_a_server_are_downloaded(
    program: Program, server: Server, nursery: Nursery, tmp_path: Path
) -> None:
    where = (f"tracking.uri={server.uri}", "tracking.artifacts=null", "tracking.experiment=longer")
    assert program.run(*SMALL, *where, "epochs=60").returncode == 0
    shutil.rmtree(program.folder / "outputs")
    done = program.run("resume=last", "epochs=110", *where)
    assert done.returncode == 0, done.stderr
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("longer")
    assert experiment is not None
    longer, shorter = client.search_runs([experiment.experiment_id])
    assert longer.data.tags["continues"] == shorter.info.run_id
    alone, expected = _alone(nursery, tmp_path / "alone", *SMALL, "epochs=110")
    for key in expected.data.metrics.keys() - {"fit_seconds"}:
        points = client.get_metric_history(longer.info.run_id, key)
        assert sorted((p.step, p.value) for p in points) == alone.history(expected, key)
    found = _checkpoint(program, longer, "last.ckpt")
    for weight, value in alone.weights().items():
        assert torch.equal(found["state_dict"][weight], value)
