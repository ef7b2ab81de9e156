"""A user's own network and callback can be trained, swept and resumed like any other."""

import os
import signal
from pathlib import Path

import pytest
import torch

from echo_exp import TrackingSettings, load
from echo_exp.commands import train as app
from echo_exp.sweeps import job

from .conftest import TIMEOUT, Program, wait_for

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
OWN = ("--config-dir", str(EXAMPLES), "model=elman", "+callbacks=stop_when_solved")
SETTINGS = ("epochs=1500", "model.units=8", "optimizer.learning_rate=5e-3")


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(EXAMPLES), path])))


def test_an_interrupted_training_with_own_parts_resumes_bit_for_bit_and_can_be_loaded(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = program.start(*OWN, *SETTINGS, "trainer.checkpoint_seconds=0.1")
    wait_for(lambda: program.epochs() > 0, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signal.SIGTERM

    (tmp_path / "whole").mkdir()
    whole = Program(tmp_path / "whole", program.nursery)
    assert whole.run(*OWN, *SETTINGS, "tracking=none").returncode == 0

    resumed = program.run(*OWN, *SETTINGS, "resume=last")
    assert resumed.returncode == 0, resumed.stderr
    assert program.epochs() == whole.epochs() < 1500

    database = f"sqlite:///{program.folder / 'outputs' / 'mlflow.db'}"
    store = TrackingSettings(database, str(program.folder / "outputs" / "artifacts"))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    network = load("last", store, trusted=["elman.Elman"])
    assert network.predict([7, 3, 99, 0, 42]).predicted.shape == (1, 5)
    ours, theirs = program.weights(), whole.weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_every_job_of_a_sweep_has_the_callback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    sweep = ("-m", "seed=1,2", "epochs=25", "+callbacks=forget_gate", "tracking=none")
    monkeypatch.setattr("sys.argv", ["echo-exp", "--config-dir", str(EXAMPLES), *sweep])
    app.main()
    results = [job.read(path) for path in tmp_path.glob("outputs/sweeps/*/job-*.json")]
    assert len(results) == 2
    assert all(result and 0.5 < result.metrics["val/forget_gate"] < 0.8 for result in results)
