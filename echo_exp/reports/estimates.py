"""A measured value and its uncertainty."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval; NaN at both ends where there is none."""

    value: float
    low: float
    high: float
