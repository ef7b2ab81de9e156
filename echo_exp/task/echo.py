"""The echo problem: random integers, cut into windows; a block of each is to be repeated.

    sequence   3  1  4  1  5  9  2        integers, the oldest first
    windows   [3  1  4  1  5]             every run of n_in consecutive integers
                 [1  4  1  5  9]
                    [4  1  5  9  2]
    targets   [3  1]  [1  4]  [4  1]      n_out integers of each window (here 2), from the oldest
              [1  4]  [4  1]  [1  5]      on, or from a later one (offset = 1),
              [4  1]  [1  4]  [5  1]      or these in reversed order

The rows that shifting leaves incomplete are dropped, or kept with `MISSING` in their first places:

             [_  _  _  _  3]  [_  _  _  3  1]  [_  _  3  1  4]  [_  3  1  4  1]  [3  1  4  1  5]
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from echo_exp import settings
from echo_exp.task import problem
from echo_exp.task.problem import MISSING, Integers, Windows

FORWARD, REVERSED = "forward", "reversed"


@dataclass(frozen=True)
class EchoProblem:
    """Sizes of the echo problem.

    Args:
        length: Integers in a sequence.
        n_values: Integers are drawn uniformly from 0 to ``n_values - 1``.
        n_in: Timesteps in a window.
        n_out: Integers of a window that are to be repeated.
        offset: Integers of a window that are older than those; ``offset + n_out <= n_in``.
        order: ``forward``, the oldest first, or ``reversed``.
        train_lengths: Values of ``n_in`` at which a network is trained in turn; if there are none,
            it is trained at the problem's own. ``n_out`` must be the same at all of them.
        test_lengths: Further values of ``n_in`` at which a trained network is tested. If
            ``n_out`` equals ``n_in``, it does so at these lengths, too.
        incomplete: Whether the rows that shifting leaves incomplete are kept; a sequence then has
            as many rows as integers.

    Raises:
        SettingError: A size is not allowed.
    """

    length: int = 25
    n_values: int = 100
    n_in: int = 5
    n_out: int = 5
    offset: int = 0
    order: str = FORWARD
    train_lengths: Sequence[int] = field(default=(), kw_only=True)
    test_lengths: Sequence[int] = field(default=(), kw_only=True)
    incomplete: bool = False

    marks: ClassVar[tuple[str, ...]] = ()
    independent: ClassVar[bool] = False

    def __post_init__(self) -> None:
        settings.integer("problem.n_values", self.n_values, 2, 1_000_000)
        settings.integer("problem.length", self.length, 1, 1_000_000)
        settings.integer("problem.n_in", self.n_in, 1)
        settings.integer("problem.n_out", self.n_out, 1)
        settings.choice("problem.order", self.order, (FORWARD, REVERSED))
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
                f"it must be at most problem.n_in={self.n_in}, the integers of a window",
            )
        settings.integer("problem.offset", self.offset, 0)
        if self.offset + self.n_out > self.n_in:
            raise settings.SettingError(
                "problem.offset",
                self.offset,
                f"with problem.n_in={self.n_in} and problem.n_out={self.n_out} it must be at most "
                f"{self.n_in - self.n_out}",
            )
        for name in problem.LENGTHS:
            object.__setattr__(self, name, problem.check_lengths(self, name))

    @property
    def name(self) -> str:
        """A short name, such as ``5→2``."""
        name = f"{self.n_in}→{self.n_out}"
        if self.offset:
            name += f" from {self.offset}"
        return f"{name} reversed" if self.order == REVERSED else name

    @property
    def goal(self) -> str:
        """What a network learns to do."""
        backwards = " in reversed order" if self.order == REVERSED else ""
        behind = f", behind the {self.offset} oldest" if self.offset else ""
        return f"echo {self.n_out} of {self.n_in} integers below {self.n_values}{behind}{backwards}"

    @property
    def due(self) -> list[int]:
        """The timestep of the window that each answer repeats, [n_out]; earlier it is unknown."""
        places = list(range(self.offset, self.offset + self.n_out))
        return places if self.order == FORWARD else places[::-1]

    @property
    def n_windows(self) -> int:
        """Windows in a sequence, including the incomplete ones if they are kept."""
        return self.n_incomplete + self.length - self.n_in + 1

    @property
    def n_incomplete(self) -> int:
        """Incomplete windows at the beginning of each sequence."""
        return self.n_in - 1 if self.incomplete else 0

    def of_length(self, length: int) -> "EchoProblem":
        """Returns the same problem with windows of another length, as many in a sequence.

        Args:
            length: Timesteps of a window.

        Raises:
            SettingError: Such windows have fewer integers than are to be repeated, or incomplete
                windows are kept.
        """
        if self.incomplete:
            reason = "how many windows are incomplete depends on the length; use missing=drop"
            raise settings.SettingError("problem.incomplete", "true", reason)
        whole = self.n_out == self.n_in
        return replace(
            self,
            length=length + self.n_windows - 1,
            n_in=length,
            n_out=length if whole else self.n_out,
            train_lengths=(),
            test_lengths=(),
        )

    def generate(self, random: np.random.Generator, count: int) -> Integers:
        """Draws fresh random sequences, [count, length] integers from 0 to ``n_values - 1``."""
        return random.integers(0, self.n_values, size=(count, self.length), dtype=np.int64)

    def windows(self, sequences: Integers) -> Integers:
        """Frames sequences: every run of ``n_in`` consecutive integers, in order.

        Args:
            sequences: [..., length] integers; any length of at least ``n_in`` is allowed.

        Returns:
            [..., n_windows, n_in], a view; sequences are copied only to put `MISSING` in front of
            them.
        """
        if self.incomplete:
            missing = [(0, 0)] * (sequences.ndim - 1) + [(self.n_incomplete, 0)]
            sequences = np.pad(sequences, missing, constant_values=MISSING)
        return np.lib.stride_tricks.sliding_window_view(
            sequences, self.n_in, axis=-1, writeable=True
        )

    def targets(self, windows: Windows) -> Windows:
        """Returns the integers that are to be repeated, [..., n_in] -> [..., n_out]."""
        if self.order == FORWARD:
            return windows[..., self.offset : self.offset + self.n_out]  # type: ignore[no-any-return]
        return windows[..., self.due]  # type: ignore[no-any-return]

    def present_targets(self) -> NDArray[np.bool_]:
        """Returns which targets of a sequence are not missing, [n_windows, n_out]."""
        zeros = np.zeros(self.length, dtype=np.int64)
        present: NDArray[np.bool_] = self.targets(self.windows(zeros)) != MISSING
        return present

    def sequence(self, given: Iterable[int | str]) -> Integers:
        """Returns a sequence given by a user.

        Args:
            given: At least ``n_in`` integers.

        Returns:
            [length] integers.

        Raises:
            SettingError: It is too short, or not of integers from 0 to ``n_values - 1``.
        """
        every = list(given)
        found = problem.integers(every, self)
        if len(found) < self.n_in:
            reason = f"the network reads {self.n_in} integers at a time, not {len(found)}"
            raise settings.SettingError("sequence", every, reason)
        return found
