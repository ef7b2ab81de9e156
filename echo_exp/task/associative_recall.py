"""Associative recall: read pairs of a key and a value, then some keys, and answer their values.

    window    3  1  4  1  5  9  4  3      3 pairs 3:1, 4:1, 5:9, then 2 of their keys
    targets                     1  1      the value of each, at the timestep of its key

This is the multi-query associative recall of Arora et al. (2023) with two changes: keys and values
are the same integers and differ only in their places, and the queries follow right after the pairs,
each key at most once.
"""

from dataclasses import dataclass

import numpy as np

from echo_exp import settings
from echo_exp.settings import SettingError
from echo_exp.task.problem import LENGTHS, Integers, Windows, check_lengths
from echo_exp.task.samples import Samples, distinct

MOST_PAIRS = 1000


@dataclass(frozen=True)
class AssociativeRecall(Samples):
    """Sizes of associative recall.

    Args:
        n_values: Keys and values are integers from 0 to ``n_values - 1``; no key is used twice.
        n_windows: Windows in a sequence.
        train_lengths: Values of ``n_pairs`` at which a network is trained in turn.
        test_lengths: Further values of ``n_pairs`` at which a trained network is tested.
        n_pairs: Pairs to read.
        n_queries: Keys whose values are to be answered, each from a different pair.

    Raises:
        SettingError: A size is not allowed.
    """

    n_values: int = 16
    n_pairs: int = 4
    n_queries: int = 2

    LENGTH = "n_pairs"

    def __post_init__(self) -> None:
        super().__post_init__()
        settings.integer("problem.n_pairs", self.n_pairs, 1, MOST_PAIRS)
        settings.integer("problem.n_queries", self.n_queries, 1)
        if self.n_pairs > self.n_values:
            reason = f"no two pairs have the same key of problem.n_values={self.n_values} integers"
            raise SettingError("problem.n_pairs", self.n_pairs, reason)
        if self.n_queries > self.n_pairs:
            reason = f"each of problem.n_pairs={self.n_pairs} pairs is asked for at most once"
            raise SettingError("problem.n_queries", self.n_queries, reason)
        for name in LENGTHS:
            object.__setattr__(self, name, check_lengths(self, name))

    @property
    def name(self) -> str:
        """A short name with the number of pairs and of queries."""
        return f"{self.n_queries} of {self.n_pairs} pairs"

    @property
    def goal(self) -> str:
        """What a network learns to do."""
        return (
            f"recall the values of {self.n_queries} keys out of {self.n_pairs} pairs of integers "
            f"below {self.n_values}"
        )

    @property
    def n_out(self) -> int:
        """Keys that are asked for."""
        return self.n_queries

    @property
    def n_body(self) -> int:
        """Keys, values and queries."""
        return 2 * self.n_pairs + self.n_queries

    def generate(self, random: np.random.Generator, count: int) -> Integers:
        """Draws fresh random sequences, [count, n_windows · (2 n_pairs + n_queries)] integers."""
        uniform = random.random((count, self.n_windows, self.n_body))
        drawn = np.split(uniform, [self.n_pairs, 2 * self.n_pairs], axis=-1)
        keys = distinct(drawn[0], self.n_values)
        values = (drawn[1] * self.n_values).astype(np.int64)
        queries = np.take_along_axis(keys, distinct(drawn[2], self.n_pairs), -1)
        pairs = np.stack([keys, values], -1).reshape(count, self.n_windows, 2 * self.n_pairs)
        return np.concatenate([pairs, queries], -1).reshape(count, self.n_windows * self.n_body)

    def targets(self, windows: Windows) -> Windows:
        """Returns the values of the keys that are asked for, [..., n_in] -> [..., n_queries]."""
        keys = windows[..., None, : 2 * self.n_pairs : 2]  # [..., 1, n_pairs]
        values = windows[..., None, 1 : 2 * self.n_pairs : 2]
        queries = windows[..., 2 * self.n_pairs :, None]  # [..., n_queries, 1]
        return ((keys == queries) * values).sum(-1)  # type: ignore[no-any-return]

    def wrong(self, body: Integers) -> str | None:
        """Returns why this problem cannot draw a body, [n_body]; None if it can."""
        keys, queries = body[: 2 * self.n_pairs : 2].tolist(), body[2 * self.n_pairs :].tolist()
        if len(set(keys)) < self.n_pairs:
            return f"every other of the first {2 * self.n_pairs} is a key, and one occurs twice"
        if not set(queries) <= set(keys) or len(set(queries)) < self.n_queries:
            return f"the last {self.n_queries} must be different keys out of {keys}"
        return None
