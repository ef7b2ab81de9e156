"""What a person sees while a network trains: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import STEP_OUTPUT
from tqdm import tqdm

LINES = 10
"""Lines of a training whose output is no terminal; more where these are a minute apart."""


class Progress(pl.Callback):
    """Shows loss, accuracy, epochs a second and the time left, on standard error.

    Args:
        epochs: Tutorial epochs of the whole training.
        bar: Whether to draw a bar that is updated in place; otherwise plain lines are printed.
    """

    def __init__(self, epochs: int, bar: bool) -> None:
        self.epochs = epochs
        self.bar = bar
        self._bar: tqdm[Any] | None = None
        self._first = 0
        self._began = self._said = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins to count."""
        self._first = pl_module.epochs  # type: ignore[assignment]
        self._began = self._said = time.monotonic()
        if self.bar:
            self._bar = tqdm(
                total=self.epochs,
                initial=self._first,
                unit="epoch",
                file=sys.stderr,
                dynamic_ncols=True,
                desc="training",
                bar_format="{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} epochs"
                " [{elapsed}<{remaining}, {rate_fmt}{postfix}]",
            )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Moves the bar, or prints a line when it is time."""
        done: int = pl_module.epochs  # type: ignore[assignment]
        if self._bar is None and not self._due(done, len(batch)):
            return
        loss = float(outputs["loss"][-1].nanmean())  # type: ignore[index]
        accuracy = float(outputs["accuracy"][-1].nanmean())  # type: ignore[index]
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.3f}", refresh=False)
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        self._said = now
        rate = (done - self._first) / max(now - self._began, 1e-9)
        left = (self.epochs - done) / rate
        print(
            f"epoch {done:,} of {self.epochs:,}: loss {loss:.3f}, accuracy {accuracy:.3f}, "
            f"{rate:,.0f} epochs/s, {left:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _due(self, done: int, block: int) -> bool:
        crossed = done * LINES // self.epochs != (done - block) * LINES // self.epochs
        return crossed or time.monotonic() - self._said >= 60
