"""Aggregates over many tasks: interquartile means, improvements, performance profiles.

After Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(arXiv:2108.13264), where a task has a few seeds and a method is judged by all tasks together. All
intervals are percentiles of a stratified bootstrap: seeds are drawn anew within each task; tasks
are not. Its random numbers have a fixed seed, so the same scores give the same intervals.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from echo_exp import configuration
from echo_exp.configuration.swept import word
from echo_exp.metrics import definition
from echo_exp.reports import answers
from echo_exp.reports.answers import Answers
from echo_exp.reports.estimates import Estimate
from echo_exp.reports.records import Record
from echo_exp.reports.rendering import estimated
from echo_exp.reports.statistics import RESAMPLES
from echo_exp.sweeps.ranking import CONFIDENCE
from echo_exp.sweeps.study import Study
from echo_exp.training.replicas import Floats

QUARTILE = 0.25
THRESHOLDS: Floats = np.linspace(0, 1, 101)
"""The scores at which a profile is told, of shares from 0 to 1."""

Scores = Sequence[Floats]
"""Of each task the scores of its seeds, [n]; tasks may have different numbers of seeds."""


@dataclass(frozen=True)
class Profile:
    """Which share of the seeds of all tasks score more than each of `THRESHOLDS` (Q of them).

    Attributes:
        share: The mean over the tasks, [Q].
        low: Lower end of its 95 % interval at each threshold, [Q].
        high: Upper end, [Q].
    """

    share: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Aggregate:
    """One of the compared values over all tasks.

    Attributes:
        level: The value.
        seeds: How many seeds of all tasks there are.
        iqm: Interquartile mean of their scores.
        improvement: Probability that a seed scores more than one of the reference on the same task,
            equal scores counting half; None of the reference itself.
        behind: By how much its interquartile mean is below the best, with an interval that is
            corrected for the number of values (Bonferroni); None of the best.
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
        """Whether it is below the best beyond chance."""
        return self.behind is not None and self.behind.low > 0


@dataclass(frozen=True)
class Ranking:
    """The compared values by one metric, over the tasks.

    Attributes:
        metric: A share of what is right.
        group: The value of the axis that is not the tasks'; None where there is none.
        tasks: The tasks.
        reference: The first of the compared values that have all tasks.
        aggregates: Of each value that has all tasks, that of the highest mean first.
        incomplete: Values that lack a task, with those they lack.
    """

    metric: str
    group: Any
    tasks: Sequence[Any]
    reference: Any
    aggregates: Sequence[Aggregate]
    incomplete: Mapping[Any, Sequence[Any]]


def rankings(found: Answers) -> list[Ranking]:
    """Ranks the compared values over the tasks, by each metric that is a share and in each group.

    None where the study names no tasks.
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
    """Returns whether a metric is a share of what is right, of which a diverged seed has 0."""
    return definition(metric).diverged == 0


def _ranking(found: Answers, metric: str, group: Any, records: Sequence[Record]) -> Ranking | None:
    """Ranks the values of a group; None where none has all tasks."""
    tasks = list(dict.fromkeys(answers.task(found.study, record) for record in records))
    by_level: dict[Any, dict[Any, Floats]] = {level: {} for level in found.levels()}
    for record in records:
        if metric in record.scores:
            mine = by_level[answers.level(found.study, record)]
            mine[answers.task(found.study, record)] = np.nan_to_num(record.scores[metric])
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
    """Aggregates the scores of each value over the same tasks, that of the highest mean first.

    Args:
        scores: Of each value its scores of each task.
        reference: The value whose seeds those of the others are set against.
    """
    drawn = {level: interquartile_means(own) for level, own in scores.items()}
    means = {level: interquartile_mean(own) for level, own in scores.items()}
    order = sorted(scores, key=lambda level: -means[level])
    best = order[0]
    chance = (1 - CONFIDENCE) / max(len(order) - 1, 1)
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
    """Returns the mean of the middle half of the scores of all tasks."""
    return float(stats.trim_mean(np.concatenate(scores), QUARTILE))


def interquartile_means(scores: Scores) -> Floats:
    """Returns the same of each resample of the seeds, [B]."""
    drawn = np.concatenate(list(resampled(scores)), axis=1)  # [B, n]
    return np.asarray(stats.trim_mean(drawn, QUARTILE, axis=1))


def improvement(scores: Scores, reference: Scores) -> Estimate:
    """Estimates the probability that a seed scores more than one of the reference.

    The mean over the tasks of Mann and Whitney's statistic divided by its largest value; equal
    scores count half.
    """

    def of_all(first: Sequence[Floats], second: Sequence[Floats]) -> Floats:
        above = [_above(a, b) for a, b in zip(first, second, strict=True)]  # [B] each
        return np.asarray(np.stack(above).mean(0))

    drawn = of_all(list(resampled(scores)), list(resampled(reference, seed=1)))  # [B]
    value = of_all([s[None] for s in scores], [s[None] for s in reference])
    return _estimate(float(value[0]), drawn)


def _above(first: Floats, second: Floats) -> Floats:
    """Returns how often one of [B, n] is above one of [B, m] of the same row, [B]."""
    differences = np.sign(first[:, :, None] - second[:, None, :])  # [B, n, m]
    return np.asarray((1 + differences.mean((1, 2))) / 2)


def profile(scores: Scores) -> Profile:
    """Estimates which share of the seeds scores more than each threshold."""

    def shares(draws: Floats) -> Floats:  # [B, n] -> [B, Q]
        return np.stack([(draws > threshold).mean(1) for threshold in THRESHOLDS], axis=1)

    drawn = np.mean([shares(draws) for draws in resampled(scores)], axis=0)  # [B, Q]
    value = np.mean([shares(own[None])[0] for own in scores], axis=0)
    low, high = np.quantile(drawn, _ends(1 - CONFIDENCE), axis=0)
    return Profile(value, low, high)


def resampled(scores: Scores, seed: int = 0) -> Iterator[Floats]:
    """Yields of each task as many of its own scores, drawn with replacement, [B, n]."""
    random = np.random.default_rng(seed)
    for own in scores:
        yield own[random.integers(0, len(own), (RESAMPLES, len(own)))]


def _ends(chance: float) -> tuple[float, float]:
    return chance / 2, 1 - chance / 2


def _estimate(value: float, drawn: Floats, chance: float = 1 - CONFIDENCE) -> Estimate:
    low, high = np.quantile(drawn, _ends(chance))
    return Estimate(value, float(low), float(high))


def sentence(found: Answers, ranked: Sequence[Ranking]) -> str:
    """Returns what the study's first metric says over its tasks; nothing where it says nothing."""
    mine = [ranking for ranking in ranked if ranking.metric == found.study.metric]
    if not mine:
        return ""
    number = len(mine[0].tasks)
    parts = "; ".join(_said(found, ranking) for ranking in mine)
    return f"By the interquartile mean over {number} task{'s' * (number > 1)}: {parts}."


def _said(found: Answers, ranking: Ranking) -> str:
    first, *others = ranking.aggregates
    lines = [f"{_mean(first)} first"]
    lines += [f"then {_mean(other)}" for other in others[:1]]
    same = [word(other.level) for other in others if not other.told_apart]
    if same:
        lines.append(f"{', '.join(same)} cannot be told apart from the first")
    where = place(found.study, ranking)
    return ", ".join(lines) + (f" ({where})" if where else "")


def _mean(aggregate: Aggregate) -> str:
    return f"{word(aggregate.level)} {estimated(aggregate.iqm)}"


def place(study: Study, ranking: Ranking) -> str:
    """Returns what a ranking's group is called; nothing where there is but one."""
    name = study.group
    return f"{configuration.short(name)} {word(ranking.group)}" if name else ""
