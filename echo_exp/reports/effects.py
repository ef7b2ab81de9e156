"""The effect of each factor of a sweep on a score: its share of the variance, and its direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from echo_exp.reports.jobs import Setting
from echo_exp.settings import is_number
from echo_exp.sweeps.ranking import EQUAL
from echo_exp.training.replicas import Floats

MOST_LEVELS = 12
"""The means of a factor with more values are not listed."""


@dataclass(frozen=True)
class Effect:
    """The effect of one factor alone.

    Attributes:
        factor: The setting.
        levels: Its values, numbers in ascending order; none if there are more than `MOST_LEVELS`.
        means: The mean score of each value, over all settings and seeds that have it, [V].
        share: The share of the variance of all scores that lies between these means (eta squared),
            from 0 to 1. On a full grid it is the first-order term of a functional analysis of
            variance (Hutter et al. 2014).
    """

    factor: str
    levels: Sequence[Any]
    means: Floats
    share: float


@dataclass(frozen=True)
class Effects:
    """How the variance of a score divides.

    Attributes:
        factors: The factors that every setting has, the largest share first.
        together: The share that lies between settings and that no factor explains by itself.
        seeds: The share that lies between seeds of the same setting. NaN if each setting has one
            seed; the share is then part of `together`.
    """

    factors: Sequence[Effect]
    together: float
    seeds: float


def effects(settings: Sequence[Setting], factors: Sequence[str], metric: str) -> Effects | None:
    """Divides the variance of a metric among the factors of a sweep.

    Args:
        settings: The settings with their scores.
        factors: What was swept, without the seed.
        metric: The metric.

    Returns:
        The shares; None if the metric does not vary, or no factor has few enough values.
    """
    scores = [(setting, _finite(setting.scores(metric))) for setting in settings]
    every = np.concatenate([found for _, found in scores]) if scores else np.empty(0)
    if not len(every) or np.ptp(every) <= EQUAL:
        return None
    total = float(((every - every.mean()) ** 2).sum())
    between = _between([found for _, found in scores], every.mean()) / total
    found = []
    for factor in factors:
        groups = _groups(scores, factor)
        everywhere = sum(map(len, groups.values())) == len(every)
        if everywhere and 1 < len(groups) < max(len(scores), 1 + MOST_LEVELS):
            share = _between(list(groups.values()), every.mean()) / total
            shown = list(groups) if len(groups) <= MOST_LEVELS else []
            found.append(Effect(factor, shown, np.array([groups[v].mean() for v in shown]), share))
    if not found:
        return None
    found.sort(key=lambda effect: -effect.share)
    alone = sum(effect.share for effect in found)
    repeated = any(len(s) > 1 for _, s in scores)
    return Effects(found, max(0.0, between - alone), max(0.0, 1 - between) if repeated else np.nan)


def order(values: Sequence[Any]) -> list[Any]:
    """Returns values without repetition; if all are numbers, in ascending order.

    Args:
        values: The values.
    """
    found = list(dict.fromkeys(values))
    return sorted(found) if all(map(is_number, found)) else found


def _groups(scores: Sequence[tuple[Setting, Floats]], factor: str) -> Mapping[Any, Floats]:
    """Returns the scores of each value of a factor."""
    having = [(setting.values[factor], s) for setting, s in scores if factor in setting.values]
    return {
        level: found
        for level in order([value for value, _ in having])
        for found in [np.concatenate([s for value, s in having if value == level])]
        if len(found)
    }


def _between(groups: Sequence[Floats], mean: float) -> float:
    """Returns the sum of squares between groups."""
    return float(sum(len(g) * (g.mean() - mean) ** 2 for g in groups if len(g)))


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]
