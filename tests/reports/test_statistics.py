"""The statistics, for made-up data with known answers."""

import warnings

import numpy as np
import pytest
from lifelines.statistics import logrank_test

from echo_exp.reports import estimates, statistics
from echo_exp.sweeps.significance import holm, smallest_p
from echo_exp.training.replicas import Floats

NEVER = np.nan


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_mean_has_an_interval_around_it() -> None:
    found = statistics.mean(_random(0).normal(5, 1, 100))
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 / 10, rel=0.2)


def test_nineteen_of_twenty_intervals_contain_the_true_value() -> None:
    held = 0
    for trial in range(200):
        found = statistics.mean(_random(trial).exponential(1.0, 30))  # skewed, of mean 1
        held += found.low <= 1 <= found.high
    assert 0.88 <= held / 200 <= 0.98  # 30 skewed values are a little too few for the full 0.95


def test_equal_values_give_an_empty_interval_and_few_values_none() -> None:
    assert statistics.mean(np.ones(9)) == estimates.Estimate(1, 1, 1)
    few = statistics.mean(np.array([0.0, 1.0] * 3))
    assert few.value == 0.5
    assert np.isnan([few.low, few.high]).all()


def test_with_eight_seeds_nine_of_ten_intervals_contain_the_true_value() -> None:
    held = 0
    for trial in range(200):
        found = statistics.mean(_random(trial).normal(0, 1, 8))
        held += found.low <= 0 <= found.high
    assert 0.84 <= held / 200 <= 0.96


@pytest.mark.parametrize(("others", "least"), [(range(4), 2 / 2**4), (range(20), 2 / 10626)])
def test_few_seeds_bound_the_smallest_possible_p_value(others: range, least: float) -> None:
    low, high = np.arange(4.0), np.arange(100.0, 100.0 + len(others))
    found = statistics.differ(low, high, (range(4), others))
    assert found.p == pytest.approx(found.least_p) == pytest.approx(least)
    assert found.paired is (len(others) == 4)


def test_a_diverged_seed_is_left_out_of_the_mean() -> None:
    assert statistics.mean(np.array([1.0, 1.0, 1.0, np.nan])).value == 1
    assert np.isnan(statistics.mean(np.array([np.nan])).value)


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduces the bootstrap resamples, on which no p-value depends."""
    monkeypatch.setattr(statistics, "RESAMPLES", 99)


@pytest.mark.usefixtures("few_resamples")
def test_a_null_effect_is_significant_no_more_often_than_stated() -> None:
    same, others = 0, 0
    for trial in range(200):
        a, b = _random(trial).normal(0, 1, (2, 20))
        same += statistics.differ(a, b, (range(20), range(20))).p < 0.05
        others += statistics.differ(a, b, (range(20), range(20, 40))).p < 0.05
    assert 0.01 <= same / 200 <= 0.09  # 0.05 and three standard errors of 200 trials
    assert 0.01 <= others / 200 <= 0.09


@pytest.mark.usefixtures("few_resamples")
def test_in_a_family_of_null_effects_hardly_any_is_significant() -> None:
    families = 0
    for trial in range(40):
        pairs = _random(trial).normal(0, 1, (8, 2, 15))
        p = [statistics.differ(a, b, (range(15), range(15))).p for a, b in pairs]
        families += min(holm(p)) < 0.05
    assert families / 40 <= 0.13


def test_seeds_present_on_both_sides_are_compared_in_pairs() -> None:
    luck = _random(0).normal(0, 10, 20)  # of the seed, much larger than the effect
    found = statistics.differ(luck, luck + 1, (range(20), range(20)))
    assert found.paired
    assert found.p < 0.001
    assert found.difference.low == found.difference.high == pytest.approx(1)
    shuffled = list(range(20))[::-1]
    assert statistics.differ(luck, luck[::-1] + 1, (range(20), shuffled)).p == found.p


def test_different_seeds_are_compared_as_two_samples() -> None:
    a, b = _random(0).normal(0, 1, 50), _random(1).normal(1, 1, 50)
    found = statistics.differ(a, b, (range(50), range(50, 100)))
    assert not found.paired
    assert found.p < 0.001
    assert found.difference.low < 1 < found.difference.high


@pytest.mark.parametrize(("shift", "effect"), [(10, 1), (-10, -1), (0, 0)])
def test_the_effect_is_cliffs_delta(shift: float, effect: float) -> None:
    values = np.arange(9.0)
    found = statistics.differ(values, values + shift, (range(9), range(9)))
    assert found.effect == effect


def test_equal_scores_do_not_differ_significantly() -> None:
    assert statistics.differ(np.ones(9), np.ones(9), (range(9), range(9))).p == 1
    assert statistics.differ(np.ones(9), np.ones(9), (range(9), range(9, 18))).p == 1


def test_seeds_with_equal_scores_do_not_add_to_the_evidence() -> None:
    ahead = np.array([0.0] * 15 + [0.1, 0.2, 0.3, 0.4, 0.5])
    found = statistics.differ(np.zeros(20), ahead, (range(20), range(20)))
    assert found.p == pytest.approx(2 / 2**5)


def _order(size: int) -> tuple[Floats, Floats]:
    """Two samples, each of equal values: all of the second are larger."""
    return np.zeros(size), np.ones(size)


@pytest.mark.parametrize("size", [1, 3, 8, 12])
def test_no_p_value_of_two_samples_is_smaller_than_their_order_allows(size: int) -> None:
    low, high = _order(size)
    least = smallest_p(size, size, paired=False)
    assert statistics.differ(low, high, (range(size), range(50, 50 + size))).p >= least * 0.9999
    never = np.full(size, NEVER)
    assert statistics.logrank((never, 100), (high, 100)) >= least * 0.9999


@pytest.mark.parametrize("size", [3, 8])
def test_the_p_values_of_few_seeds_are_exact_with_ties_too(size: int) -> None:
    low, high = _order(size)
    exact = pytest.approx(smallest_p(size, size, paired=False))
    assert statistics.differ(low, high, (range(size), range(50, 50 + size))).p == exact
    assert statistics.logrank((np.full(size, NEVER), 100), (high, 100)) == exact


def test_the_log_rank_test_of_few_seeds_is_that_of_many_but_for_its_distribution() -> None:
    for trial in range(20):
        first, second = _random(trial).integers(1, 30, (2, 8)).astype(float)
        first[first > 20], second[second > 20] = NEVER, NEVER
        (times, events), (others, more) = (
            (np.where(np.isnan(each), 20, each), np.isfinite(each)) for each in (first, second)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asymptotic = logrank_test(times, others, events, more).p_value
        assert statistics.logrank((first, 20), (second, 20)) == pytest.approx(asymptotic, abs=0.15)


def test_equal_epochs_to_solve_do_not_differ() -> None:
    assert statistics.logrank((np.ones(5), 100), (np.ones(5), 100)) == 1


def test_seeds_that_never_solve_are_censored_not_dropped() -> None:
    found = statistics.survival(np.array([100, 200, NEVER, NEVER]), 500)
    assert found.solved[-1] == 0.5  # of four, not of two
    assert found.times[-1] == 500
    assert found.median.value == 200
    none = statistics.survival(np.full(4, NEVER), 500)
    assert none.median.value == np.inf
    assert none.solved.max() == 0


def test_the_interval_of_the_median_contains_the_true_value() -> None:
    held = 0
    for trial in range(100):
        times = _random(trial).exponential(100, 40)
        times[times > 150] = NEVER
        median = statistics.survival(times, 150).median
        held += median.low <= 100 * np.log(2) <= median.high
    assert held / 100 >= 0.88


def test_the_log_rank_test_distinguishes_slow_from_fast() -> None:
    fast, slow = np.arange(50.0, 90), np.full(40, NEVER)
    assert statistics.logrank((fast, 100), (slow, 100)) < 0.001
    assert statistics.logrank((fast, 100), (fast, 100)) == 1
    assert np.isnan(statistics.logrank((slow, 100), (slow, 100)))


def _made_law(censor: float) -> tuple[dict[str, Floats], Floats, Floats]:
    random = _random(0)
    n_out, units = random.choice([2, 4, 8], 300), random.choice([50, 100], 300)
    times = 10 * n_out**2.0 * units**-0.5 * np.exp(random.normal(0, 0.2, 300))
    times[times > censor] = NEVER
    factors = {"n_out": n_out.astype(float), "units": units.astype(float)}
    return factors, times, np.full(300, censor)


@pytest.mark.parametrize("censor", [1e9, 50.0])
def test_a_power_law_is_recovered_even_if_many_seeds_are_censored(censor: float) -> None:
    found = statistics.power_law(*_made_law(censor))
    assert found is not None
    assert found["n_out"].low < 2 < found["n_out"].high
    assert found["units"].low < -0.5 < found["units"].high


def test_no_law_is_fitted_if_only_one_size_was_solved() -> None:
    factors = {"n_out": np.array([2.0, 2.0, 4.0, 4.0])}
    solved = np.array([10.0, 12.0, NEVER, NEVER])
    assert statistics.power_law(factors, solved, np.full(4, 100.0)) is None


def test_no_law_is_fitted_if_two_factors_vary_only_together() -> None:
    n = np.array([2.0, 3.0, 4.0, 5.0])
    epochs = np.full(4, 100.0)
    assert statistics.power_law({"n_in": n, "n_out": n}, 5 * n, epochs) is None
    assert statistics.power_law({"n_in": n}, 5 * n * [1, 1.1, 0.9, 1], epochs) is not None
