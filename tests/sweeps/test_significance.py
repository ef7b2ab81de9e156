"""How many seeds a study needs so that its comparisons can be significant."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from echo_exp.sweeps.significance import (
    CONFIDENCE,
    decidable,
    holm,
    seeds_needed,
    smallest_p,
    too_few,
)


@pytest.mark.parametrize("seeds", range(1, 13))
def test_with_the_same_seeds_the_smallest_p_value_is_that_of_the_signed_rank_test(
    seeds: int,
) -> None:
    above = [float(n) for n in range(1, seeds + 1)]
    expected = stats.wilcoxon(above, method="exact").pvalue
    assert smallest_p(seeds, seeds, paired=True) == pytest.approx(expected)


@pytest.mark.parametrize(("first", "second"), [(1, 1), (1, 5), (3, 4), (8, 20)])
def test_with_other_seeds_the_smallest_p_value_is_that_of_the_rank_sum_test(
    first: int, second: int
) -> None:
    low, high = list(range(first)), list(range(100, 100 + second))
    expected = stats.mannwhitneyu(low, high, method="exact").pvalue
    assert smallest_p(first, second, paired=False) == pytest.approx(expected)


@pytest.mark.parametrize("comparisons", [1, 2, 5, 12, 13, 24, 63, 500])
def test_the_seeds_needed_are_the_fewest_with_which_holm_lets_a_comparison_count(
    comparisons: int,
) -> None:
    needed = seeds_needed(comparisons)

    def counts(seeds: int) -> bool:
        p_values = [smallest_p(seeds, seeds, paired=True)] + [1.0] * (comparisons - 1)
        return bool(multipletests(p_values, method="holm")[1][0] < 1 - CONFIDENCE)

    assert counts(needed)
    assert not counts(needed - 1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_correction_is_that_of_statsmodels(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected)
    padded = [math.nan, *p_values, math.nan]  # where nothing was tested
    assert holm(padded) == pytest.approx([math.nan, *expected, math.nan], nan_ok=True)


def test_a_comparison_can_be_significant_after_others_that_have_more_seeds() -> None:
    first, later = 0.05 / 4, 0.05 / 2  # what the first of four and the third of them need
    assert decidable([first * 0.9, first * 0.9, later * 0.9, 0.04]) == [True] * 4
    assert decidable([later * 0.9] * 4) == [False] * 4
    assert decidable([math.nan, 0.04]) == [False, True]


def test_comparisons_with_too_few_seeds_are_counted_and_the_seeds_needed_named() -> None:
    message = too_few([(8, 8)] * 20 + [(8, 20)] * 4)
    assert message is not None
    assert message.startswith("20 of 24 comparisons have too few seeds")
    assert "10 seeds are enough" in message


def test_enough_seeds_or_nothing_compared_need_no_message() -> None:
    assert too_few([(10, 10)] * 24) is None
    assert too_few([]) is None
