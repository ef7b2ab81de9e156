"""Records a training: what is measured of each replica, and when."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor

from echo_exp.tracking import Run
from echo_exp.tracking.clock import Clock
from echo_exp.training.evaluation import SOLVED
from echo_exp.training.module import EchoModule
from echo_exp.training.replicas import Floats, plain, statistics


class Recorder(pl.Callback):
    """Keeps the metrics of every replica, sends their statistics to the run, and measures the time.

    Args:
        run: Where the statistics go; None sends nothing.

    Attributes:
        seconds: Duration of the training, once it has ended; for a run in a stack, its share.
        epochs_to_solve: First validated epoch of each replica with an accuracy of at least
            `SOLVED`, [R]; NaN where there is none yet.
    """

    def __init__(self, run: Run | None) -> None:
        self.run = run
        self.seconds = 0.0
        self.epochs_to_solve = torch.empty(0)
        self._train: dict[str, list[Tensor]] = defaultdict(list)  # [epochs of a block, R] each
        self._validation: dict[str, list[Tensor]] = defaultdict(list)  # [1, R] each
        self._validated: list[int] = []
        self._resumed_seconds = 0.0
        self._share = 1.0
        self._clock = Clock() if run is None else run.clock
        self._began = self._block_began = self._clock.now()

    def state_dict(self) -> dict[str, Any]:
        """Returns the metrics and the time so far."""
        return {
            "seconds": self._now(),
            "epochs_to_solve": self.epochs_to_solve,
            "train": {name: torch.cat(parts) for name, parts in self._train.items()},
            "validation": {name: torch.cat(parts) for name, parts in self._validation.items()},
            "validated": self._validated,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the metrics and the time from before the interruption."""
        self._resumed_seconds = self.seconds = state_dict["seconds"]
        self.epochs_to_solve = state_dict["epochs_to_solve"]
        for parts, before in (
            (self._train, state_dict["train"]),
            (self._validation, state_dict["validation"]),
        ):
            parts.update({name: [values] for name, values in before.items()})
        self._validated = state_dict["validated"]

    def curves(self) -> dict[str, tuple[list[int], Floats]]:
        """Returns the epochs [E] and the values for each replica [E, R] of each metric."""
        train = {name: _array(torch.cat(parts)) for name, parts in self._train.items()}
        validation = {name: _array(torch.cat(parts)) for name, parts in self._validation.items()}
        return {
            **{name: (list(range(1, len(v) + 1)), v) for name, v in train.items()},
            **{name: (self._validated, v) for name, v in validation.items()},
        }

    def flush(self) -> None:
        """Sends everything so far to the store."""
        if self.run is not None:
            self.run.flush()

    def settle(self) -> None:
        """Waits until everything so far is safe on the disk, or in the store."""
        if self.run is not None:
            self.run.settle()

    def begin(self, replicas: int, share: float = 1.0) -> None:
        """Starts the clock.

        Args:
            replicas: Replicas of the run (R).
            share: Share of the time that counts for this run; below 1 in a stack of several.
        """
        if not len(self.epochs_to_solve):
            self.epochs_to_solve = torch.full((replicas,), math.nan)
        self._resumed_seconds = self.seconds
        self._share = share
        self._began = self._block_began = self._clock.now()

    def trained(self, epochs: int, outputs: Mapping[str, Tensor]) -> None:
        """Records loss and accuracy of each epoch of a block.

        Args:
            epochs: Tutorial epochs trained so far.
            outputs: Values of each metric in each epoch of the block, [S, R].
        """
        now = self._clock.now()
        count = len(outputs["loss"])
        step = (now - self._block_began) / count
        metrics = {f"train/{name}": values.cpu() for name, values in outputs.items()}
        for name, values in metrics.items():
            self._train[name].append(values)
        self._send(
            list(range(epochs - count + 1, epochs + 1)),
            metrics,
            [int(1000 * (self._block_began + step * (index + 1))) for index in range(count)],
        )
        self._block_began = now

    def validated(self, epochs: int, scores: Mapping[str, Tensor]) -> None:
        """Records the scores of a validation.

        Args:
            epochs: Tutorial epochs trained so far.
            scores: Each score, [R], by its name in MLflow.
        """
        found = {
            name: score.cpu().unsqueeze(0)
            for name, score in scores.items()
            if name.startswith("val/")
        }
        missing = torch.full((1, len(self.epochs_to_solve)), math.nan)
        for name in found.keys() - self._validation.keys():  # a callback's may begin late
            self._validation[name] = [missing] * len(self._validated)
        for name, values in self._validation.items():
            values.append(found.get(name, missing))
        self._validated.append(epochs)
        solved = self.epochs_to_solve.isnan() & (found["val/accuracy"][0] >= SOLVED)
        self.epochs_to_solve = self.epochs_to_solve.masked_fill(solved, epochs)
        self._send([epochs], found)
        self._block_began = self._clock.now()

    def end(self) -> None:
        """Stops the clock."""
        self.seconds = self._now()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        assert isinstance(pl_module, EchoModule)
        self.begin(len(pl_module.diverged))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Records loss and accuracy of each epoch of the block."""
        assert isinstance(pl_module, EchoModule)
        assert isinstance(outputs, dict)
        self.trained(pl_module.epochs, outputs)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Records the scores of the validation."""
        assert isinstance(pl_module, EchoModule)
        self.validated(pl_module.epochs, pl_module.scores)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops the clock."""
        self.end()

    def _send(
        self, epochs: list[int], metrics: dict[str, Tensor], times: list[int] | None = None
    ) -> None:
        """Sends metrics, [epochs, R] each, to the run."""
        if self.run is None:
            return
        values: dict[str, list[float]] = {}
        for name, tensor in metrics.items():
            summary = statistics(name, _array(tensor))
            values |= {key: plain(series) for key, series in summary.items()}
        self.run.log_metrics(epochs, values, times)

    def _now(self) -> float:
        return self._resumed_seconds + self._share * (self._clock.now() - self._began)


def _array(values: Tensor) -> Floats:
    return values.numpy().astype(np.float64)
