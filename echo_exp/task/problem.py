"""What a problem is: it draws sequences, frames them as windows, and says what the answers are.

A problem is one class in a file of its own; `echo_exp.task.echo` is the tutorial's. It deals with
integers only. Those from 0 to ``n_values - 1`` are values. The next ones are marks, such as a
blank; in text, each mark is written as a sign. `echo_exp.task.representation` determines how a
network sees the integers.
"""

import operator
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from echo_exp import settings
from echo_exp.settings import SettingError

Integers = NDArray[np.int64]

MISSING = -1
"""Fills the timesteps of a window that lie before the first integer of its sequence."""
TRAIN_LENGTHS, TEST_LENGTHS = LENGTHS = ("train_lengths", "test_lengths")
"""Settings of a problem: the lengths at which a network is trained in turn, and tested besides."""
BLANK, GO, NOISE = "_", ">", "~"
"""Signs of the marks: nothing to read, the answers are due from now on, nothing to keep."""


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


class IntegerArray(Protocol):
    """An array or tensor of integers."""

    @property
    def shape(self) -> Any:
        """Its sizes."""

    def __getitem__(self, index: Any, /) -> Any: ...


Windows = TypeVar("Windows", bound=IntegerArray)


class Problem(Protocol):
    """The interface of a problem.

    A class whose first windows may be incomplete has an argument ``incomplete``, which says whether
    they are kept; the policy for missing values sets it.
    """

    @property
    def name(self) -> str:
        """A short name, such as ``5→2``."""

    @property
    def goal(self) -> str:
        """What a network learns to do, as in ``echo 2 of 5 integers below 100``."""

    @property
    def n_values(self) -> int:
        """Answers are integers from 0 to ``n_values - 1`` (V)."""

    @property
    def marks(self) -> Sequence[str]:
        """The signs of the marks that a network reads; mark m is the integer ``n_values + m``."""

    @property
    def n_in(self) -> int:
        """Timesteps of a window (T)."""

    @property
    def n_out(self) -> int:
        """Answers to a window."""

    @property
    def due(self) -> Sequence[int]:
        """The first timestep of the window at which each answer can be given, [n_out]."""

    @property
    def n_windows(self) -> int:
        """Windows in a sequence, including the incomplete ones if they are kept."""

    @property
    def n_incomplete(self) -> int:
        """Incomplete windows at the beginning of each sequence."""

    @property
    def independent(self) -> bool:
        """Whether the windows of a sequence are independent, so that no state is carried."""

    def generate(self, random: np.random.Generator, count: int) -> Integers:
        """Draws fresh random sequences.

        The draws continue where the generator stands: two calls for n and m sequences return the
        same sequences as one call for n + m.

        Returns:
            [count, length] integers.
        """

    def windows(self, sequences: Integers) -> Integers:
        """Frames sequences, [..., length] -> [..., n_windows, n_in]."""

    def targets(self, windows: Windows) -> Windows:
        """Returns the answers to windows, [..., n_in] -> [..., n_out]; some may be `MISSING`."""

    def present_targets(self) -> NDArray[np.bool_]:
        """Returns which answers count, [n_windows, n_out]; they are the same in all sequences."""

    def sequence(self, given: Iterable[int | str]) -> Integers:
        """Returns a sequence given by a user, of any number of windows, ready to be framed.

        Args:
            given: Integers, and the signs of marks.

        Returns:
            [length] integers.

        Raises:
            SettingError: The problem has no such sequence.
        """


@runtime_checkable
class WithLengths(Problem, Protocol):
    """A problem that exists at other lengths, too, at which a network can be trained and tested."""

    @property
    def train_lengths(self) -> Sequence[int]:
        """The lengths at which a network is to be trained in turn; if none, at the problem's."""

    @property
    def test_lengths(self) -> Sequence[int]:
        """The lengths at which a network is to be tested, besides that of the problem."""

    def of_length(self, length: int) -> Problem:
        """Returns the same problem at another length, with as many windows in a sequence.

        Raises:
            SettingError: It has no such length.
        """


def check_lengths(problem: WithLengths, name: str) -> tuple[int, ...]:
    """Returns the lengths at which a network is to be trained or tested.

    Args:
        problem: The problem.
        name: `TRAIN_LENGTHS` or `TEST_LENGTHS`.

    Raises:
        SettingError: They are not a list of different lengths that the problem can have, a sequence
            has other numbers of windows at them, or, at those of the training, the number of
            answers changes or windows cannot be told apart by their timesteps.
    """
    key = f"problem.{name}"
    lengths: Any = getattr(problem, name)
    if isinstance(lengths, str) or not isinstance(lengths, Sequence):
        raise SettingError(key, lengths, "it must be a list of lengths, such as [10,20]")
    timesteps = set()
    for length in lengths:
        settings.integer(key, length, 0)
        try:
            other = problem.of_length(length)
        except SettingError as error:
            raise SettingError(key, length, f"at this length {error}") from error
        if name == TRAIN_LENGTHS and other.n_out != problem.n_out:
            reason = "the number of answers must be the same at every length of the training"
            raise SettingError(key, length, reason)
        if other.n_windows != problem.n_windows:
            reason = "a sequence must have equally many windows at every length"
            raise SettingError(key, length, reason)
        timesteps.add(other.n_in)
    if len(set(lengths)) < len(lengths):
        raise SettingError(key, list(lengths), "each length may be given only once")
    if name == TRAIN_LENGTHS and len(timesteps) < len(lengths):
        reason = "windows of different lengths must have different numbers of timesteps"
        raise SettingError(key, list(lengths), reason)
    return tuple(lengths)


def at_lengths(problem: Problem, name: str) -> dict[int, Problem]:
    """Returns the problem at each length of its training or its tests, by the length.

    Args:
        problem: The problem.
        name: `TRAIN_LENGTHS` or `TEST_LENGTHS`.
    """
    if not isinstance(problem, WithLengths):
        return {}
    return {length: problem.of_length(length) for length in getattr(problem, name)}


def in_training(problem: Problem) -> list[Problem]:
    """Returns the problem at each length of its training, in the order of their turns."""
    return list(at_lengths(problem, TRAIN_LENGTHS).values()) or [problem]


def check_batch_size(problem: Problem, batch_size: Any) -> int:
    """Returns ``batch_size`` if it cuts the windows of a sequence into equal batches.

    They must be equal, because element i of a batch continues from the state of element i of the
    batch before.

    Raises:
        SettingError: It does not; the message lists the sizes that do.
    """
    n_windows = problem.n_windows
    divisors = [d for d in range(1, n_windows + 1) if n_windows % d == 0]
    if batch_size not in divisors or isinstance(batch_size, bool | float):
        raise SettingError(
            "batch_size",
            batch_size,
            f"the {n_windows} windows of a sequence can be cut into batches of "
            f"{_enumerate(divisors)}",
        )
    return int(batch_size)


def check_stateful(problem: Problem, stateful: Any) -> None:
    """Checks that no state is carried between independent windows.

    Raises:
        SettingError: The model is stateful, and the problem's windows are independent.
    """
    if problem.independent and stateful:
        reason = "the windows of this problem are independent: it must be false"
        raise SettingError("model.stateful", stateful, reason)


def integers(given: Iterable[Any], problem: Problem) -> Integers:
    """Returns what a user gives as integers: a sign becomes the integer of its mark.

    Args:
        given: Integers, and the signs of marks.
        problem: The problem.

    Raises:
        SettingError: An element is neither a value nor a mark of the problem.
    """
    every = list(given)
    known = {sign: problem.n_values + mark for mark, sign in enumerate(problem.marks)}
    found: list[Any] = [known.get(each, each) if isinstance(each, str) else each for each in every]
    for each in found:
        if not (_is_integer(each) and 0 <= each < problem.n_values + len(known)):
            marks = "".join(f" and {sign}" for sign in known)
            largest = problem.n_values - 1
            reason = f"it contains {each}; the network knows only the integers from 0 to {largest}"
            raise SettingError("sequence", every, reason + marks)
    return np.array([int(each) for each in found], dtype=np.int64)


def signs(row: Iterable[int], problem: Problem) -> list[int | str]:
    """Returns a window as it is shown: values as integers, the others as signs."""
    known = dict(enumerate(problem.marks, start=problem.n_values)) | {MISSING: BLANK}
    return [known.get(int(each), int(each)) for each in row]


def shown(row: Iterable[int | str]) -> str:
    """Returns a window or answers as text, as in ``[7, 3, _]``."""
    return f"[{', '.join(map(str, row))}]"


def pairs(problem: Problem, sequences: Integers, rows: int) -> str:
    """Renders the first windows of sequences, [..., length], one a line with its answers."""
    windows = problem.windows(sequences).reshape(-1, problem.n_in)[:rows]
    return "\n".join(
        f"{shown(signs(window, problem))} -> {shown(signs(problem.targets(window), problem))}"
        for window in windows
    )


def _is_integer(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def _enumerate(values: list[int]) -> str:
    if len(values) > 12:
        return ", ".join(map(str, values[:6])) + ", ... or " + str(values[-1])
    return ", ".join(map(str, values[:-1])) + " or " * (len(values) > 1) + str(values[-1])
