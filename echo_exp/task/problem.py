"""The echo problem: random integers, cut into windows whose oldest integers are to be repeated.

    sequence   3  1  4  1  5  9  2        integers, the oldest first
    windows   [3  1  4  1  5]             every run of n_in consecutive integers
                 [1  4  1  5  9]
                    [4  1  5  9  2]
    targets   [3  1]  [1  4]  [4  1]      the n_out oldest integers of each window (here n_out = 2)

The rows that shifting leaves incomplete are dropped, or kept with `MISSING` in their first places:

             [_  _  _  _  3]  [_  _  _  3  1]  [_  _  3  1  4]  [_  3  1  4  1]  [3  1  4  1  5]

Integers only; how a network sees them is the business of `echo_exp.task.representation`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from echo_exp import settings

Integers = NDArray[np.int64]

MISSING = -1
"""Stands in the places of a window that lie before the first integer of its sequence."""


class Stream(IntEnum):
    """The separate random streams of one seed; no two of them share a draw."""

    TRAINING = 0
    VALIDATION = 1
    TEST = 2
    LISTING = 3
    WEIGHTS = 4
    INSPECTION = 5


def random_stream(seed: int, stream: Stream) -> np.random.Generator:
    """Returns the generator of one stream of ``seed``, at its beginning.

    Numpy's `SeedSequence` hashes the pair, so that neighbouring seeds and streams are independent.
    """
    return np.random.default_rng(np.random.SeedSequence((seed, stream)))


class Sliceable(Protocol):
    """An array or tensor of integers."""

    def __getitem__(self, index: Any, /) -> Any: ...


Windows = TypeVar("Windows", bound=Sliceable)


@dataclass(frozen=True)
class Problem:
    """Sizes of the echo problem.

    Args:
        length: Integers in a sequence.
        n_values: Integers are drawn uniformly from 0 to ``n_values - 1``.
        n_in: Timesteps in a window.
        n_out: Oldest integers of a window that are to be repeated, ``n_out <= n_in``.
        incomplete: Whether the rows that shifting leaves incomplete are kept; a sequence then has
            as many rows as integers.

    Raises:
        SettingError: A size is not allowed.
    """

    length: int = 25
    n_values: int = 100
    n_in: int = 5
    n_out: int = 5
    incomplete: bool = False

    def __post_init__(self) -> None:
        settings.integer("problem.n_values", self.n_values, 2, 1_000_000)
        settings.integer("problem.length", self.length, 1, 1_000_000)
        settings.integer("problem.n_in", self.n_in, 1)
        settings.integer("problem.n_out", self.n_out, 1)
        if self.n_in > self.length:
            raise settings.SettingError(
                "problem.length",
                self.length,
                f"a sequence must hold at least one window of problem.n_in={self.n_in} integers",
            )
        if self.n_out > self.n_in:
            raise settings.SettingError(
                "problem.n_out",
                self.n_out,
                f"a window of problem.n_in={self.n_in} integers has only so many to repeat",
            )

    @property
    def n_windows(self) -> int:
        """Windows in one sequence, the incomplete ones counted where they are kept."""
        return self.n_incomplete + self.length - self.n_in + 1

    @property
    def n_incomplete(self) -> int:
        """Incomplete windows at the beginning of each sequence."""
        return self.n_in - 1 if self.incomplete else 0

    def check_batch_size(self, batch_size: Any) -> int:
        """Returns ``batch_size`` where it cuts the windows of a sequence into equal batches.

        Equal, because the state of element i of a batch goes on in element i of the next.

        Raises:
            SettingError: It does not; the message lists the sizes that do.
        """
        divisors = [d for d in range(1, self.n_windows + 1) if self.n_windows % d == 0]
        if batch_size not in divisors or isinstance(batch_size, bool | float):
            raise settings.SettingError(
                "batch_size",
                batch_size,
                f"the {self.n_windows} windows of a sequence can be cut into batches of "
                f"{_enumerate(divisors)}",
            )
        return int(batch_size)

    def generate(self, random: np.random.Generator, count: int) -> Integers:
        """Draws fresh random sequences.

        The draws continue where the generator stands: two calls for n and m sequences give the
        same as one call for n + m.

        Returns:
            [count, length] integers from 0 to ``n_values - 1``.
        """
        return random.integers(0, self.n_values, size=(count, self.length), dtype=np.int64)

    def windows(self, sequences: Integers) -> Integers:
        """Frames sequences: every run of ``n_in`` consecutive integers, in order.

        Args:
            sequences: [..., length] integers; other lengths of at least ``n_in`` will do.

        Returns:
            [..., n_windows, n_in], a view; nothing is copied but a sequence that gets `MISSING`
            in front of it.
        """
        if self.incomplete:
            missing = [(0, 0)] * (sequences.ndim - 1) + [(self.n_incomplete, 0)]
            sequences = np.pad(sequences, missing, constant_values=MISSING)
        return np.lib.stride_tricks.sliding_window_view(
            sequences, self.n_in, axis=-1, writeable=True
        )

    def targets(self, windows: Windows) -> Windows:
        """Returns the oldest ``n_out`` places of each window, [..., n_in] -> [..., n_out]."""
        return windows[..., : self.n_out]  # type: ignore[no-any-return]

    def present_targets(self) -> NDArray[np.bool_]:
        """Returns which targets of a sequence are not missing, [n_windows, n_out]."""
        zeros = np.zeros(self.length, dtype=np.int64)
        present: NDArray[np.bool_] = self.targets(self.windows(zeros)) != MISSING
        return present

    def example(self, sequence: Integers, rows: int = 5) -> str:
        """Renders the first (window, target) pairs of one sequence as text, a pair a line."""
        windows = self.windows(sequence)[:rows]
        return "\n".join(
            f"{window.tolist()} -> {self.targets(window).tolist()}" for window in windows
        )


def _enumerate(values: list[int]) -> str:
    if len(values) > 12:
        return ", ".join(map(str, values[:6])) + ", ... or " + str(values[-1])
    return ", ".join(map(str, values[:-1])) + " or " * (len(values) > 1) + str(values[-1])
