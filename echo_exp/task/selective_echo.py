"""Selective echo: repeat the integers that stand at random places among noise: selective copying.

    window    ~  3  ~  ~  1  4  ~  >  _  _  _      3 integers among 4 marks of noise, go, and as
    targets                           3  1  4      many blanks as there are answers

From Gu & Dao (2023): only the content tells what to keep, so a network that weighs its past by time
alone cannot solve it.
"""

from dataclasses import dataclass

import numpy as np

from echo_exp import settings
from echo_exp.task.problem import BLANK, GO, LENGTHS, NOISE, Integers, Windows, check_lengths
from echo_exp.task.samples import MOST_TIMESTEPS, Samples, distinct

MOST_ITEMS = 1000


@dataclass(frozen=True)
class SelectiveEcho(Samples):
    """Sizes of the selective echo.

    Args:
        n_values: Integers are drawn uniformly from 0 to ``n_values - 1``.
        n_windows: Windows in a sequence.
        train_lengths: Values of ``n_noise`` at which a network is trained in turn.
        test_lengths: Further values of ``n_noise`` at which a trained network is tested.
        n_items: Integers to repeat.
        n_noise: Timesteps of noise among these integers; all arrangements are equally probable.

    Raises:
        SettingError: A size is not allowed.
    """

    n_values: int = 8
    n_items: int = 5
    n_noise: int = 10

    marks = (NOISE, GO, BLANK)

    LENGTH = "n_noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        settings.integer("problem.n_items", self.n_items, 1, MOST_ITEMS)
        settings.integer("problem.n_noise", self.n_noise, 0, MOST_TIMESTEPS)
        for name in LENGTHS:
            object.__setattr__(self, name, check_lengths(self, name))

    @property
    def name(self) -> str:
        """A short name with the number of integers to repeat and of noise marks."""
        return f"{self.n_items} among {self.n_noise}"

    @property
    def goal(self) -> str:
        """What a network learns to do."""
        return (
            f"repeat {self.n_items} integers below {self.n_values} that stand among "
            f"{self.n_noise} timesteps of noise"
        )

    @property
    def n_out(self) -> int:
        """Integers to repeat."""
        return self.n_items

    @property
    def n_body(self) -> int:
        """Integers and noise to read."""
        return self.n_items + self.n_noise

    @property
    def tail(self) -> tuple[str, ...]:
        """Go, and a blank for each answer."""
        return (GO, *[BLANK] * self.n_items)

    def generate(self, random: np.random.Generator, count: int) -> Integers:
        """Draws fresh random sequences, [count, n_windows · (n_items + n_noise)] integers."""
        uniform = random.random((count, self.n_windows, 2 * self.n_items))
        values = (uniform[..., : self.n_items] * self.n_values).astype(np.int64)
        places = np.sort(distinct(uniform[..., self.n_items :], self.n_body))
        noise = self.n_values + self.marks.index(NOISE)
        bodies = np.full((count, self.n_windows, self.n_body), noise, dtype=np.int64)
        np.put_along_axis(bodies, places, values, -1)
        return bodies.reshape(count, self.n_windows * self.n_body)

    def targets(self, windows: Windows) -> Windows:
        """Returns the integers of windows in their order, [..., n_in] -> [..., n_items]."""
        kept = windows[windows < self.n_values]  # type: ignore[operator]
        return kept.reshape(*windows.shape[:-1], self.n_items)  # type: ignore[no-any-return]

    def wrong(self, body: Integers) -> str | None:
        """Returns why this problem cannot draw a body, [n_body]; None if it can."""
        noise = body == self.n_values + self.marks.index(NOISE)
        if noise.sum() == self.n_noise and (body[~noise] < self.n_values).all():
            return None
        return (
            f"a window must have {self.n_items} integers below {self.n_values} and "
            f"{self.n_noise} times {NOISE}"
        )
