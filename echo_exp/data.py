"""The sequences of an experiment as a LightningDataModule."""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from echo_exp.problem import Integers, Problem, Stream, random_stream

EVALUATION_LOGITS = 20_000_000
"""An evaluation batch holds as many sequences as give about this many outputs at a time."""


class EchoDataModule(pl.LightningDataModule):
    """Fresh random sequences to train on, fixed ones to validate and test on.

    Every loader gives windows, [S, R, length - n_in + 1, n_in] integers: S sequences for each
    replica, from the streams of that replica's own seed. Training goes on after the epochs that the
    module has already been trained for, so a resumed run sees what an uninterrupted one sees.

    Args:
        problem: The echo problem.
        epochs: Sequences to train on; each is used once.
        seeds: One seed a replica (R of them).
        block: Sequences in a training batch (S).
        validation_sequences: Sequences of the validation set.
        test_sequences: Sequences of the test set.
    """

    def __init__(
        self,
        problem: Problem,
        epochs: int,
        seeds: Sequence[int],
        block: int = 10,
        validation_sequences: int = 10,
        test_sequences: int = 100,
    ) -> None:
        super().__init__()
        self.problem = problem
        self.epochs = epochs
        self.seeds = tuple(seeds)
        self.block = block
        self.validation_sequences = validation_sequences
        self.test_sequences = test_sequences

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Returns blocks of fresh sequences, each block a batch."""
        done = cast("int", self.trainer.lightning_module.epochs) if self.trainer else 0
        blocks = _TrainingBlocks(self.problem, self.seeds, self.block, done, self.epochs)
        return DataLoader(blocks, batch_size=None)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Returns the validation sequences, the same at every validation."""
        return self._fixed(Stream.VALIDATION, self.validation_sequences)

    def test_dataloader(self) -> DataLoader[Tensor]:
        """Returns the test sequences."""
        return self._fixed(Stream.TEST, self.test_sequences)

    def listing_sequence(self) -> Integers:
        """Returns one new sequence for each replica, [R, length], to list its echo."""
        sequences: Integers = self._draw(Stream.LISTING, 1)[0]
        return sequences

    def _draw(self, stream: Stream, count: int) -> Integers:
        return np.stack(
            [self.problem.generate(random_stream(seed, stream), count) for seed in self.seeds],
            1,
        )  # [S, R, length]

    def _fixed(self, stream: Stream, count: int) -> DataLoader[Tensor]:
        windows = torch.from_numpy(self.problem.windows(self._draw(stream, count)))
        logits = len(self.seeds) * self.problem.n_windows * self.problem.n_out
        size = max(1, EVALUATION_LOGITS // (logits * self.problem.n_values))
        return DataLoader(windows.split(size), batch_size=None)


class _TrainingBlocks(IterableDataset[Tensor]):
    """Blocks of consecutive training sequences, from the first that is not yet done."""

    def __init__(
        self, problem: Problem, seeds: Sequence[int], block: int, done: int, epochs: int
    ) -> None:
        self.problem, self.seeds = problem, seeds
        self.block, self.done, self.epochs = block, done, epochs

    def __len__(self) -> int:
        return math.ceil(self.epochs / self.block)

    def __iter__(self) -> Iterator[Tensor]:
        streams = [random_stream(seed, Stream.TRAINING) for seed in self.seeds]
        for first in range(0, self.epochs, self.block):
            count = min(self.block, self.epochs - first)
            sequences = [self.problem.generate(stream, count) for stream in streams]
            if first >= self.done:
                yield torch.from_numpy(self.problem.windows(np.stack(sequences, 1)))
