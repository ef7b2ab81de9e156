"""Ranks the settings of a sweep, with intervals over the seeds of each."""

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from scipy import stats

CONFIDENCE = 0.95
MOST_NAMED = 3
"""So many settings are named that cannot be told apart from the best."""
EQUAL = 1e-9
"""Means that differ by less are the same."""


@dataclass(frozen=True)
class Score:
    """What a run scored: the score of one network, or the mean over its replicas.

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
        std: The sample standard deviation of the seeds; 0 of a single one.
        p: Of the test against the best setting, corrected for the number of settings; NaN of the
            best itself, and where so few seeds tell nothing.
    """

    setting: str
    mean: float
    low: float
    high: float
    seeds: int
    lost: int
    std: float = 0.0
    p: float = math.nan

    @property
    def worse(self) -> bool:
        """Whether it can be told apart from the best."""
        return self.p < 1 - CONFIDENCE

    @property
    def text(self) -> str:
        """The mean with its interval, or with what there is instead."""
        known = [] if math.isnan(self.low) else [f"{self.low:.4f} to {self.high:.4f}"]
        known += [f"{self.seeds} seed{'s' * (self.seeds > 1)}"]
        known += [f"{self.lost} failed"] if self.lost else []
        return f"{shown(self.mean)} ({', '.join(known)})"


def shown(value: float) -> str:
    """Returns a score in few characters: a large whole number without decimals."""
    return f"{value:,.0f}" if value.is_integer() and abs(value) > 1 else f"{value:.4f}"


def once(jobs: Sequence[tuple[Collection[Hashable], bool]]) -> list[int]:
    """Returns how many seeds of each job of a setting count, so that none counts twice.

    Of finished jobs that share seeds the one with the most counts, the first of equal ones, and the
    others not at all: of many seeds no more than the mean may be known. Of a job that failed count
    those that no other job has.

    Args:
        jobs: Of each job its seeds, and whether it has finished.
    """
    counts = [0] * len(jobs)
    taken: set[Hashable] = set()
    order = sorted(range(len(jobs)), key=lambda place: (not jobs[place][1], -len(jobs[place][0])))
    for place in order:
        seeds, finished = jobs[place]
        left = set(seeds) - taken
        if not finished or len(left) == len(seeds):
            counts[place] = len(left)
            taken |= left
    return counts


def rank(
    scores: Iterable[tuple[str, Score]],
    share: bool = True,
    high: bool = True,
    tested: bool = True,
) -> list[Ranked]:
    """Pools the seeds of each setting, and puts the best setting first.

    The others are tested against the best (Welch's t-test, corrected after Holm).

    Args:
        scores: The setting of each run, and what it scored.
        share: Whether a score is from 0 to 1.
        high: Whether a high score is a good one.
        tested: Whether seeds differ in it, so that a test means something.

    Returns:
        The settings of which a seed counts.
    """
    sign = -1 if high else 1
    ranked = sorted(pool(scores, share), key=lambda each: sign * each.mean)
    if not tested:
        return ranked
    best, others = ranked[:1], ranked[1:]
    p_values = _holm([_welch(best[0], other) for other in others])
    return [*best, *(replace(r, p=p) for r, p in zip(others, p_values, strict=True))]


def pool(scores: Iterable[tuple[str, Score]], share: bool = True) -> list[Ranked]:
    """Takes the seeds of each setting together, untested and in the order of the settings.

    Args:
        scores: The setting of each run, and what it scored.
        share: Whether a score is from 0 to 1.
    """
    settings: defaultdict[str, list[Score]] = defaultdict(list)
    for setting, score in scores:
        settings[setting].append(score)
    pooled = (_ranked(setting, found, share) for setting, found in settings.items())
    return [each for each in pooled if each.seeds]


def answer(ranked: Sequence[Ranked], within: str = "", tested: bool = True) -> str:
    """Returns in one sentence which setting is the best, and which cannot be told apart from it.

    Args:
        ranked: The settings, the best first.
        within: What they had to fulfil, in words.
        tested: Whether seeds differ in it.
    """
    within = f" with {within}" if within else ""
    if not ranked:
        return f"No job{within} has finished."
    best, *others = ranked
    if not others and not within:
        return f"{best.setting}: {best.text}." if best.setting else f"{best.text}."
    if not tested:
        return f"Best{within}: {best.setting}: {shown(best.mean)}{_equals(best, others)}."
    rivals = f"; {_rivals(others)}" if others else ""
    return f"Best{within}: {best.setting}: {best.text}{rivals}."


def _equals(best: Ranked, others: Sequence[Ranked]) -> str:
    """Tells how many others have the same score as the best."""
    same = sum(abs(other.mean - best.mean) <= EQUAL for other in others)
    return f"; {same} more {'has' if same == 1 else 'have'} the same" if same else ""


def _rivals(others: Sequence[Ranked]) -> str:
    if all(math.isnan(other.p) for other in others):
        few = "its 1 seed" if any(other.seeds > 1 for other in others) else "1 seed each"
        return f"{few} cannot tell the {len(others) + 1} settings apart"
    rivals = [other for other in others if not other.worse]
    if not rivals:
        return "the other is worse" if len(others) == 1 else f"all {len(others)} others are worse"
    if len(rivals) <= MOST_NAMED:
        return f"{' and '.join(r.setting for r in rivals)} cannot be told apart"
    if len(rivals) == len(others):
        return f"none of the {len(others)} others can be told apart"
    return f"{len(rivals)} of the {len(others)} others cannot be told apart"


def _ranked(setting: str, scores: Sequence[Score], share: bool) -> Ranked:
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
    std = math.sqrt(squares / (seeds - 1)) if seeds > 1 else 0.0
    low, high = interval(mean, std, seeds)
    if share and not math.isnan(low):
        low, high = max(0.0, low), min(1.0, high)
    return Ranked(setting, mean, low, high, seeds, lost, std)


def interval(mean: float, std: float, seeds: int) -> tuple[float, float]:
    """Returns Student's interval of a mean.

    Args:
        mean: The mean.
        std: The sample standard deviation of the values.
        seeds: Values that it is the mean of.

    Returns:
        Its ends; NaN where the values do not differ, or there is only one: they tell nothing of
        how others would.
    """
    if seeds < 2 or std <= EQUAL:
        return math.nan, math.nan
    low, high = stats.t.interval(CONFIDENCE, seeds - 1, mean, std / math.sqrt(seeds))
    return float(low), float(high)


def _welch(first: Ranked, other: Ranked) -> float:
    """Returns the p-value of Welch's t-test; NaN where there is a single seed.

    Where the seeds of neither side differ there is no such test: the p-value is then that of the
    clearest order of so many (Mann and Whitney's, exact).
    """
    if min(first.seeds, other.seeds) < 2:
        return math.nan
    if abs(first.mean - other.mean) <= EQUAL:
        return 1.0
    if max(first.std, other.std) <= EQUAL:
        return min(1.0, 2 / math.comb(first.seeds + other.seeds, first.seeds))
    samples = (first.mean, first.std, first.seeds, other.mean, other.std, other.seeds)
    return float(stats.ttest_ind_from_stats(*samples, equal_var=False).pvalue)


def _holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for their number (Holm 1979); NaN, where nothing was tested, stays."""
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected, least = list(p_values), 0.0
    for done, (p, place) in enumerate(order):
        least = max(least, min(1.0, p * (len(order) - done)))
        corrected[place] = least
    return corrected
