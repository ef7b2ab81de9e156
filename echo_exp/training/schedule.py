"""How the learning rate changes over a run: it depends on the number of updates alone."""

import math
from typing import NamedTuple

CONSTANT, COSINE = "constant", "cosine"
SHAPES = (CONSTANT, COSINE)


def needs_end(shape: str) -> bool:
    """Returns whether a schedule's rates depend on how many updates the run makes in all."""
    return shape != CONSTANT


class Schedule(NamedTuple):
    """The learning rates of a run: a linear rise, then a shape.

    Attributes:
        rate: The highest rate.
        shape: ``constant``, or ``cosine`` for half a period down to zero (Loshchilov & Hutter 2017,
            without restarts).
        warmup: Updates of the rise; the first has the rate ``rate / warmup``.
        updates: Updates of the whole run; a constant rate does not need it.
    """

    rate: float
    shape: str
    warmup: int
    updates: int

    def at(self, update: int) -> float:
        """Returns the rate of an update, counted from 1."""
        if update < self.warmup:
            return self.rate * update / self.warmup
        if self.shape == CONSTANT:
            return self.rate
        done = max(0, update - 1 - self.warmup) / max(1, self.updates - self.warmup)
        return self.rate * (1 + math.cos(math.pi * min(1.0, done))) / 2
