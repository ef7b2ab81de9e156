"""A problem of one's own: what is the sum of the integers, modulo the number of values?"""

from dataclasses import dataclass

import numpy as np

from echo_exp import settings
from echo_exp.task.problem import Integers, Windows
from echo_exp.task.samples import Samples


@dataclass(frozen=True)
class Addition(Samples):
    """Integers, whose sum is to be answered; ``n_items`` of them in a window."""

    n_values: int = 5
    n_items: int = 2
    n_out = 1
    goal = "add integers"

    def __post_init__(self) -> None:
        super().__post_init__()
        settings.integer("problem.n_items", self.n_items, 1, 1000)

    @property
    def name(self) -> str:
        """What a run is called by."""
        return f"sum of {self.n_items}"

    @property
    def n_body(self) -> int:
        """Timesteps of a window that are drawn."""
        return self.n_items

    def generate(self, random: np.random.Generator, count: int) -> Integers:
        """Draws sequences, [count, n_windows · n_items]."""
        return random.integers(0, self.n_values, (count, self.n_windows * self.n_items))

    def targets(self, windows: Windows) -> Windows:
        """[..., n_items] -> [..., 1]; arrays and tensors come here."""
        return windows.sum(-1)[..., None] % self.n_values  # type: ignore
