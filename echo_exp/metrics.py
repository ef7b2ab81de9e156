"""The metrics of a run: each is defined once, for all that draw, rank or describe it."""

import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum

PARTS = re.compile(r"(?:train|val|test)/(?P<incomplete>incomplete_)?|sweep/")
"""How a metric's name in MLflow begins: when it was measured, and on which windows."""
SPREAD = ("low", "high", "std", "min", "max")
"""How the names of numbers end that say how much a metric varies."""


class Better(StrEnum):
    """Which of two values of a metric is better."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: Its name in MLflow, without the part that says what it was measured on.
        title: What it is, in words.
        unit: What it counts.
        better: Which values are better; None if neither are.
        share: Whether it lies between 0 and 1.
        logarithmic: Whether its values spread over orders of magnitude.
        of_run: Whether it is one number for a whole run and not one for each seed.
        least: The smallest value that it can have.
    """

    name: str
    title: str
    unit: str = ""
    better: Better | None = None
    share: bool = False
    logarithmic: bool = False
    of_run: bool = False
    least: float = 0.0

    @property
    def diverged(self) -> float:
        """Its value for a diverged network: 0 if it is a share of right answers, otherwise NaN."""
        return 0.0 if self.share and self.better is Better.HIGHER else math.nan

    @property
    def span(self) -> tuple[float, float]:
        """The smallest and the largest value that it can have."""
        return self.least, 1.0 if self.share else math.inf

    @property
    def label(self) -> str:
        """Its title and unit in two lines, for an axis."""
        return f"{self.title}\n({self.unit})" if self.unit else self.title

    @property
    def words(self) -> str:
        """Its title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


KNOWN = (
    Metric("loss", "loss", "", Better.LOWER),
    Metric("accuracy", "accuracy", "share of integers right", Better.HIGHER, share=True),
    Metric(
        "sequence_accuracy",
        "sequence accuracy",
        "share of whole echoes right",
        Better.HIGHER,
        share=True,
    ),
    Metric("within_1", "off by at most 1", "share of integers", Better.HIGHER, share=True),
    Metric("within_5", "off by at most 5", "share of integers", Better.HIGHER, share=True),
    Metric("mae", "mean absolute error", "integers", Better.LOWER),
    Metric("saturation", "saturated cell states", "share", share=True),
    Metric("gradient_norm", "gradient norm", logarithmic=True),
    Metric("epochs_to_solve", "epochs to solve"),  # a network that never does has none
    Metric("fit_seconds", "training time", "s", Better.LOWER, of_run=True),
    Metric("parameters", "parameters", "", Better.LOWER, of_run=True),
)


def definition(name: str) -> Metric:
    """Returns the metric that a name in MLflow stands for.

    Args:
        name: Such as ``test/accuracy``, ``val/gradient_norm_encoder`` or ``test/incomplete_mae``.
            Of a score of a user's own representation or callback, only the name is known.
    """
    found = PARTS.match(name)
    kind = name[found.end() :] if found else name
    for known in KNOWN:
        if kind == known.name or kind.startswith((f"{known.name}_", f"{known.name}/")):
            part = kind.removeprefix(known.name).strip("_/").replace("_", " ")
            windows = "incomplete windows" if found and found["incomplete"] else ""
            title = ", ".join(filter(None, (known.title, part, windows)))
            spread = part.replace("/", " ").split()[-1:]
            better = None if spread and spread[0] in SPREAD else known.better
            return replace(known, title=title, better=better)
    return Metric(kind, kind.replace("_", " "), least=-math.inf)
