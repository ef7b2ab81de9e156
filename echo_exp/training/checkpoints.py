"""The last and the best checkpoint: written atomically, so that a stop loses nothing."""

import contextlib
import copy
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from echo_exp.training.checkpoint_names import BEST, LAST
from echo_exp.training.interrupts import Interrupted, Interrupts
from echo_exp.training.module import EchoModule

WHOLE = "whole_blocks"
"""Folder with copies of both from before a last block that is shorter than the others."""


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint to resume from, without running any code that it may contain.

    Raises:
        ValueError: The file is truncated or is not such a checkpoint.
    """
    return _load(path, ("state_dict", "echo_epochs", "loops"))


def load_weights(path: Path) -> dict[str, Any]:
    """Reads the weights and the number of epochs of a checkpoint, the last or the best.

    Raises:
        ValueError: The file is truncated or is not a checkpoint of this program.
    """
    return _load(path, ("state_dict", "echo_epochs"))


def _load(path: Path, needed: Sequence[str]) -> dict[str, Any]:
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        return {**content, **{name: content[name] for name in needed}}
    except Exception as error:
        raise ValueError(f"{path} is truncated or is not a checkpoint of echo_exp") from error


def opened(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Returns a checkpoint from the end of a training as if it were from between two blocks.

    To Lightning the whole training is one epoch, which it would otherwise consider finished.
    """
    opened = copy.deepcopy({name: checkpoint[name] for name in ("epoch", "loops")})
    opened["epoch"] = 0
    epochs = opened["loops"]["fit_loop"]["epoch_progress"]
    blocks = opened["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    for count in ("total", "current"):
        epochs[count]["processed"] = epochs[count]["completed"] = 0
        blocks[count]["ready"] = blocks[count]["completed"] + 1  # the next is about to begin
    blocks["is_last_batch"] = False
    return checkpoint | opened


class CheckpointFile(TorchCheckpointIO):
    """Writes a checkpoint straight to its file; Lightning first builds it in memory, twice."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes ``checkpoint`` to ``path``; that of a callback may be a URL."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("wb") as file:
            torch.save(checkpoint, file)


class Kept:
    """The checkpoints of one run: the last and the best.

    The best (by validation accuracy, then loss, each a mean over the replicas) holds only the
    weights and the epoch. It stays in memory until the next write, so that a network that improves
    at every validation does not wait for the disk each time.

    Args:
        folder: Where they are written.

    Attributes:
        best_score: Accuracy and negative loss of the best validation so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.best_score: tuple[float, float] | None = None
        self._best: dict[str, Any] | None = None

    def judge(
        self, scores: Mapping[str, Tensor], weights: Mapping[str, Tensor], epochs: int
    ) -> None:
        """Keeps a network if it is the best so far.

        Args:
            scores: Its validation scores, each [R].
            weights: Its weights, each [R, ...].
            epochs: Tutorial epochs it was trained for.
        """
        score = float(scores["val/accuracy"].nanmean()), -float(scores["val/loss"].nanmean())
        if self.best_score is None or score > self.best_score:
            self.best_score = score
            copies = {name: value.clone() for name, value in weights.items()}
            self._best = {"state_dict": copies, "echo_epochs": epochs}

    def write(self, save_last: Callable[[Path], None]) -> None:
        """Writes both checkpoints.

        Args:
            save_last: Writes the last one to the path that it is given.
        """
        try:
            self._write(save_last)
        except FileNotFoundError:  # the folder was deleted between two of these steps
            self._write(save_last)
        self._best = None

    def _write(self, save_last: Callable[[Path], None]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._best is not None:
            with _whole(self.folder / BEST) as path:
                torch.save(self._best, path)
        with _whole(self.folder / LAST) as path:
            save_last(path)

    def keep_whole_blocks(self) -> None:
        """Copies both, as they are now, to the folder `WHOLE`."""
        (self.folder / WHOLE).mkdir(exist_ok=True)
        for name in (BEST, LAST):
            if (self.folder / name).exists():
                with _whole(self.folder / WHOLE / name) as path:
                    shutil.copyfile(self.folder / name, path)


class Checkpoints(pl.Callback):
    """Writes ``last.ckpt`` every few seconds and at the end, ``best.ckpt`` beside it.

    The last is a complete Lightning checkpoint, written between two blocks, after any validation of
    the block before: training resumes from it as if it had never stopped. `Kept` describes the
    best.

    If the last block is shorter than the others, both are also copied to the folder `WHOLE` before
    it. A longer training has a full block there, so it resumes from these copies.

    Args:
        folder: Where they are written.
        seconds: Time between two writes.
        block: Epochs in a block.
        interrupts: Signals that stop the training after a final write.
        before: Called before each write, to secure what a resumed run will not see again.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float,
        block: int,
        interrupts: Interrupts,
        before: Callable[[], None],
    ) -> None:
        self.kept = Kept(folder)
        self.seconds = seconds
        self.block = block
        self.interrupts = interrupts
        self.before = before
        self._written = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Returns the score of the best validation so far."""
        return {"best_score": self.kept.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the score of the best validation before the interruption."""
        self.kept.best_score = state_dict["best_score"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Saves whether a callback ended the training: it would end a longer one there, too."""
        checkpoint["stopped"] = trainer.should_stop

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Defers signals; here, because Lightning has installed its own handlers by now."""
        self.interrupts.put_off()
        # For the block that was about to begin, Lightning resets only the current count, but it
        # validates by the total: a resumed training would validate a block too early.
        blocks = trainer.fit_loop.epoch_loop.batch_progress.total
        blocks.ready = blocks.completed

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keeps the network if it is the best so far."""
        assert isinstance(pl_module, EchoModule)
        self.kept.judge(pl_module.scores, pl_module.state_dict(), pl_module.epochs)

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Writes the checkpoints when it is time, or when a signal asks to stop."""
        due = time.monotonic() - self._written >= self.seconds
        if due or self.interrupts.pending is not None:
            self._write(trainer)
        if batch_idx and len(batch) < self.block:
            self._write(trainer)
            self.kept.keep_whole_blocks()
        if self.interrupts.pending is not None:
            raise Interrupted(self.interrupts.pending)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the final checkpoints."""
        self._write(trainer)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Lets signals through again."""
        if stage == "fit":
            self.interrupts.raise_at_once()

    def _write(self, trainer: pl.Trainer) -> None:
        self.before()
        self.kept.write(trainer.save_checkpoint)
        self._written = time.monotonic()


def write(checkpoint: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint atomically; creates its folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _whole(path) as partial:
        torch.save(checkpoint, partial)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yields a path to write to; the file written there then replaces ``path`` atomically."""
    partial = path.with_suffix(".partial")
    yield partial
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
