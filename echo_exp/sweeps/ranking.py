"""Which settings did best: the seeds of each taken together, with a 95 % interval."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Score:
    """What a run scored: the accuracy of one network, or the mean over its replicas.

    Attributes:
        mean: The mean over the seeds that count.
        seeds: How many these are; 0 for a run that failed.
        std: Their sample standard deviation, where there are several.
        lost: Seeds that diverged or failed.
    """

    mean: float
    seeds: int = 1
    std: float = 0.0
    lost: int = 0


@dataclass(frozen=True)
class Ranked:
    """A setting with the scores of all its seeds.

    Attributes:
        setting: Everything that was varied but the seed.
        mean: Mean of the seeds.
        low: Lower end of its 95 % interval; NaN where there is none.
        high: Upper end.
        seeds: How many seeds it is the mean of.
        lost: Seeds that diverged or failed: they do not count.
    """

    setting: str
    mean: float
    low: float
    high: float
    seeds: int
    lost: int


def rank(scores: Iterable[tuple[str, Score]]) -> list[Ranked]:
    """Takes the seeds of each setting together, and puts the best setting first.

    Args:
        scores: The setting of each run, and what it scored.

    Returns:
        The settings of which a seed counts.
    """
    settings: defaultdict[str, list[Score]] = defaultdict(list)
    for setting, score in scores:
        settings[setting].append(score)
    ranked = [_ranked(setting, found) for setting, found in settings.items()]
    return sorted((each for each in ranked if each.seeds), key=lambda each: -each.mean)


def _ranked(setting: str, scores: Sequence[Score]) -> Ranked:
    lost = sum(score.lost for score in scores)
    counted = [score for score in scores if score.seeds]
    seeds = sum(score.seeds for score in counted)
    if not seeds:
        return Ranked(setting, math.nan, math.nan, math.nan, 0, lost)
    mean = sum(score.seeds * score.mean for score in counted) / seeds
    squares = sum(
        (score.seeds - 1) * score.std**2 + score.seeds * (score.mean - mean) ** 2
        for score in counted
    )
    return Ranked(setting, mean, *interval(mean, squares, seeds), seeds, lost)


def interval(mean: float, squares: float, seeds: int) -> tuple[float, float]:
    """Returns Student's interval of a mean of shares of what is right.

    Args:
        mean: The mean.
        squares: Sum of the squared distances from it.
        seeds: Values that it is the mean of.

    Returns:
        Its ends, none outside of 0 to 1; NaN where the values do not differ, or there is only one:
        they tell nothing of how others would.
    """
    if seeds < 2 or not squares > 0:
        return math.nan, math.nan
    quantile = float(stdtrit(seeds - 1, (1 + CONFIDENCE) / 2))
    half = quantile * math.sqrt(squares / (seeds - 1) / seeds)
    return max(0.0, mean - half), min(1.0, mean + half)
