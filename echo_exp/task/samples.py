"""The base of problems whose windows are drawn independently of each other.

A window is a body, which is drawn, and a tail of marks, which is the same in all windows: its
length and `GO` tell a network when to answer. The answers are due at the last timesteps.
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
        train_lengths: Values of the setting `LENGTH` at which a network is trained in turn; if
            there are none, it is trained at the problem's own.
        test_lengths: Further values of the setting `LENGTH` at which a trained network is tested.

    Raises:
        SettingError: A size is not allowed.
    """

    n_values: int
    n_windows: int = 21
    train_lengths: Sequence[int] = field(default=(), kw_only=True)
    test_lengths: Sequence[int] = field(default=(), kw_only=True)

    LENGTH: ClassVar[str]
    """The setting that determines how long a window is."""

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
        changes = {self.LENGTH: length, **dict.fromkeys(problem.LENGTHS, ())}
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name."""

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
        """Draws fresh random sequences, [count, n_windows · n_body] integers."""

    @abstractmethod
    def targets(self, windows: Windows) -> Windows:
        """Returns the answers to windows, [..., n_in] -> [..., n_out]."""

    @property
    def tail(self) -> Sequence[str]:
        """The signs that follow the body in each window."""
        return ()

    @property
    def n_in(self) -> int:
        """Timesteps of a window."""
        return self.n_body + len(self.tail)

    @property
    def due(self) -> list[int]:
        """The last ``n_out`` timesteps of a window."""
        return list(range(self.n_in - self.n_out, self.n_in))

    def windows(self, sequences: Integers) -> Integers:
        """Frames sequences, [..., windows · n_body] -> [..., windows, n_in]."""
        bodies = sequences.reshape(*sequences.shape[:-1], -1, self.n_body)
        tail = problem.integers(self.tail, self)
        tails = np.broadcast_to(tail, (*bodies.shape[:-1], len(tail)))
        return np.concatenate([bodies, tails], axis=-1)

    def present_targets(self) -> NDArray[np.bool_]:
        """Returns True for each answer, [n_windows, n_out]: all of them count."""
        return np.ones((self.n_windows, self.n_out), dtype=np.bool_)

    def sequence(self, given: Iterable[int | str]) -> Integers:
        """Returns a sequence given by a user.

        Args:
            given: One or more bodies, or whole windows with their tails.

        Returns:
            [windows · n_body] integers.

        Raises:
            SettingError: It is neither, or this problem cannot draw one of the bodies.
        """
        every = list(given)
        found = problem.integers(every, self)
        bodies = self._bodies(found)
        if bodies is None:
            whole = f", or whole windows of {self.n_in}" if self.tail else ""
            reason = f"the network reads {self.n_body} at a time{whole}, but there are {len(found)}"
            raise SettingError("sequence", every, reason)
        for body in bodies:
            wrong = self.wrong(body)
            if wrong:
                raise SettingError("sequence", every, wrong)
        return bodies.flatten()

    def wrong(self, body: Integers) -> str | None:
        """Returns why this problem cannot draw a body, [n_body]; None if it can."""
        if (body >= self.n_values).any():
            return f"a window must have {self.n_body} integers below {self.n_values}"
        return None

    def _bodies(self, found: Integers) -> Integers | None:
        """Returns the bodies that a user gave, [windows, n_body]; None if the form is wrong."""
        if len(found) and len(found) % self.n_in == 0:
            windows = found.reshape(-1, self.n_in)
            if (windows[:, self.n_body :] == problem.integers(self.tail, self)).all():
                return windows[:, : self.n_body]
        if len(found) and len(found) % self.n_body == 0:
            return found.reshape(-1, self.n_body)
        return None


def distinct(uniform: NDArray[np.float64], n: int) -> Integers:
    """Turns uniform numbers into different integers from 0 to ``n - 1``.

    The j-th number chooses one of the ``n - j`` integers that are left, by its rank among them. The
    integer is its rank plus the number of smaller integers that are already taken.

    Args:
        uniform: [..., k] numbers, uniform in [0, 1); ``k <= n``.
        n: Number of integers to choose from.

    Returns:
        [..., k] integers; all arrangements are equally probable.
    """
    drawn = np.empty(uniform.shape, dtype=np.int64)
    for j in range(uniform.shape[-1]):
        rank = (uniform[..., j] * (n - j)).astype(np.int64)
        left_below = np.sort(drawn[..., :j], axis=-1) - np.arange(j)
        drawn[..., j] = rank + (left_below <= rank[..., None]).sum(-1)
    return drawn
