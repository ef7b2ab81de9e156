"""The objectives and constraints of a search, such as ``maximize val/accuracy``; without Optuna."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

IMPORTANCES = "importances.json"
"""The artifact of a search that tells how important each setting is for each metric."""
OBJECTIVE = re.compile(r"(maximize|minimize) (\S+)")
CONSTRAINT = re.compile(r"(\S+) at (least|most) (\S+)")


@dataclass(frozen=True)
class Objective:
    """A metric that a search maximizes or minimizes.

    Attributes:
        metric: Its name in MLflow.
        direction: `maximize` or `minimize`.
    """

    metric: str
    direction: str

    @classmethod
    def read(cls, text: str) -> "Objective":
        """Reads an objective.

        Args:
            text: Such as ``maximize val/accuracy``.

        Raises:
            ValueError: The text is no objective.
        """
        direction, metric = _parts(OBJECTIVE, text)
        return cls(metric, direction)

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"


@dataclass(frozen=True)
class Constraint:
    """A metric that must be at least, or at most, a number.

    Attributes:
        metric: Its name in MLflow.
        most: Whether the number is the highest allowed value; otherwise it is the lowest.
        bound: The number.
    """

    metric: str
    most: bool
    bound: float

    @classmethod
    def read(cls, text: str) -> "Constraint":
        """Reads a constraint.

        Args:
            text: Such as ``parameters at most 5000``.

        Raises:
            ValueError: The text is no constraint.
        """
        metric, side, number = _parts(CONSTRAINT, text)
        return cls(metric, side == "most", float(number))

    def violation(self, value: float) -> float:
        """Returns by how much a value violates the constraint; at most 0 if it is allowed.

        Args:
            value: A value of the metric.
        """
        return value - self.bound if self.most else self.bound - value

    def value(self, violation: float) -> float:
        """Returns the value of the metric that has a violation.

        Args:
            violation: What `violation` returns for that value.
        """
        return self.bound + violation if self.most else self.bound - violation

    def __str__(self) -> str:
        bound = repr(self.bound).removesuffix(".0")  # all digits: it is read again
        return f"{self.metric} at {'most' if self.most else 'least'} {bound}"


@dataclass(frozen=True)
class Goals:
    """The objectives and constraints of a search, as tags of its parent run store them.

    Attributes:
        objectives: The metrics to maximize or minimize; the first of them ranks the trials.
        constraints: What a trial must fulfil to count.
    """

    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]

    @classmethod
    def of_tags(cls, tags: Mapping[str, str]) -> "Goals | None":
        """Reads the goals of a search; None if the run is not that of a search.

        Args:
            tags: The tags of a parent run.
        """
        objectives, constraints = (
            [text for text in tags.get(name, "").split(", ") if text]
            for name in ("objectives", "constraints")
        )
        try:
            found = [Objective.read(text) for text in objectives]
            return cls(found, [Constraint.read(text) for text in constraints]) if found else None
        except ValueError:  # somebody has edited them
            return None

    @property
    def tags(self) -> dict[str, str]:
        """The tags that store them."""
        named = {"objectives": self.objectives, "constraints": self.constraints}
        return {name: ", ".join(map(str, goals)) for name, goals in named.items() if goals}


def _parts(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    """Returns the groups of a pattern; raises ValueError if the text does not match it."""
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return found.groups()
