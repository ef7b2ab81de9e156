"""Compares the records of a study's cells with each other."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_exp import configuration
from echo_exp.reports import statistics
from echo_exp.reports.estimates import Estimate
from echo_exp.reports.records import Record
from echo_exp.reports.statistics import Difference, Survival
from echo_exp.settings import SettingError, word
from echo_exp.sweeps.significance import CONFIDENCE, decidable, holm, smallest_p
from echo_exp.sweeps.study import Study
from echo_exp.training.evaluation import SOLVED
from echo_exp.training.replicas import Floats

Pair = tuple[Record, Record]
FLOAT32 = 1e-6  # the rounding error of an accuracy
LAW_AT = (0.5, 0.9, SOLVED)
"""The validation accuracies for each of which a law of the epochs is fitted."""


@dataclass(frozen=True)
class Comparison:
    """Two records that differ in what the study compares.

    Attributes:
        metric: The metric by which they are compared.
        reference: The record with the first value of the compared setting.
        other: The record with another value.
        difference: Other minus reference.
        p: Its p-value, corrected for the number of the study's comparisons by this metric.
        decidable: Whether this number of seeds can show a difference at all, given the number of
            comparisons.
    """

    metric: str
    reference: Record
    other: Record
    difference: Difference
    p: float
    decidable: bool


@dataclass(frozen=True)
class Solving:
    """How two such records differ in the epochs that they take to solve the problem.

    Attributes:
        reference: The record with the first value of the compared setting.
        other: The record with another value.
        p: The p-value of the log-rank test, corrected for the number of the study's comparisons.
        decidable: Whether this number of seeds can show a difference at all, given the number of
            comparisons.
    """

    reference: Record
    other: Record
    p: float
    decidable: bool


@dataclass(frozen=True)
class Law:
    """How the epochs until an accuracy is reached grow: as a product of powers of factors.

    Attributes:
        accuracy: The validation accuracy.
        reached: How many seeds reached it.
        seeds: How many seeds there are.
        exponents: The power of each factor; None if the seeds do not determine them.
    """

    accuracy: float
    reached: int
    seeds: int
    exponents: dict[str, Estimate] | None


@dataclass(frozen=True)
class Answers:
    """What a study's runs say.

    Attributes:
        study: The study.
        records: The records of all its cells, in their order.
        compared: The finished records; if the study selects, only those with the best validation.
        metrics: The compared metrics that the runs have.
        comparisons: The comparison of each pair by each metric.
        solving: The comparison of each pair by the epochs to solve.
        laws: How the epochs until an accuracy is reached depend on the study's factors; none if it
            does not ask for a law.
    """

    study: Study
    records: Sequence[Record]
    compared: Sequence[Record]
    metrics: Sequence[str]
    comparisons: Sequence[Comparison]
    solving: Sequence[Solving]
    laws: Sequence[Law]

    def panels(self) -> list[Any]:
        """Returns the values that have a panel, in the order of the cells."""
        return _unique([panel(self.study, record) for record in self.compared])

    def levels(self) -> list[Any]:
        """Returns the compared values, finished or not, in the order of the cells."""
        return _unique([level(self.study, record) for record in self.records])

    def candidates(self, chosen: Record) -> int:
        """Returns from how many finished records a compared record was selected.

        Args:
            chosen: The compared record.
        """
        place = _place(self.study, chosen)
        return sum(r.finished and _place(self.study, r) == place for r in self.records)

    def of_panel(self, value: Any) -> list[Record]:
        """Returns the compared records of a panel.

        Args:
            value: The panel.
        """
        return [record for record in self.compared if panel(self.study, record) == value]


def panel(study: Study, record: Record) -> Any:
    """Returns the panel that a record belongs to; None if the study has no panels.

    Args:
        study: The study.
        record: The record of one of its cells.
    """
    return record.cell.attributes[study.panel] if study.panel else None


def position(study: Study, record: Record) -> Any:
    """Returns a record's value on the horizontal axis; None if the study has no x.

    Args:
        study: The study.
        record: The record of one of its cells.
    """
    return record.cell.attributes[study.x] if study.x else None


def task(study: Study, record: Record) -> Any:
    """Returns the task that a record belongs to; None if the study names no tasks.

    Args:
        study: The study.
        record: The record of one of its cells.
    """
    return record.cell.attributes[study.tasks] if study.tasks else None


def group(study: Study, record: Record) -> Any:
    """Returns the group in which a record is aggregated; None if the study has no groups.

    Args:
        study: The study.
        record: The record of one of its cells.
    """
    return record.cell.attributes[study.group] if study.group else None


def level(study: Study, record: Record) -> Any:
    """Returns a record's value of the compared setting or label.

    Args:
        study: The study.
        record: The record of one of its cells.
    """
    return record.cell.attributes[study.compare]


def answer(study: Study, records: Sequence[Record]) -> Answers:
    """Compares the finished cells of a study.

    Args:
        study: The study.
        records: The records of all its cells.

    Raises:
        SettingError: No run has the metric that the study compares.
    """
    compared = _select(study, [record for record in records if record.finished])
    wanted = (study.metric, *study.also)
    metrics = [name for name in wanted if any(name in record.scores for record in compared)]
    if study.metric not in metrics:
        known = sorted({name for record in compared for name in record.scores})
        raise SettingError("study.metric", study.metric, f"its runs have {', '.join(known)}")
    pairs = {name: _pairs(study, records, compared, name) for name in metrics}
    return Answers(
        study=study,
        records=records,
        compared=compared,
        metrics=metrics,
        comparisons=[c for name in metrics for c in _comparisons(pairs[name], name)],
        solving=_solving(pairs[study.metric]),
        laws=[law(study.law, compared, accuracy) for accuracy in LAW_AT if study.law and compared],
    )


def sentence(found: Answers) -> str:
    """Says in one sentence how each value compares with the reference by the study's metric.

    Args:
        found: What the study's runs say.
    """
    comparisons = [c for c in found.comparisons if c.metric == found.study.metric]
    if not comparisons:
        done = sum(record.finished for record in found.records)
        return f"Nothing can be compared yet: {done} of {len(found.records)} cells have finished."
    name, metric = configuration.short(found.study.compare), found.study.metric
    reference = word(level(found.study, comparisons[0].reference))
    others = _unique([level(found.study, c.other) for c in comparisons])
    parts = []
    for other in others:
        verdicts = _verdicts([c for c in comparisons if level(found.study, c.other) == other])
        parts.append(f"{name} {word(other)} {verdicts}")
    return f"By {metric}, against {name} {reference}: {'; '.join(parts)}."


def _verdicts(comparisons: Sequence[Comparison]) -> str:
    """Says in how many comparisons the other side is higher, lower or neither."""
    apart = [c for c in comparisons if c.p < 1 - CONFIDENCE]
    up = [c.difference.difference.value for c in apart if c.difference.difference.value > 0]
    down = [c.difference.difference.value for c in apart if c.difference.difference.value <= 0]
    few = sum(not c.decidable for c in comparisons if c not in apart)
    parts = [
        f"is {words} in {len(values)} (by {abs(float(np.mean(values))):.3g} on average)"
        for words, values in (("higher", up), ("lower", down))
        if values
    ]
    same = len(comparisons) - len(apart) - few
    parts += [f"is not told apart in {same}"] if same else []
    parts += [f"has too few seeds to tell in {few}"] if few else []
    return f"{', '.join(parts)} of {len(comparisons)} comparisons"


def survival(record: Record) -> Survival:
    """Estimates the share of a record's seeds that have solved the problem by each epoch.

    Args:
        record: A finished record.
    """
    return _survival(record.epochs_to_solve.tobytes(), record.epochs)


@functools.cache
def _survival(epochs_to_solve: bytes, epochs: int) -> Survival:
    return statistics.survival(np.frombuffer(epochs_to_solve), epochs)


def _place(study: Study, record: Record) -> tuple[Any, ...]:
    return panel(study, record), position(study, record), level(study, record)


def _select(study: Study, finished: Sequence[Record]) -> list[Record]:
    """Keeps the record with the best validation of each panel, position and compared value."""
    best: dict[tuple[Any, ...], Record] = {}
    for record in finished:
        place = _place(study, record)
        if place not in best or _validation(record) > _validation(best[place]):
            best[place] = record
    return list(best.values())


def _validation(record: Record) -> tuple[float, float]:
    """Returns the accuracy of the last validation and, to break ties, minus its loss.

    The loss is infinite if a seed has diverged.
    """
    loss = float(record.scores["val/loss"].mean())
    return float(record.scores["val/accuracy"].mean()), -loss if np.isfinite(loss) else -np.inf


def _pairs(
    study: Study, records: Sequence[Record], compared: Sequence[Record], metric: str
) -> list[Pair]:
    """Pairs the first planned record of each panel and position with each of the others there.

    If that record is missing, the others have nothing to be compared with. Values for which no
    record has the metric are ignored.
    """
    measured = [record for record in compared if metric in record.scores]
    levels = {level(study, record) for record in measured}
    by_place = {_place(study, record): record for record in measured}
    references: dict[tuple[Any, Any], Any] = {}
    for record in records:
        if level(study, record) in levels:
            where = panel(study, record), position(study, record)
            references.setdefault(where, level(study, record))
    pairs = []
    for record in measured:
        where = panel(study, record), position(study, record)
        reference = by_place.get((*where, references[where]))
        if reference is not None and reference is not record:
            pairs.append((reference, record))
    return pairs


def _corrected(
    pairs: Sequence[Pair], p: Sequence[float], least: Sequence[float]
) -> list[tuple[float, bool]]:
    """Corrects p-values for their number; pairs of the same runs count once.

    Args:
        pairs: The pairs.
        p: The p-value of each; NaN where nothing was tested.
        least: The smallest p-value that the seeds of each can have.

    Returns:
        The corrected p-value of each, and whether it can be significant at all.
    """
    runs = [(tuple(a.runs), tuple(b.runs)) for a, b in pairs]
    once = dict(zip(runs, zip(p, least, strict=True), strict=True))
    values = [value for value, _ in once.values()]
    possible = [np.nan if np.isnan(value) else smallest for value, smallest in once.values()]
    corrected = dict(zip(once, zip(holm(values), decidable(possible), strict=True), strict=True))
    return [corrected[pair] for pair in runs]


def _comparisons(pairs: Sequence[Pair], metric: str) -> list[Comparison]:
    differences = [
        statistics.differ(a.scores[metric], b.scores[metric], (a.seeds, b.seeds)) for a, b in pairs
    ]
    corrected = _corrected(pairs, [d.p for d in differences], [d.least_p for d in differences])
    return [
        Comparison(metric, a, b, difference, p, possible)
        for (a, b), difference, (p, possible) in zip(pairs, differences, corrected, strict=True)
    ]


def _solving(pairs: Sequence[Pair]) -> list[Solving]:
    raw = [
        statistics.logrank((a.epochs_to_solve, a.epochs), (b.epochs_to_solve, b.epochs))
        for a, b in pairs
    ]
    least = [smallest_p(len(a.seeds), len(b.seeds), paired=False) for a, b in pairs]
    corrected = _corrected(pairs, raw, least)
    return [Solving(a, b, *found) for (a, b), found in zip(pairs, corrected, strict=True)]


def law(names: Sequence[str], compared: Sequence[Record], accuracy: float) -> Law:
    """Fits how the epochs until an accuracy is reached grow with settings or labels of records.

    Args:
        names: The settings or labels, whose values are positive numbers.
        compared: The records.
        accuracy: The validation accuracy.
    """
    counts = [len(record.seeds) for record in compared]
    factors = {
        name: np.repeat([float(record.cell.attributes[name]) for record in compared], counts)
        for name in names
    }
    reached = np.concatenate([_epochs_to(record, accuracy) for record in compared])
    epochs = np.repeat([float(record.epochs) for record in compared], counts)
    exponents = statistics.power_law(factors, reached, epochs)
    return Law(accuracy, int(np.isfinite(reached).sum()), len(reached), exponents)


def _epochs_to(record: Record, accuracy: float) -> Floats:
    """Returns the first validated epoch with an accuracy of each seed, [R]; NaN if it has none."""
    epochs, values = record.curves["val/accuracy"]
    there = reached(values, accuracy)
    return np.where(there.any(0), epochs[there.argmax(0)], np.nan)


def reached(values: Floats, accuracy: float) -> NDArray[np.bool_]:
    """Returns which accuracies, which are rounded to float32, are at least so high.

    Args:
        values: The accuracies, of any shape.
        accuracy: The least that counts.
    """
    return values >= accuracy - FLOAT32


def _unique(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
