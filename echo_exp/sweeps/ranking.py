"""Ranks the settings of a sweep, with intervals over the seeds of each."""

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from scipy import stats

from echo_exp.sweeps.significance import CONFIDENCE, holm, smallest_p

MOST_NAMED = 3
"""At most this many settings that cannot be told apart from the best are named."""
SHARE = (0.0, 1.0)
"""The smallest and the largest value of a share."""
EQUAL = 1e-9
"""Means that do not differ by more are equal."""


@dataclass(frozen=True)
class Score:
    """The score of a run: that of one network, or the mean over its replicas.

    Attributes:
        mean: The mean over the seeds that count.
        seeds: The number of these seeds; 0 if the run failed.
        std: The sample standard deviation over these seeds; 0 if there is only one.
        lost: The number of seeds that diverged or failed.
    """

    mean: float
    seeds: int = 1
    std: float = 0.0
    lost: int = 0


@dataclass(frozen=True)
class Ranked:
    """A setting with the pooled scores of its seeds.

    Attributes:
        setting: The values of everything that was varied except the seed.
        mean: The mean over the seeds that count.
        low: The lower end of its 95 % interval; NaN if there is none.
        high: The upper end; NaN likewise.
        seeds: The number of seeds that count.
        lost: The number of seeds that diverged or failed; they count only for the order.
        std: The sample standard deviation over the seeds; 0 if there is only one.
        p: The p-value of the test against the best setting, corrected for the number of settings;
            NaN for the best setting, and if there are too few seeds for a test.
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
        """Whether it is significantly worse than the best."""
        return self.p < 1 - CONFIDENCE

    @property
    def text(self) -> str:
        """The mean, with its interval if there is one, its seeds, and how many of them failed."""
        known = [] if math.isnan(self.low) else [f"{self.low:.4f} to {self.high:.4f}"]
        known += [f"{self.seeds} seed{'s' * (self.seeds > 1)}"]
        known += [f"{self.lost} failed"] if self.lost else []
        return f"{shown(self.mean)} ({', '.join(known)})"


def shown(value: float) -> str:
    """Formats a score: a whole number other than 0, 1 and -1 without decimals, else with four.

    Args:
        value: The score.
    """
    return f"{value:,.0f}" if value.is_integer() and abs(value) > 1 else f"{value:.4f}"


def seeds_that_count(jobs: Sequence[tuple[Collection[Hashable], bool]]) -> list[int]:
    """Returns how many seeds of each job count, so that no seed counts twice.

    Often only the mean over the seeds of a job is known, so the seeds of a finished job count all
    or not at all. If finished jobs share seeds, only the job with the most seeds counts; if several
    have the most, the first of them. A failed job counts with the seeds that no other job has.

    Args:
        jobs: The seeds of each job, and whether it has finished.

    Returns:
        The number of seeds that count, for each job.
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
    span: tuple[float, float] = SHARE,
    high: bool = True,
    tested: bool = True,
) -> list[Ranked]:
    """Pools the seeds of each setting, and ranks the settings.

    Seeds that diverged or failed do not count for the mean, but for the order: as an accuracy of 0,
    or as worse than any value of a metric that is not a share of right answers. Otherwise a setting
    with which a single seed succeeds by luck could be the best.

    Each setting is tested against the best one (Welch 1947), and the p-values are corrected for
    their number (Holm 1979).

    Args:
        scores: The setting and the score of each run.
        span: The smallest and the largest possible score.
        high: Whether higher scores are better.
        tested: Whether scores vary with the seed, so that a test is meaningful.

    Returns:
        The settings with at least one seed that counts, the best first.
    """
    ranked = sorted(pool(scores, span), key=lambda each: order(each, span == SHARE, high))
    if not tested:
        return ranked
    best, others = ranked[:1], ranked[1:]
    p_values = holm([_welch(best[0], other) for other in others])
    return [*best, *(replace(r, p=p) for r, p in zip(others, p_values, strict=True))]


def pool(scores: Iterable[tuple[str, Score]], span: tuple[float, float] = SHARE) -> list[Ranked]:
    """Pools the seeds of each setting, without ranking or testing the settings.

    Args:
        scores: The setting and the score of each run.
        span: The smallest and the largest possible score, at which intervals are cut.

    Returns:
        The settings with at least one seed that counts, in the order in which they first occur.
    """
    settings: defaultdict[str, list[Score]] = defaultdict(list)
    for setting, score in scores:
        settings[setting].append(score)
    pooled = (_ranked(setting, found, span) for setting, found in settings.items())
    return [each for each in pooled if each.seeds]


def order(each: Ranked, share: bool = True, high: bool = True) -> tuple[float, float]:
    """Returns by what a setting is sorted, the best first; see `rank`.

    Args:
        each: The setting.
        share: Whether scores lie between 0 and 1.
        high: Whether higher scores are better.
    """
    kept = each.seeds / (each.seeds + each.lost)
    if share and high:
        return 0.0, -each.mean * kept
    return -kept, -each.mean if high else each.mean


def answer(ranked: Sequence[Ranked], within: str = "", tested: bool = True) -> str:
    """Says in one sentence which setting is the best, and which cannot be told apart from it.

    Args:
        ranked: The settings, the best first.
        within: The constraints that they fulfil, in words.
        tested: Whether scores vary with the seed, so that the settings were tested.
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
    """Says how many other settings score the same as the best; an empty string if none does."""
    same = sum(abs(other.mean - best.mean) <= EQUAL for other in others)
    others_score = "1 other scores" if same == 1 else f"{same} others score"
    return f"; {others_score} the same" if same else ""


def _rivals(others: Sequence[Ranked]) -> str:
    """Says which of the other settings cannot be told apart from the best."""
    if all(math.isnan(other.p) for other in others):
        few = "its 1 seed" if any(other.seeds > 1 for other in others) else "1 seed each"
        return f"{few} is too few to tell the {len(others) + 1} settings apart"
    rivals = [other for other in others if not other.worse]
    if not rivals:
        return "the other is worse" if len(others) == 1 else f"all {len(others)} others are worse"
    if len(rivals) <= MOST_NAMED:
        return f"{' and '.join(r.setting for r in rivals)} cannot be told apart from it"
    if len(rivals) == len(others):
        return f"none of the {len(others)} others can be told apart from it"
    return f"{len(rivals)} of the {len(others)} others cannot be told apart from it"


def _ranked(setting: str, scores: Sequence[Score], span: tuple[float, float]) -> Ranked:
    lost = sum(score.lost for score in scores)
    counted = [score for score in scores if score.seeds]
    seeds = sum(score.seeds for score in counted)
    if not seeds:
        return Ranked(setting, math.nan, math.nan, math.nan, 0, lost)
    mean = sum(score.seeds * score.mean for score in counted) / seeds
    squares = sum(  # within the runs, and between them
        (score.seeds - 1) * score.std**2 + score.seeds * (score.mean - mean) ** 2
        for score in counted
    )
    std = math.sqrt(squares / (seeds - 1)) if seeds > 1 else 0.0
    low, high = interval(mean, std, seeds)
    if not math.isnan(low):
        low, high = max(span[0], low), min(span[1], high)
    return Ranked(setting, mean, low, high, seeds, lost, std)


def interval(mean: float, std: float, seeds: int) -> tuple[float, float]:
    """Returns the 95 % confidence interval of a mean by Student's t-distribution (Student 1908).

    Args:
        mean: The mean.
        std: The sample standard deviation of the values.
        seeds: The number of values.

    Returns:
        The ends of the interval; NaN if there is only one value or the values do not differ,
        because they then say nothing about how other values would vary.
    """
    if seeds < 2 or std <= EQUAL:
        return math.nan, math.nan
    low, high = stats.t.interval(CONFIDENCE, seeds - 1, mean, std / math.sqrt(seeds))
    return float(low), float(high)


def _welch(first: Ranked, other: Ranked) -> float:
    """Returns the p-value of Welch's t-test (Welch 1947); NaN if one side has a single seed.

    If neither side varies, that test is not defined. All seeds of one side then score above all of
    the other, and the p-value is that of this order (exact test of Mann and Whitney 1947).
    """
    if min(first.seeds, other.seeds) < 2:
        return math.nan
    if abs(first.mean - other.mean) <= EQUAL:
        return 1.0
    if max(first.std, other.std) <= EQUAL:
        return smallest_p(first.seeds, other.seeds, paired=False)
    samples = (first.mean, first.std, first.seeds, other.mean, other.std, other.seeds)
    return float(stats.ttest_ind_from_stats(*samples, equal_var=False).pvalue)
