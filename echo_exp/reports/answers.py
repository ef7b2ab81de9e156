"""Compares the records of a study with each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from echo_exp import configuration
from echo_exp.configuration.swept import word
from echo_exp.reports import statistics
from echo_exp.reports.estimates import Estimate
from echo_exp.reports.records import Record
from echo_exp.reports.statistics import Difference, Survival
from echo_exp.settings import SettingError
from echo_exp.sweeps.ranking import CONFIDENCE
from echo_exp.sweeps.study import Study
from echo_exp.training.evaluation import SOLVED
from echo_exp.training.replicas import Floats

Pair = tuple[Record, Record]
FLOAT32 = 1e-6  # what rounding does to an accuracy
LAW_AT = (0.5, 0.9, SOLVED)
"""Accuracies of the validation whose epochs a law is fitted to."""


@dataclass(frozen=True)
class Comparison:
    """Two records that differ in what the study compares.

    Attributes:
        metric: What is compared.
        reference: The record with the first value of the compared setting.
        other: The record with another.
        difference: Other minus reference.
        p: Its p-value, corrected for the number of the study's comparisons by this metric.
        decidable: Whether so few seeds could have shown a difference, with so many comparisons.
    """

    metric: str
    reference: Record
    other: Record
    difference: Difference
    p: float
    decidable: bool


@dataclass(frozen=True)
class Solving:
    """How long two such records take to solve the problem.

    Attributes:
        reference: The record with the first value of the compared setting.
        other: The record with another.
        p: Of the log-rank test, corrected for the number of the study's comparisons.
    """

    reference: Record
    other: Record
    p: float


@dataclass(frozen=True)
class Law:
    """How the epochs until an accuracy is reached grow: as a product of powers of factors.

    Attributes:
        accuracy: The accuracy of the validation.
        reached: How many seeds reached it.
        seeds: Of how many.
        exponents: The power of each factor; None where the seeds do not determine them.
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
        records: Of all its cells, in their order.
        compared: Those that are finished and, where the study selects, have the best validation.
        metrics: What is compared, of what was measured.
        comparisons: Of each metric and pair.
        solving: Of each pair.
        laws: How the epochs until an accuracy is reached depend on the study's factors, where it
            asks.
    """

    study: Study
    records: Sequence[Record]
    compared: Sequence[Record]
    metrics: Sequence[str]
    comparisons: Sequence[Comparison]
    solving: Sequence[Solving]
    laws: Sequence[Law]

    def panels(self) -> list[Any]:
        """The values of the setting that each have a panel, in the order of the cells."""
        return _unique([panel(self.study, record) for record in self.compared])

    def levels(self) -> list[Any]:
        """The values that are compared, in the order of the cells, whether finished or not."""
        return _unique([level(self.study, record) for record in self.records])

    def candidates(self, chosen: Record) -> int:
        """Of how many finished records of the same place one was selected."""
        place = _place(self.study, chosen)
        return sum(r.finished and _place(self.study, r) == place for r in self.records)

    def of_panel(self, value: Any) -> list[Record]:
        """The compared records of a panel."""
        return [record for record in self.compared if panel(self.study, record) == value]


def panel(study: Study, record: Record) -> Any:
    """Returns the panel that a record belongs to; None where the study has but one."""
    return record.cell.attributes[study.panel] if study.panel else None


def position(study: Study, record: Record) -> Any:
    """Returns where a record stands on the horizontal axis; None where there is none."""
    return record.cell.attributes[study.x] if study.x else None


def task(study: Study, record: Record) -> Any:
    """Returns the task that a record belongs to, of a study that names its tasks."""
    return record.cell.attributes[study.tasks] if study.tasks else None


def group(study: Study, record: Record) -> Any:
    """Returns what a record is aggregated with; None where the study has but one group."""
    return record.cell.attributes[study.group] if study.group else None


def level(study: Study, record: Record) -> Any:
    """Returns a record's value of what is compared."""
    return record.cell.attributes[study.compare]


def answer(study: Study, records: Sequence[Record]) -> Answers:
    """Compares the finished cells of a study.

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
    """Returns the answer of a study in one sentence: what its first metric says of each value."""
    mine = [c for c in found.comparisons if c.metric == found.study.metric]
    if not mine:
        done = sum(record.finished for record in found.records)
        return f"Nothing can be compared yet: {done} of {len(found.records)} cells have finished."
    name, metric = configuration.short(found.study.compare), found.study.metric
    reference = word(level(found.study, mine[0].reference))
    others = _unique([level(found.study, c.other) for c in mine])
    told = []
    for other in others:
        verdicts = _verdicts([c for c in mine if level(found.study, c.other) == other])
        told.append(f"{name} {word(other)} {verdicts}")
    return f"By {metric}, against {name} {reference}: {'; '.join(told)}."


def _verdicts(comparisons: Sequence[Comparison]) -> str:
    """Returns in how many of some comparisons the other side is better, worse or neither."""
    apart = [c for c in comparisons if c.p < 1 - CONFIDENCE]
    up = [c.difference.difference.value for c in apart if c.difference.difference.value > 0]
    down = [c.difference.difference.value for c in apart if c.difference.difference.value <= 0]
    few = sum(not c.decidable for c in comparisons if c not in apart)
    told = [
        f"is {words} in {len(values)} (by {abs(float(np.mean(values))):.3g} on average)"
        for words, values in (("higher", up), ("lower", down))
        if values
    ]
    same = len(comparisons) - len(apart) - few
    told += [f"is not told apart in {same}"] if same else []
    told += [f"has too few seeds to tell in {few}"] if few else []
    return f"{', '.join(told)} of {len(comparisons)} comparisons"


def survival(record: Record) -> Survival:
    """Estimates by when how many of a record's seeds have solved the problem."""
    return statistics.survival(record.epochs_to_solve, record.epochs)


def _place(study: Study, record: Record) -> tuple[Any, ...]:
    return panel(study, record), position(study, record), level(study, record)


def _select(study: Study, finished: Sequence[Record]) -> list[Record]:
    """Keeps of each place the record with the best validation."""
    best: dict[tuple[Any, ...], Record] = {}
    for record in finished:
        place = _place(study, record)
        if place not in best or _validation(record) > _validation(best[place]):
            best[place] = record
    return list(best.values())


def _validation(record: Record) -> tuple[float, float]:
    """Returns the accuracy of the last validation and, to tell equals apart, minus its loss."""
    return float(record.scores["val/accuracy"].mean()), -float(record.scores["val/loss"].mean())


def _pairs(
    study: Study, records: Sequence[Record], compared: Sequence[Record], metric: str
) -> list[Pair]:
    """Returns the first planned record of each panel and position with each of the others.

    Where that record is missing there is nothing to compare with. Values that never have the metric
    do not take part.
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


def _corrected(pairs: Sequence[Pair], p: Sequence[float]) -> list[float]:
    """Corrects p-values for their number, pairs of the same runs being one."""
    runs = [(a.run_id, b.run_id) for a, b in pairs]
    once = dict(zip(runs, p, strict=True))
    corrected = dict(zip(once, statistics.holm(list(once.values())), strict=True))
    return [corrected[pair] for pair in runs]


def _comparisons(pairs: Sequence[Pair], metric: str) -> list[Comparison]:
    differences = [
        statistics.differ(a.scores[metric], b.scores[metric], (a.seeds, b.seeds)) for a, b in pairs
    ]
    corrected = _corrected(pairs, [difference.p for difference in differences])
    chance = (1 - CONFIDENCE) / max(
        len({(a.run_id, b.run_id) for a, b in pairs}), 1
    )  # for the least of p-values
    return [
        Comparison(metric, a, b, difference, p, difference.least_p < chance)
        for (a, b), difference, p in zip(pairs, differences, corrected, strict=True)
    ]


def _solving(pairs: Sequence[Pair]) -> list[Solving]:
    raw = [
        statistics.logrank((a.epochs_to_solve, a.epochs), (b.epochs_to_solve, b.epochs))
        for a, b in pairs
    ]
    corrected = _corrected(pairs, raw)
    return [Solving(a, b, p) for (a, b), p in zip(pairs, corrected, strict=True)]


def law(names: Sequence[str], compared: Sequence[Record], accuracy: float) -> Law:
    """Fits how the epochs until an accuracy grow with some settings, or labels, of records."""
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
    """Returns the first validated epoch of each seed, [R], with an accuracy; NaN where none has."""
    epochs, values = record.curves["val/accuracy"]
    there = values >= accuracy - FLOAT32
    return np.where(there.any(0), epochs[there.argmax(0)], np.nan)


def _unique(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
