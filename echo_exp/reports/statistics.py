"""Statistics of the scores of many seeds; every random draw has a fixed seed.

The tests and fits are those of SciPy and lifelines; this module decides which is used.
"""

import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter, LogNormalAFTFitter, NelsonAalenFitter
from lifelines.exceptions import ConvergenceError
from lifelines.statistics import logrank_test
from lifelines.utils import median_survival_times
from scipy import stats

from echo_exp.reports.estimates import Estimate
from echo_exp.sweeps.significance import CONFIDENCE, smallest_p
from echo_exp.training.replicas import Floats

RESAMPLES = 4999
ENUMERATED = 20_000
"""With at most so many ways to divide the seeds among two samples, p-values are exact."""
EXACT = stats.PermutationMethod(n_resamples=ENUMERATED)
ROUNDING = 1e-9
"""Values that differ by no more than this share of their mean are equal."""
LEAST = 8
"""Fewer values have no interval: that of a bootstrap would contain the true mean too rarely."""


@dataclass(frozen=True)
class Survival:
    """How long seeds take to solve a problem; those that never do are censored.

    Attributes:
        times: The epochs at which the share changes, [E].
        solved: The share of seeds that have solved it by then, 1 minus the estimate of Kaplan and
            Meier (1958), [E].
        low: The lower end of its 95 % interval, [E].
        high: The upper end, [E].
        median: The epoch by which half of the seeds have solved it; infinite if fewer ever do.
    """

    times: Floats
    solved: Floats
    low: Floats
    high: Floats
    median: Estimate


@dataclass(frozen=True)
class Difference:
    """How the scores of two samples of seeds differ.

    Attributes:
        difference: The mean of the second minus the mean of the first, with a bootstrap interval.
        effect: Cliff's delta (Cliff 1993), from -1 to 1: the probability that a seed of the second
            scores above one of the first, minus the probability that it scores below.
        p: The p-value of Wilcoxon's signed-rank test (1945) if both have the same seeds, else of
            Mann and Whitney's test (1947).
        least_p: The smallest p-value that this number of seeds can give.
        paired: Whether both have the same seeds.
    """

    difference: Estimate
    effect: float
    p: float
    least_p: float
    paired: bool


def mean(values: Floats) -> Estimate:
    """Estimates a mean with its bootstrap interval (BCa, Efron 1987).

    Args:
        values: The values, [n]; NaN, of seeds that diverged, does not count.

    Returns:
        The mean with its interval; without an interval if there are fewer than `LEAST` values.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Estimate(np.nan, np.nan, np.nan)
    value = float(finite.mean())
    if len(finite) < LEAST:
        return Estimate(value, np.nan, np.nan)
    if np.ptp(finite) <= ROUNDING * abs(value):
        return Estimate(value, value, value)
    interval = stats.bootstrap(
        (finite,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))


def differ(first: Floats, second: Floats, seeds: tuple[Sequence[int], Sequence[int]]) -> Difference:
    """Compares the scores of two samples.

    If both have the same seeds, they had the same sequences, and the seeds are compared in pairs.

    Args:
        first: The scores of the first sample, [n].
        second: The scores of the second, [m].
        seeds: The seeds of both, in the order of the scores.
    """
    paired = set(seeds[0]) == set(seeds[1])
    if paired:
        second = second[[list(seeds[1]).index(seed) for seed in seeds[0]]]
        whole = np.isfinite(first) & np.isfinite(second)
        first, second = first[whole], second[whole]
        difference, p = mean(second - first), _signed_rank(second - first)
    else:
        first, second = first[np.isfinite(first)], second[np.isfinite(second)]
        difference, p = _unpaired(first, second), _rank_sum(first, second)
    above = np.sign(second[:, None] - first[None, :])
    effect = float(above.mean()) if above.size else np.nan
    least_p = smallest_p(len(first), len(second), paired)
    return Difference(difference, effect, p, least_p, paired)


def _signed_rank(differences: Floats) -> float:
    if not len(differences):
        return np.nan
    unequal = differences[differences != 0]  # SciPy would not give exact p-values with the others
    return float(stats.wilcoxon(unequal).pvalue) if len(unequal) else 1.0


def _rank_sum(first: Floats, second: Floats) -> float:
    if not (len(first) and len(second)):
        return np.nan
    test = functools.partial(stats.mannwhitneyu, second, first)
    found = test(method=EXACT) if _few(first, second) else test()
    return _possible(float(found.pvalue), first, second)


def _few(first: Floats, second: Floats) -> bool:
    """Returns whether all ways to divide the seeds among two samples can be enumerated."""
    sizes = len(first), len(second)
    return min(sizes) > 1 and math.comb(sum(sizes), sizes[0]) <= ENUMERATED


def _possible(p: float, first: Floats, second: Floats) -> float:
    """Returns a p-value of two samples, but none below the smallest that is possible."""
    return max(p, smallest_p(len(first), len(second), paired=False))


def _unpaired(first: Floats, second: Floats) -> Estimate:
    if not (len(first) and len(second)):
        return Estimate(np.nan, np.nan, np.nan)
    value = float(second.mean() - first.mean())
    if min(len(first), len(second)) < LEAST:
        return Estimate(value, np.nan, np.nan)
    if np.ptp(first) == np.ptp(second) == 0:
        return Estimate(value, value, value)
    interval = stats.bootstrap(
        (second, first),
        _difference,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))


def _difference(first: Floats, second: Floats, axis: int) -> Floats:
    return np.asarray(first.mean(axis) - second.mean(axis))


def survival(epochs_to_solve: Floats, epochs: int) -> Survival:
    """Estimates the share of seeds that have solved the problem by each epoch.

    By the product-limit estimate of Kaplan and Meier (1958).

    Args:
        epochs_to_solve: The epoch at which each seed solved it, [R]; NaN if it never did within its
            epochs, so that it is censored.
        epochs: How many epochs each seed was trained for.
    """
    times, events = _durations(epochs_to_solve, epochs)
    fitter = KaplanMeierFitter().fit(times, events)
    curve = fitter.survival_function_.join(fitter.confidence_interval_)
    curve.loc[float(epochs)] = curve.iloc[-1]  # if the last seed solved it before
    alive, above, below = curve.to_numpy().T
    band = median_survival_times(fitter.confidence_interval_).to_numpy().ravel()
    return Survival(
        times=curve.index.to_numpy(float),
        solved=1 - alive,
        low=1 - np.maximum(above, below),
        high=1 - np.minimum(above, below),
        median=Estimate(float(fitter.median_survival_time_), float(min(band)), float(max(band))),
    )


def logrank(first: tuple[Floats, int], second: tuple[Floats, int]) -> float:
    """Returns the p-value of the log-rank test (Mantel 1966) of two samples of epochs to solve.

    The test compares the sums of the seeds' scores: 1 for a seed that solved the problem, else 0,
    minus the estimate of Nelson and Aalen of the cumulative hazard at its last epoch (Peto and Peto
    1972). For few seeds its distribution is that over all ways to divide them.

    Args:
        first: The epochs to solve, [n], and the epochs that each seed was trained for, as in
            `survival`.
        second: The same for the other sample.

    Returns:
        The p-value; NaN if no seed has solved the problem.
    """
    times, events = _durations(*first)
    others, other_events = _durations(*second)
    if not (events.any() or other_events.any()):
        return np.nan
    with warnings.catch_warnings():  # pandas warns of code in lifelines
        warnings.simplefilter("ignore")
        if not _few(times, others):
            p = logrank_test(times, others, events, other_events).p_value
            return _possible(float(p), times, others)
        every, solved = np.concatenate([times, others]), np.concatenate([events, other_events])
        hazard = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(every, solved)
    scores = solved - hazard.predict(every).to_numpy()
    samples = scores[: len(times)], scores[len(times) :]
    return float(stats.permutation_test(samples, _difference, n_resamples=ENUMERATED).pvalue)


def power_law(
    factors: Mapping[str, Floats], epochs_to_solve: Floats, epochs: Floats
) -> dict[str, Estimate] | None:
    """Fits epochs to solve = c · product of factor^exponent, with censored seeds.

    The model is a log-normal accelerated failure time model (Wei 1992) of the logarithms of the
    factors.

    Args:
        factors: The value of each factor for each seed, [n].
        epochs_to_solve: The epochs to solve, [n]; NaN if a seed never solved the problem.
        epochs: The epochs that each seed was trained for, [n].

    Returns:
        The exponent of each factor; None if the seeds do not determine them.
    """
    solved = np.isfinite(epochs_to_solve)
    logs = {name: f"log of {name}" for name in factors}
    frame = pd.DataFrame({logs[name]: np.log(values) for name, values in factors.items()})
    of_solved = frame[solved].to_numpy()
    if not solved.any() or np.linalg.matrix_rank(of_solved - of_solved[0]) < len(factors):
        return None  # a factor does not vary, or varies only together with others
    frame["epochs"] = np.where(solved, epochs_to_solve, epochs)
    frame["solved"] = solved
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fitted = LogNormalAFTFitter().fit(frame, "epochs", "solved").summary
        except ConvergenceError:
            return None
    rows = fitted.loc["mu_"]
    columns = ["coef", "coef lower 95%", "coef upper 95%"]
    return {n: Estimate(*(float(rows.loc[logs[n], c]) for c in columns)) for n in factors}


def _durations(epochs_to_solve: Floats, epochs: int) -> tuple[Floats, Floats]:
    """Returns how long each seed was observed, and whether it solved the problem by then."""
    solved = np.isfinite(epochs_to_solve)
    return np.where(solved, epochs_to_solve, epochs), solved
