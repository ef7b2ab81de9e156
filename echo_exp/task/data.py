"""The sequences of an experiment as a LightningDataModule."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from echo_exp.task.problem import Integers, Problem, Stream, random_stream

EVALUATION_OUTPUTS = 4_000_000
"""An evaluation batch holds as many sequences as produce about this many outputs."""


class EchoDataModule(pl.LightningDataModule):
    """Fresh random sequences to train on, fixed ones to validate and test on.

    Every loader yields windows, [S, R, n_windows, n_in] integers: S sequences for each replica,
    from the streams of that replica's own seed. Training continues after the epochs that the module
    has already been trained for, so a resumed run sees the same sequences as an uninterrupted one.

    Args:
        problem: The problem to learn.
        epochs: Sequences to train on; each is used once.
        seeds: A seed for each replica (R of them).
        block: Sequences in a training batch (S).
        validation_sequences: Sequences of the validation set.
        test_sequences: Sequences of the test set.
        begun: Sequences that each replica of a stack has been trained on before the first of
            ``epochs``.
        side_by_side: Largest number of sequences that are evaluated at once; None for as many as
            ``EVALUATION_OUTPUTS`` allows.
    """

    def __init__(
        self,
        problem: Problem,
        epochs: int,
        seeds: Sequence[int],
        block: int = 10,
        validation_sequences: int = 10,
        test_sequences: int = 100,
        begun: Sequence[int] = (),
        side_by_side: int | None = None,
    ) -> None:
        super().__init__()
        self.problem = problem
        self.epochs = epochs
        self.seeds = tuple(seeds)
        self.block = block
        self.validation_sequences = validation_sequences
        self.test_sequences = test_sequences
        self.begun = tuple(begun)
        self.side_by_side = side_by_side

    def train_dataloader(self) -> "Loader":
        """Returns blocks of fresh sequences, each block a batch."""
        done = cast("int", self.trainer.lightning_module.epochs) if self.trainer else 0
        return Loader(lambda: self._blocks(done), math.ceil(self.epochs / self.block))

    def val_dataloader(self) -> "Loader":
        """Returns the validation sequences, the same at every validation."""
        return self._fixed(Stream.VALIDATION, self.validation_sequences)

    def test_dataloader(self) -> "Loader":
        """Returns the test sequences."""
        return self._fixed(Stream.TEST, self.test_sequences)

    def listing_sequence(self) -> Integers:
        """Returns a new sequence for each replica, [R, length], whose echo is to be listed."""
        sequences: Integers = self._draw(self._streams(Stream.LISTING), 1)[0]
        return sequences

    def _blocks(self, done: int) -> Iterator[Tensor]:
        streams = self._streams(Stream.TRAINING)
        for random, count in zip(streams, self.begun, strict=False):
            self.problem.generate(random, count)
        for first in range(0, self.epochs, self.block):
            sequences = self._draw(streams, min(self.block, self.epochs - first))
            if first >= done:
                yield torch.from_numpy(self.problem.windows(sequences))

    def _fixed(self, stream: Stream, count: int) -> "Loader":
        windows = torch.from_numpy(self.problem.windows(self._draw(self._streams(stream), count)))
        outputs = windows[0].numel() // self.problem.n_in * self.problem.n_out
        most = EVALUATION_OUTPUTS // (outputs * self.problem.n_values)
        if self.side_by_side is not None:
            most = min(most, self.side_by_side)
        parts = windows.split(max(1, most))
        return Loader(lambda: iter(parts), len(parts))

    def _streams(self, stream: Stream) -> list[np.random.Generator]:
        return [random_stream(seed, stream) for seed in self.seeds]

    def _draw(self, streams: Sequence[np.random.Generator], count: int) -> Integers:
        sequences = [self.problem.generate(random, count) for random in streams]
        return np.stack(sequences, axis=1)  # [S, R, length]


@dataclass(frozen=True)
class Loader:
    """Batches made on demand.

    Args:
        begin: Returns an iterator that makes them.
        length: Number of batches of a whole training; a resumed one makes fewer.
    """

    begin: Callable[[], Iterator[Tensor]]
    length: int

    def __iter__(self) -> Iterator[Tensor]:
        return self.begin()

    def __len__(self) -> int:
        return self.length

    def state_dict(self) -> dict[str, Any]:
        """Tells Lightning that the loader can be resumed; the module's epochs say where."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Does nothing, see `state_dict`."""
