"""What happens in a training, on its way to the run that records it."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import STEP_OUTPUT

from echo_exp.module import EchoModule
from echo_exp.tracking import Run

SOLVED = 0.99
"""A network has solved the problem at the first validation with at least this accuracy."""


class Recorder(pl.Callback):
    """Sends the metrics of every epoch and validation to the run, and keeps the time.

    Args:
        run: Where they go; None keeps only what the outcome needs.
    """

    def __init__(self, run: Run | None) -> None:
        self.run = run
        self.seconds = 0.0
        self.epochs_to_solve: int | None = None
        self._resumed_seconds = 0.0
        self._began = self._block_began = time.time()

    def state_dict(self) -> dict[str, Any]:
        """Returns the time so far and the epoch that solved the problem."""
        return {"seconds": self._now(), "epochs_to_solve": self.epochs_to_solve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from the time before the interruption."""
        self._resumed_seconds = self.seconds = state_dict["seconds"]
        self.epochs_to_solve = state_dict["epochs_to_solve"]

    def settle(self) -> None:
        """Returns when everything so far is in the store."""
        if self.run is not None:
            self.run.settle()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins to count the time."""
        self._began = self._block_began = time.time()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Sends loss and accuracy of each epoch of the block."""
        now = time.time()
        if self.run is not None:
            assert isinstance(pl_module, EchoModule)
            count = len(outputs["loss"])  # type: ignore[index]
            last = pl_module.epochs
            share = (now - self._block_began) / count
            self.run.log_metrics(
                steps=range(last - count + 1, last + 1),
                values={
                    f"train/{name}": outputs[name].mean(1).tolist()  # type: ignore[index]
                    for name in ("loss", "accuracy")
                },
                timestamps=[
                    int(1000 * (self._block_began + share * (index + 1))) for index in range(count)
                ],
            )
        self._block_began = now

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sends the scores of the validation."""
        assert isinstance(pl_module, EchoModule)
        scores = {
            name: [float(score.mean())]
            for name, score in pl_module.scores.items()
            if name.startswith("val/")
        }
        if self.epochs_to_solve is None and scores["val/accuracy"][0] >= SOLVED:
            self.epochs_to_solve = pl_module.epochs
        if self.run is not None:
            self.run.log_metrics([pl_module.epochs], scores)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops counting."""
        self.seconds = self._now()

    def _now(self) -> float:
        return self._resumed_seconds + time.time() - self._began
