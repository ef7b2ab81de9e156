"""A measured value and its uncertainty."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval; NaN at both ends where there is none."""

    value: float
    low: float
    high: float

    def row(self, name: str) -> dict[str, float]:
        """Returns its columns in a table.

        Args:
            name: The name of the value's column, with which those of its ends begin.
        """
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
