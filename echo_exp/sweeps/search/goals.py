"""What a search is to reach, in words as in ``maximize val/accuracy``; knows nothing of Optuna."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

IMPORTANCES = "importances.json"
"""The artifact of a search that tells how important each setting is for each metric."""
OBJECTIVE = re.compile(r"(maximize|minimize) (\S+)")
CONSTRAINT = re.compile(r"(\S+) at (least|most) (\S+)")


@dataclass(frozen=True)
class Objective:
    """A metric that is to be high or low.

    Attributes:
        metric: Its name in MLflow.
        direction: `maximize` or `minimize`.
    """

    metric: str
    direction: str

    @classmethod
    def read(cls, text: str) -> "Objective":
        """Reads an objective; raises ValueError where the text is none."""
        direction, metric = _parts(OBJECTIVE, text)
        return cls(metric, direction)

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"


@dataclass(frozen=True)
class Constraint:
    """A metric that must be at least, or at most, a number.

    Attributes:
        metric: Its name in MLflow.
        most: Whether the number is the highest allowed; else it is the lowest.
        bound: The number.
    """

    metric: str
    most: bool
    bound: float

    @classmethod
    def read(cls, text: str) -> "Constraint":
        """Reads a constraint; raises ValueError where the text is none."""
        metric, side, number = _parts(CONSTRAINT, text)
        return cls(metric, side == "most", float(number))

    def violation(self, value: float) -> float:
        """Returns how far a value is from what is allowed; at most 0 where it is allowed."""
        return value - self.bound if self.most else self.bound - value

    def value(self, violation: float) -> float:
        """Returns the value that is so far off."""
        return self.bound + violation if self.most else self.bound - violation

    def __str__(self) -> str:
        return f"{self.metric} at {'most' if self.most else 'least'} {self.bound:g}"


@dataclass(frozen=True)
class Goals:
    """What a search is to reach, as its parent run tells it.

    Attributes:
        objectives: What is to be high or low, the first of which ranks the trials.
        constraints: What a trial must fulfil to count.
    """

    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]

    @classmethod
    def of_tags(cls, tags: Mapping[str, str]) -> "Goals | None":
        """Returns what the tags of a parent run say; None where it is no search."""
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
        """The tags that say it."""
        named = {"objectives": self.objectives, "constraints": self.constraints}
        return {name: ", ".join(map(str, goals)) for name, goals in named.items() if goals}


def _parts(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    """Returns the groups of a pattern; raises ValueError where the text is none of its kind."""
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return found.groups()
