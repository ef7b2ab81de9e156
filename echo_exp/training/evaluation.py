"""Scores of a trained network on fresh windows, with confidence intervals, and its echo."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from echo_exp.task.problem import Integers, Problem, shown, signs
from echo_exp.training.replicas import Floats

SOLVED = 0.99
"""A network has solved the problem at the first validation with at least this accuracy."""

Z = 1.959963984540054  # of the normal distribution, two-sided 95 %


@dataclass(frozen=True)
class Share:
    """A share of right answers with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def share(shares: Floats, answers: int) -> Share:
    """Estimates the share of right answers from answers that come in sequences.

    The interval is Wilson's score interval (Wilson 1927) for the effective number of independent
    answers. An integer is part of several windows of its sequence, so its answers tend to be right
    or wrong together: the number of answers is divided by the design effect (Kish 1965), which is
    taken as 1 where it is below.

    Args:
        shares: The share of right answers in each sequence, [sequences].
        answers: Answers in a sequence.

    Returns:
        The mean share with its 95 % confidence interval.
    """
    value = float(shares.mean())
    chance = value * (1 - value) / answers
    effect = max(1.0, float(shares.var(ddof=1)) / chance) if chance > 0 else 1.0
    n = len(shares) * answers / effect
    center = (value + Z**2 / (2 * n)) / (1 + Z**2 / n)
    spread = Z / (1 + Z**2 / n) * math.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    return Share(value, max(0.0, center - spread), min(1.0, center + spread))


@dataclass(frozen=True)
class Listing:
    """Every window of one new sequence, as shown to the user, with its answers.

    Attributes:
        windows: Integers and signs of marks, [rows, n_in].
        expected: Integers, [rows, n_out].
        predicted: Integers, [rows, n_out].
    """

    windows: Sequence[Sequence[int | str]]
    expected: Sequence[Sequence[int]]
    predicted: Sequence[Sequence[int]]

    @classmethod
    def of(
        cls, problem: Problem, windows: Integers, expected: Integers, predicted: Integers
    ) -> "Listing":
        """Makes a listing.

        Args:
            problem: The problem, which names the signs of marks.
            windows: [rows, n_in] integers.
            expected: [rows, n_out] integers.
            predicted: [rows, n_out] integers.
        """
        told = [signs(window, problem) for window in windows]
        return cls(told, expected.tolist(), predicted.tolist())

    def columns(self) -> dict[str, list[object]]:
        """Returns the listing as the columns of a table."""
        pairs = list(zip(self.expected, self.predicted, strict=True))
        return {
            "window": [shown(window) for window in self.windows],
            "expected": [str(expected) for expected, _ in pairs],
            "predicted": [str(predicted) for _, predicted in pairs],
            "correct": [expected == predicted for expected, predicted in pairs],
        }

    def __str__(self) -> str:
        lines = []
        for expected, predicted in zip(self.expected, self.predicted, strict=True):
            wrong = sum(a != b for a, b in zip(expected, predicted, strict=True))
            marked = ", ".join(
                f"{b}" if a == b else f"*{b}*" for a, b in zip(expected, predicted, strict=True)
            )
            note = "" if not wrong else f"   <- {wrong} wrong"
            lines.append(f"Expected: {expected} Predicted: [{marked}]{note}")
        return "\n".join(lines)
