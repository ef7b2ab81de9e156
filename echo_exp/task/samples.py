"""What problems share whose windows are drawn one by one, and have nothing to do with each other.

A window is a body, which is drawn, and a tail of marks, the same in all: what is told to a network
by their number and by `GO`. Its answers are due at its last timesteps.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from echo_exp import settings
from echo_exp.settings import SettingError
from echo_exp.task import problem
from echo_exp.task.problem import Integers, Windows

MOST_TIMESTEPS = 100_000


@dataclass(frozen=True)
class Samples(ABC):
    """A problem of independent windows.

    Args:
        n_values: Answers are integers from 0 to ``n_values - 1``.
        n_windows: Windows in a sequence.
        test_lengths: Values of the setting `LENGTH` at which a trained network is tested too.

    Raises:
        SettingError: A size is not allowed.
    """

    n_values: int
    n_windows: int = 21
    test_lengths: Sequence[int] = field(default=(), kw_only=True)

    LENGTH: ClassVar[str]
    """The setting that says how long a window is."""

    marks: ClassVar[tuple[str, ...]] = ()
    independent: ClassVar[bool] = True
    n_incomplete: ClassVar[int] = 0

    def __post_init__(self) -> None:
        settings.integer("problem.n_values", self.n_values, 2, 1_000_000)
        settings.integer("problem.n_windows", self.n_windows, 1, 1_000_000)

    def of_length(self, length: int) -> Self:
        """Returns the problem with another value of `LENGTH`.

        Raises:
            SettingError: It cannot have this value.
        """
        return replace(self, **{self.LENGTH: length, "test_lengths": ()})  # type: ignore[arg-type]

    @property
    @abstractmethod
    def name(self) -> str:
        """In few letters what is to be done."""

    @property
    @abstractmethod
    def goal(self) -> str:
        """What a network learns to do."""

    @property
    @abstractmethod
    def n_out(self) -> int:
        """Answers to a window."""

    @property
    @abstractmethod
    def n_body(self) -> int:
        """Timesteps of a window that are drawn; a sequence consists of these."""

    @abstractmethod
    def generate(self, random: np.random.Generator, count: int) -> Integers:
        """Draws sequences, [count, n_windows · n_body]."""

    @abstractmethod
    def targets(self, windows: Windows) -> Windows:
        """Returns the answers to windows, [..., n_in] -> [..., n_out]."""

    @property
    def tail(self) -> Sequence[str]:
        """The signs that follow in each window."""
        return ()

    @property
    def n_in(self) -> int:
        """Timesteps of a window."""
        return self.n_body + len(self.tail)

    @property
    def due(self) -> list[int]:
        """The last ``n_out`` timesteps."""
        return list(range(self.n_in - self.n_out, self.n_in))

    def windows(self, sequences: Integers) -> Integers:
        """Frames sequences, [..., windows · n_body] -> [..., windows, n_in]."""
        bodies = sequences.reshape(*sequences.shape[:-1], -1, self.n_body)
        tail = problem.integers(self.tail, self)
        tails = np.broadcast_to(tail, (*bodies.shape[:-1], len(tail)))
        return np.concatenate([bodies, tails], axis=-1)

    def present_targets(self) -> NDArray[np.bool_]:
        """Returns that all answers count, [n_windows, n_out]."""
        return np.ones((self.n_windows, self.n_out), dtype=np.bool_)

    def sequence(self, told: Iterable[int | str]) -> Integers:
        """Returns a sequence of bodies, one or more, or of whole windows, tail and all.

        Raises:
            SettingError: It is neither, or a body is not as this problem draws it.
        """
        every = list(told)
        found = problem.integers(every, self)
        bodies = self._bodies(found)
        if bodies is None:
            whole = f", or whole windows of {self.n_in}" if self.tail else ""
            reason = f"the network reads {self.n_body} at a time{whole}, and these are {len(found)}"
            raise SettingError("sequence", every, reason)
        for body in bodies:
            wrong = self.wrong(body)
            if wrong:
                raise SettingError("sequence", every, wrong)
        return bodies.flatten()

    def wrong(self, body: Integers) -> str | None:
        """Returns why a body is none that this problem draws, [n_body], if it is none."""
        if (body >= self.n_values).any():
            return f"what is to be read is {self.n_body} integers below {self.n_values}"
        return None

    def _bodies(self, found: Integers) -> Integers | None:
        """Returns what was told as [windows, n_body], if it can be cut so."""
        if len(found) and len(found) % self.n_in == 0:
            windows = found.reshape(-1, self.n_in)
            if (windows[:, self.n_body :] == problem.integers(self.tail, self)).all():
                return windows[:, : self.n_body]
        if len(found) and len(found) % self.n_body == 0:
            return found.reshape(-1, self.n_body)
        return None


def distinct(uniform: NDArray[np.float64], n: int) -> Integers:
    """Makes integers from 0 to ``n - 1``, none twice, of numbers that are uniform in [0, 1).

    The j-th is one of the ``n - j`` that are left, by its rank among these; it is larger than its
    rank by how many of those taken are below it.

    Args:
        uniform: [..., k] numbers; ``k <= n``.
        n: How many integers there are.

    Returns:
        [..., k] integers, each arrangement as probable as any other.
    """
    drawn = np.empty(uniform.shape, dtype=np.int64)
    for j in range(uniform.shape[-1]):
        rank = (uniform[..., j] * (n - j)).astype(np.int64)
        left_below = np.sort(drawn[..., :j], axis=-1) - np.arange(j)
        drawn[..., j] = rank + (left_below <= rank[..., None]).sum(-1)
    return drawn
