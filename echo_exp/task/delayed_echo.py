"""Delayed echo: read integers, wait, and repeat them: the copying memory task.

    window    3  1  4  _  _  _  >  _  _  _      3 integers, a delay of 3 blanks, go, and as many
    targets                        3  1  4      blanks as there are answers

Hochreiter & Schmidhuber (1997) use tasks of this kind. This is the one of Arjovsky, Shah & Bengio
(2016), whose T is ``delay + 1``, with one change: only the answers count here, not the blanks that
their networks have to output before.
"""

from dataclasses import dataclass

import numpy as np

from echo_exp import settings
from echo_exp.task.problem import BLANK, GO, LENGTHS, Integers, Windows, check_lengths
from echo_exp.task.samples import MOST_TIMESTEPS, Samples


@dataclass(frozen=True)
class DelayedEcho(Samples):
    """Sizes of the delayed echo.

    Args:
        n_values: Integers are drawn uniformly from 0 to ``n_values - 1``.
        n_windows: Windows in a sequence.
        train_lengths: Values of ``delay`` at which a network is trained in turn.
        test_lengths: Further values of ``delay`` at which a trained network is tested.
        n_items: Integers to repeat.
        delay: Blanks between these integers and the mark that asks for the answers.

    Raises:
        SettingError: A size is not allowed.
    """

    n_values: int = 8
    n_items: int = 5
    delay: int = 10

    marks = (BLANK, GO)

    LENGTH = "delay"

    def __post_init__(self) -> None:
        super().__post_init__()
        settings.integer("problem.n_items", self.n_items, 1, MOST_TIMESTEPS)
        settings.integer("problem.delay", self.delay, 0, MOST_TIMESTEPS)
        for name in LENGTHS:
            object.__setattr__(self, name, check_lengths(self, name))

    @property
    def name(self) -> str:
        """A short name with the number of integers to repeat and of blanks before them."""
        return f"{self.n_items} after {self.delay}"

    @property
    def goal(self) -> str:
        """What a network learns to do."""
        return f"repeat {self.n_items} integers below {self.n_values} after {self.delay} blanks"

    @property
    def n_out(self) -> int:
        """Integers to repeat."""
        return self.n_items

    @property
    def n_body(self) -> int:
        """Integers to read."""
        return self.n_items

    @property
    def tail(self) -> tuple[str, ...]:
        """The blanks of the delay, go, and a blank for each answer."""
        return (*[BLANK] * self.delay, GO, *[BLANK] * self.n_items)

    def generate(self, random: np.random.Generator, count: int) -> Integers:
        """Draws fresh random sequences, [count, n_windows · n_items] integers."""
        size = (count, self.n_windows * self.n_items)
        return random.integers(0, self.n_values, size=size, dtype=np.int64)

    def targets(self, windows: Windows) -> Windows:
        """Returns the integers at the beginning of windows, [..., n_in] -> [..., n_items]."""
        return windows[..., : self.n_items]  # type: ignore[no-any-return]
