"""Aggregates over many tasks: interquartile means, improvements, performance profiles.

The definitions are those of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice" (arXiv:2108.13264): each task has a few seeds, and a method is judged by all
tasks together. All intervals are percentiles of a stratified bootstrap, which resamples the seeds
within each task but not the tasks. Its random numbers have a fixed seed, so the same scores give
the same intervals. If a task has fewer than `LEAST` seeds there are no intervals (NaN): they would
be too narrow, and empty for a single seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from echo_exp import configuration
from echo_exp.metrics import definition
from echo_exp.reports import answers
from echo_exp.reports.answers import Answers
from echo_exp.reports.estimates import Estimate
from echo_exp.reports.records import Record
from echo_exp.reports.rendering import estimated
from echo_exp.reports.statistics import LEAST, RESAMPLES
from echo_exp.settings import word
from echo_exp.sweeps.significance import CONFIDENCE, threshold
from echo_exp.sweeps.study import Study
from echo_exp.training.replicas import Floats

QUARTILE = 0.25
THRESHOLDS: Floats = np.linspace(0, 1, 101)
"""The scores at which a profile is computed; only shares, from 0 to 1, have profiles."""

Scores = Sequence[Floats]
"""The scores of the seeds of each task, [n]; tasks may have different numbers of seeds."""


@dataclass(frozen=True)
class Profile:
    """The share of seeds of all tasks that score above each of `THRESHOLDS` (Q of them).

    Attributes:
        share: The mean of the shares of all tasks, [Q].
        low: Lower end of its 95 % interval at each threshold, [Q].
        high: Upper end, [Q].
    """

    share: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Aggregate:
    """One of the compared values, over all tasks.

    Attributes:
        level: The value.
        seeds: The number of seeds of all tasks.
        iqm: The interquartile mean of their scores.
        improvement: The probability that a seed scores above one of the reference on the same task,
            equal scores counting half; None for the reference itself.
        behind: By how much its interquartile mean is below the best one, with an interval that is
            corrected for the number of values (Bonferroni); None for the best.
        profile: Its performance profile.
    """

    level: Any
    seeds: int
    iqm: Estimate
    improvement: Estimate | None
    behind: Estimate | None
    profile: Profile

    @property
    def told_apart(self) -> bool:
        """Whether it is significantly below the best."""
        return self.behind is not None and self.behind.low > 0

    @property
    def decidable(self) -> bool:
        """Whether there are enough seeds to tell it apart from the best."""
        return self.behind is None or np.isfinite(self.behind.low)


@dataclass(frozen=True)
class Ranking:
    """The compared values, ranked by one metric over the tasks.

    Attributes:
        metric: The metric, a share of right answers.
        group: The value of the panel or x that is not the tasks; None if there is none.
        tasks: The tasks.
        reference: The first of the compared values that have all tasks.
        aggregates: The aggregate of each value that has all tasks, the highest mean first.
        incomplete: The values that lack tasks, each with the tasks that it lacks.
    """

    metric: str
    group: Any
    tasks: Sequence[Any]
    reference: Any
    aggregates: Sequence[Aggregate]
    incomplete: Mapping[Any, Sequence[Any]]


def rankings(found: Answers) -> list[Ranking]:
    """Ranks the compared values over the tasks, by each metric that is a share and in each group.

    Args:
        found: What the study's runs say.

    Returns:
        The rankings; none if the study names no tasks.
    """
    if found.study.tasks is None:
        return []
    groups: dict[Any, list[Record]] = {}
    for record in found.compared:
        groups.setdefault(answers.group(found.study, record), []).append(record)
    metrics = [metric for metric in found.metrics if _counts(metric)]
    every = (
        _ranking(found, metric, group, records)
        for metric in metrics
        for group, records in groups.items()
    )
    return [ranking for ranking in every if ranking is not None]


def _counts(metric: str) -> bool:
    """Returns whether a metric is a share of right answers, which is 0 for a diverged seed."""
    return definition(metric).diverged == 0


def _ranking(found: Answers, metric: str, group: Any, records: Sequence[Record]) -> Ranking | None:
    """Ranks the values of a group; None if no value has all tasks."""
    tasks = list(dict.fromkeys(answers.task(found.study, record) for record in records))
    by_level: dict[Any, dict[Any, Floats]] = {level: {} for level in found.levels()}
    for record in records:
        if metric in record.scores:
            by_task = by_level[answers.level(found.study, record)]
            by_task[answers.task(found.study, record)] = np.nan_to_num(record.scores[metric])
    whole = {
        level: [scores[task] for task in tasks]
        for level, scores in by_level.items()
        if all(task in scores for task in tasks)
    }
    lacking = {
        level: [task for task in tasks if task not in scores]
        for level, scores in by_level.items()
        if level not in whole
    }
    if not whole:
        return None
    reference = next(iter(whole))
    return Ranking(metric, group, tasks, reference, aggregate(whole, reference), lacking)


def aggregate(scores: Mapping[Any, Scores], reference: Any) -> list[Aggregate]:
    """Aggregates the scores of each value over the same tasks, the highest mean first.

    Args:
        scores: The scores of each value, by task.
        reference: The value with whose seeds those of the others are compared.
    """
    drawn = {level: interquartile_means(by_task) for level, by_task in scores.items()}
    means = {level: interquartile_mean(by_task) for level, by_task in scores.items()}
    order = sorted(scores, key=lambda level: -means[level])
    best = order[0]
    chance = threshold(len(order) - 1)
    return [
        Aggregate(
            level=level,
            seeds=sum(map(len, scores[level])),
            iqm=_estimate(means[level], drawn[level]),
            improvement=None
            if level == reference
            else improvement(scores[level], scores[reference]),
            behind=None
            if level == best
            else _estimate(means[best] - means[level], drawn[best] - drawn[level], chance),
            profile=profile(scores[level]),
        )
        for level in order
    ]


def interquartile_mean(scores: Scores) -> float:
    """Returns the mean of the middle half of the scores of all tasks.

    Args:
        scores: The scores of each task.
    """
    return float(stats.trim_mean(np.concatenate(scores), QUARTILE))


def interquartile_means(scores: Scores) -> Floats:
    """Returns the interquartile mean of each resample of the seeds, [B].

    Args:
        scores: The scores of each task.

    Returns:
        The means; NaN if a task has too few seeds.
    """
    if not _enough(scores):
        return np.full(RESAMPLES, np.nan)
    drawn = np.concatenate(list(resampled(scores)), axis=1)  # [B, n]
    return np.asarray(stats.trim_mean(drawn, QUARTILE, axis=1))


def improvement(scores: Scores, reference: Scores) -> Estimate:
    """Estimates the probability that a seed scores above one of the reference.

    It is the mean over the tasks of Mann and Whitney's statistic (1947) divided by its largest
    value; equal scores count half.

    Args:
        scores: The scores of each task.
        reference: The scores of the reference on the same tasks.
    """

    def of_all(first: Sequence[Floats], second: Sequence[Floats]) -> Floats:
        above = [_above(a, b) for a, b in zip(first, second, strict=True)]  # [B] each
        return np.asarray(np.stack(above).mean(0))

    value = float(of_all([s[None] for s in scores], [s[None] for s in reference])[0])
    if not _enough([*scores, *reference]):
        return Estimate(value, np.nan, np.nan)
    drawn = of_all(list(resampled(scores)), list(resampled(reference, seed=1)))  # [B]
    return _estimate(value, drawn)


def _enough(scores: Scores) -> bool:
    """Returns whether each task has enough seeds for an interval."""
    return min(map(len, scores)) >= LEAST


def _above(first: Floats, second: Floats) -> Floats:
    """Returns, per row, how often a value of [B, n] is above one of [B, m], as shares [B]."""
    differences = np.sign(first[:, :, None] - second[:, None, :])  # [B, n, m]
    return np.asarray((1 + differences.mean((1, 2))) / 2)


def profile(scores: Scores) -> Profile:
    """Estimates the share of seeds that score above each threshold.

    Args:
        scores: The scores of each task.
    """
    value = np.mean([_shares(of_task[None])[0] for of_task in scores], axis=0)
    if not _enough(scores):
        return Profile(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    drawn = np.mean([_shares(draws) for draws in resampled(scores)], axis=0)  # [B, Q]
    low, high = np.quantile(drawn, _ends(1 - CONFIDENCE), axis=0)
    return Profile(value, low, high)


def _shares(draws: Floats) -> Floats:
    """Returns, per row of [B, n], the share of scores above each threshold, [B, Q]."""
    rows, n = draws.shape
    bins = len(THRESHOLDS) + 1
    exceeded = np.searchsorted(THRESHOLDS, draws) + bins * np.arange(rows)[:, None]
    counts = np.bincount(exceeded.ravel(), minlength=rows * bins).reshape(rows, bins)
    return np.asarray(counts[:, :0:-1].cumsum(1)[:, ::-1] / n)


def resampled(scores: Scores, seed: int = 0) -> Iterator[Floats]:
    """Yields resamples of the scores of each task, drawn with replacement, [B, n].

    Args:
        scores: The scores of each task, [n].
        seed: The seed of the random numbers.
    """
    random = np.random.default_rng(seed)
    for of_task in scores:
        count = len(of_task)
        yield of_task[random.integers(0, count, (RESAMPLES, count))]


def _ends(chance: float) -> tuple[float, float]:
    return chance / 2, 1 - chance / 2


def _estimate(value: float, drawn: Floats, chance: float = 1 - CONFIDENCE) -> Estimate:
    low, high = np.quantile(drawn, _ends(chance))
    return Estimate(value, float(low), float(high))


def sentence(found: Answers, ranked: Sequence[Ranking]) -> str:
    """Says in one sentence how the study's first metric ranks the values over all tasks.

    Args:
        found: What the study's runs say.
        ranked: The rankings.

    Returns:
        The sentence; empty if the metric has no ranking.
    """
    chosen = [ranking for ranking in ranked if ranking.metric == found.study.metric]
    if not chosen:
        return ""
    number = len(chosen[0].tasks)
    parts = "; ".join(_order(found, ranking) for ranking in chosen)
    return f"By the interquartile mean over {number} task{'s' * (number > 1)}: {parts}."


def _order(found: Answers, ranking: Ranking) -> str:
    """Says which value is first, and which cannot be told apart from it; otherwise, the second."""
    first, *others = ranking.aggregates
    lines = [f"{_mean(first)} first"]
    lines += [f"then {_mean(other)}" for other in others[:1] if other.told_apart]
    same = [word(other.level) for other in others if other.decidable and not other.told_apart]
    if same:
        lines.append(f"{', '.join(same)} cannot be told apart from the first")
    few = [word(other.level) for other in others if not other.decidable]
    if few:
        lines.append(f"too few seeds to tell {', '.join(few)} from it")
    where = place(found.study, ranking)
    return ", ".join(lines) + (f" ({where})" if where else "")


def _mean(aggregate: Aggregate) -> str:
    return f"{word(aggregate.level)} {estimated(aggregate.iqm)}"


def place(study: Study, ranking: Ranking) -> str:
    """Returns the name of a ranking's group; an empty string if the study has no groups.

    Args:
        study: The study.
        ranking: The ranking.
    """
    name = study.group
    return f"{configuration.short(name)} {word(ranking.group)}" if name else ""
