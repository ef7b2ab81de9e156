"""Shows how far a training is: with a bar on a terminal, with occasional lines elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import STEP_OUTPUT

from echo_exp import terminal
from echo_exp.training.outcome import digits

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

LINES = 10
"""Lines printed for a training without a terminal; a slow one prints at least one a minute."""

DRAW_SECONDS = 0.1
"""Seconds between two updates of a bar."""

PATIENCE = 5.0
"""Seconds before a validation or a test shows anything, and then between its lines."""


class Progress(pl.Callback):
    """Shows loss, accuracy, epochs per second and the time left, on standard error.

    Args:
        epochs: Tutorial epochs of the whole training.
        bar: Whether to draw a bar (in a file, once at the end) instead of printing lines.
        now: Returns the time in seconds.
    """

    def __init__(self, epochs: int, bar: bool, now: Callable[[], float] = time.monotonic) -> None:
        self.epochs = epochs
        self.bar = bar
        self._now = now
        self._evaluation = _Evaluation(self.bar, now)
        self._bar: Bar | None = None
        self._first = 0
        self._began = self._said = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts to count epochs."""
        self._first = pl_module.epochs  # type: ignore[assignment]
        self._began = self._said = self._now()
        if self.bar:
            self._bar = _bar("training", self.epochs, "epochs")

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
        if not self._due(done, len(batch)):
            return
        loss = float(outputs["loss"][-1].nanmean())  # type: ignore[index]
        accuracy = float(outputs["accuracy"][-1].nanmean())  # type: ignore[index]
        self._said = self._now()
        rate = (done - self._first) / max(self._said - self._began, 1e-9)
        told = (
            f"loss {digits(loss, 3)}, accuracy {accuracy:.3f}, "
            f"{rate:,.0f} epochs/s, {(self.epochs - done) / rate:,.0f} s left"
        )
        if self._bar is not None:
            _move(self._bar, done, told)
        else:
            _say(f"epoch {done:,} of {self.epochs:,}: {told}")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts to count the parts of a validation."""
        self._evaluation.begin("validation", sum(trainer.num_val_batches))

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        """Shows how far the validation is."""
        self._evaluation.step()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Removes the bar of the validation."""
        self._evaluation.end()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts to count the parts of the test."""
        self._evaluation.begin("test", sum(trainer.num_test_batches))

    def on_test_batch_end(self, *_: Any, **__: Any) -> None:
        """Shows how far the test is."""
        self._evaluation.step()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Removes the bar of the test."""
        self._evaluation.end()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Stops the bar and leaves it on the screen."""
        self._evaluation.end()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _due(self, done: int, block: int) -> bool:
        if self._bar is not None:
            return done == self.epochs or self._now() - self._said >= DRAW_SECONDS
        crossed = done * LINES // self.epochs != (done - block) * LINES // self.epochs
        return crossed or self._now() - self._said >= 60


class _Evaluation:
    """Shows how far a validation or a test is, if it takes long."""

    def __init__(self, bar: bool, now: Callable[[], float]) -> None:
        self.bar = bar
        self._now = now
        self._bar: Bar | None = None

    def begin(self, name: str, parts: float) -> None:
        """Starts to count parts."""
        self._name, self._parts, self._done = name, int(parts), 0
        self._began = self._said = self._now()

    def step(self) -> None:
        """Counts a finished part; shows it when it is time."""
        self._done += 1
        now = self._now()
        if now - self._began < PATIENCE or not (self.bar or now - self._said >= PATIENCE):
            return
        self._said = now
        left = (now - self._began) / self._done * (self._parts - self._done)
        if self.bar:
            self._bar = self._bar or _bar(self._name, self._parts, "parts", transient=True)
            _move(self._bar, self._done, f"{left:,.0f} s left")
        else:
            _say(f"{self._name}: {self._done} of {self._parts} parts, {left:,.0f} s left")

    def end(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _bar(name: str, total: int, unit: str, transient: bool = False) -> "Bar":
    """Starts drawing a bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        *("{task.description}", TaskProgressColumn(), BarColumn(), MofNCompleteColumn()),
        *(unit, "{task.fields[told]}"),
        console=terminal.console(stderr=True),
        auto_refresh=False,
        transient=transient,
    )
    bar.add_task(name, total=total, told="")
    bar.start()
    return bar


def _move(bar: "Bar", done: int, told: str) -> None:
    bar.update(bar.task_ids[0], completed=done, told=told, refresh=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
