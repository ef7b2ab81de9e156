"""The program as its users run it: real processes, a real SQLite store, real signals."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from ..quick import begins
from .called import Called
from .nursery import Born, Nursery
from .servers import postgres, running_postgres, running_server, server  # noqa: F401
from .waiting import TIMEOUT, wait_for

__all__ = ["TIMEOUT", "Completed", "Process", "Program", "wait_for"]

Process = subprocess.Popen[str] | Born
Completed = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Program:
    """`echo-exp` in a working folder of its own."""

    folder: Path
    nursery: Nursery | None = None
    """Where it is born; without one it imports all by itself, as a user's does."""

    def start(self, *arguments: str) -> Process:
        """Starts the program; what is born in the nursery leaves out the MLflow model."""
        if self.nursery is None:
            return self._start("echo_exp", *arguments)
        return self._start("echo_exp", *arguments, "export=false")

    def run(self, *arguments: str) -> Completed:
        """Runs the program to its end."""
        return _completed(self.start(*arguments))

    def sync(self, *arguments: str) -> Completed:
        """Runs `echo-exp-sync` in the same folder."""
        return self.call("echo_exp.commands.sync", *arguments)

    def report(self, *arguments: str) -> Completed:
        """Runs `echo-exp-report` in the same folder."""
        return self.call("echo_exp.commands.report", *arguments)

    def clean(self, *arguments: str) -> Completed:
        """Runs `echo-exp-clean` in the same folder."""
        return self.call("echo_exp.commands.clean", *arguments)

    def call(self, module: str, *arguments: str) -> Completed:
        """Runs another command, named by its module, in the same folder."""
        return _completed(self._start(module, *arguments))

    def _start(self, module: str, *arguments: str) -> Process:
        begins("the program")
        env = {**os.environ, "COLUMNS": "100"}
        if self.nursery is not None:
            return self.nursery.start(module, list(arguments), self.folder, env)
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )

    def script(self, text: str) -> Completed:
        """Runs a script in Python in the same folder."""
        return subprocess.run(
            [sys.executable, "-c", text],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder / 'outputs' / 'mlflow.db'}")

    def runs(self) -> list[Run]:
        """All runs of the store, the oldest first."""
        if not (self.folder / "outputs" / "mlflow.db").exists():
            return []
        client = self.client
        experiments = [e.experiment_id for e in client.search_experiments()]
        return list(client.search_runs(experiments, order_by=["attributes.start_time ASC"]))

    def history(self, run: Run, key: str) -> list[tuple[int, float]]:
        """(step, value) of a metric, in the order of the steps."""
        points = self.client.get_metric_history(run.info.run_id, key)
        return sorted((point.step, point.value) for point in points)

    def last_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint of the only run, once it is there."""
        found = list((self.folder / "outputs").glob("**/last.ckpt"))
        return torch.load(found[0], weights_only=True) if found else None

    def weights(self) -> dict[str, torch.Tensor]:
        """The weights of the last checkpoint."""
        checkpoint = self.last_checkpoint()
        assert checkpoint is not None
        return dict(checkpoint["state_dict"])

    def epochs(self) -> int:
        """The epochs of the last checkpoint, 0 while there is none."""
        checkpoint = self.last_checkpoint()
        return 0 if checkpoint is None else int(checkpoint["echo_epochs"])


def _completed(process: Process) -> Completed:
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode is not None
    return subprocess.CompletedProcess((), process.returncode, out, err)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Has `pytest --quick` leave out all that is here: it runs the program."""
    return config.getoption("--quick") or None


@pytest.fixture
def program(tmp_path: Path, nursery: Nursery) -> Program:
    return Program(tmp_path, nursery)


@pytest.fixture(scope="session")
def baseline(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Program, Completed]:
    """The seq2seq baseline, run once for all tests that look at what it leaves."""
    program = Program(tmp_path_factory.mktemp("baseline"))
    return program, program.run()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    return Called(monkeypatch, capsys)
