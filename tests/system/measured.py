"""A run of a store, with a count of what is measured in it."""

import math
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from echo_exp.tracking import Run, Store

from .faults import counted

STEPS = 60


class Measured:
    """A run of a store, with a count of what is measured in it."""

    def __init__(self, uri: str, folder: Path, experiment: str, **settings: Any) -> None:
        folder.mkdir(exist_ok=True)
        local = None if uri.startswith("http") else str(folder / "artifacts")
        self.spool = folder / "spool"
        self.store = Store(uri, local, experiment, str(self.spool), **settings)
        self.made = 0
        self._run: Run | None = None

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.store.uri)

    @property
    def run(self) -> Run:
        if self._run is None:
            self._run = self.store.create_run("measured", {"kind": "run"}, {"a": 1}, {"c.txt": "c"})
        return self._run

    def measure(self, steps: int = STEPS) -> None:
        """Makes two measurements at each of some steps, and waits until they are safe."""
        first = self.made // 2 + 1
        for step in range(first, first + steps):
            value = math.nan if step % 7 == 0 else 1 / step
            self.run.log_metrics([step], {"loss": [value], "accuracy": [step / 1000]})
            if step % 20 == 0:
                self.run.flush()
        self.made += 2 * steps
        self.run.settle()

    def found(self) -> tuple[int, int]:
        """Counts the measurements in the store, and those that are there more than once."""
        return counted(self.client, self.run.run_id, ("loss", "accuracy"))

    def waits(self) -> bool:
        """Whether a measurement still waits for the store."""
        return self.found()[0] < self.made

    def counts(self) -> tuple[int, int, int]:
        """How many measurements were made, found and found twice, once the run has ended."""
        assert self.client.get_run(self.run.run_id).info.status == "FINISHED"
        assert not list(self.spool.iterdir())
        return (self.made, *self.found())
