"""The sequences of an experiment as a LightningDataModule."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from echo_exp.task.problem import Integers, Problem, Stream, in_training, random_stream

EVALUATION_OUTPUTS = 4_000_000
"""An evaluation batch holds as many sequences as produce about this many outputs."""


class EchoDataModule(pl.LightningDataModule):
    """Fresh random sequences to train on, fixed ones to validate and test on.

    Every loader yields windows, [S, R, n_windows, n_in] integers: S sequences for each replica,
    from the streams of that replica's own seed. If a network is trained at several lengths, these
    take turns from sequence to sequence, and a training batch is a list of S arrays of one sequence
    each. Training continues after the epochs that the module has already been trained for, so a
    resumed run sees the same sequences as an uninterrupted one.

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

    Attributes:
        lengths: The problem at each length of the training, in the order of their turns.
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
        self.lengths = in_training(problem)

    def train_dataloader(self) -> "Loader[Any]":
        """Returns blocks of fresh sequences, each block a batch."""
        done = cast("int", self.trainer.lightning_module.epochs) if self.trainer else 0
        return Loader(lambda: self._blocks(done), math.ceil(self.epochs / self.block))

    def val_dataloader(self) -> "Loader[Tensor]":
        """Returns the validation sequences, the same at every validation."""
        return self._fixed(Stream.VALIDATION, self.validation_sequences)

    def test_dataloader(self) -> "Loader[Tensor]":
        """Returns the test sequences."""
        return self._fixed(Stream.TEST, self.test_sequences)

    def listing_sequence(self) -> Integers:
        """Returns a new sequence for each replica, [R, length], whose echo is to be listed."""
        sequences: Integers = self._draw(self.problem, self._streams(Stream.LISTING), 1)[0]
        return sequences

    def _blocks(self, done: int) -> Iterator[Any]:
        """Yields blocks of [S, R, n_windows, n_in], or lists of S arrays of one sequence each."""
        streams = self._streams(Stream.TRAINING)
        for random, count in zip(streams, self.begun, strict=False):
            for first in range(0, count, self.block):  # all at once might not fit into memory
                for problem, sequences in self._turns(first, min(self.block, count - first)):
                    problem.generate(random, sequences)
        begun = self.begun[0] if self.begun else 0
        for first in range(0, self.epochs, self.block):
            turns = self._turns(begun + first, min(self.block, self.epochs - first))
            drawn = [(problem, self._draw(problem, streams, count)) for problem, count in turns]
            if first >= done:
                block = [torch.from_numpy(problem.windows(each)) for problem, each in drawn]
                yield block[0] if len(self.lengths) == 1 else block

    def _turns(self, first: int, count: int) -> list[tuple[Problem, int]]:
        """Returns the problems of consecutive epochs, each with its number of sequences."""
        if len(self.lengths) == 1:
            return [(self.lengths[0], count)]
        epochs = range(first, first + count)
        return [(self.lengths[epoch % len(self.lengths)], 1) for epoch in epochs]

    def _fixed(self, stream: Stream, count: int) -> "Loader[Tensor]":
        sequences = self._draw(self.problem, self._streams(stream), count)
        windows = torch.from_numpy(self.problem.windows(sequences))
        outputs = windows[0].numel() // self.problem.n_in * self.problem.n_out
        most = EVALUATION_OUTPUTS // (outputs * self.problem.n_values)
        if self.side_by_side is not None:
            most = min(most, self.side_by_side)
        parts = windows.split(max(1, most))
        return Loader(lambda: iter(parts), len(parts))

    def _streams(self, stream: Stream) -> list[np.random.Generator]:
        return [random_stream(seed, stream) for seed in self.seeds]

    @staticmethod
    def _draw(problem: Problem, streams: Sequence[np.random.Generator], count: int) -> Integers:
        sequences = [problem.generate(random, count) for random in streams]
        return np.stack(sequences, axis=1)  # [S, R, length]


Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Loader(Generic[Batch]):
    """Batches made on demand.

    Args:
        begin: Returns an iterator that makes them; each is windows, or a list of windows.
        length: Number of batches of a whole training; a resumed one makes fewer.
    """

    begin: Callable[[], Iterator[Batch]]
    length: int

    def __iter__(self) -> Iterator[Batch]:
        return self.begin()

    def __len__(self) -> int:
        return self.length

    def state_dict(self) -> dict[str, Any]:
        """Tells Lightning that the loader can be resumed; the module's epochs say where."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Does nothing, see `state_dict`."""
