"""The ranking of a sweep's settings, and the sentence about it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from echo_exp.metrics import definition
from echo_exp.sweeps.ranking import Ranked, Score, answer, rank, seeds_that_count

GOOD, FAIR, POOR = (0.99, 0.98, 0.97), (0.98, 0.97, 0.95), (0.2, 0.1, 0.3)


def _rank(**settings: tuple[float, ...]) -> list[Ranked]:
    return rank((name, Score(score)) for name, scores in settings.items() for score in scores)


def test_settings_are_ranked_by_the_mean_of_their_seeds_best_first() -> None:
    first, second = _rank(poor=POOR, good=GOOD)
    assert (first.setting, second.setting) == ("good", "poor")
    assert first.mean == pytest.approx(0.98)
    assert (first.seeds, first.lost) == (3, 0)


def test_the_interval_is_students() -> None:
    (found,) = _rank(poor=POOR)
    low, high = stats.t.interval(0.95, 2, np.mean(POOR), stats.sem(POOR))
    assert (found.low, found.high) == pytest.approx((max(low, 0), high))


def test_each_replica_counts_as_a_seed() -> None:
    many = rank([("a", Score(float(np.mean(POOR)), 3, float(np.std(POOR, ddof=1))))])
    (single,) = _rank(a=POOR)
    assert (many[0].low, many[0].high) == pytest.approx((single.low, single.high))
    both = rank([("a", Score(0.2, 2, math.sqrt(0.005))), ("a", Score(0.2))])
    assert both[0].mean == pytest.approx(0.2)
    assert both[0].seeds == 3


def test_others_are_tested_against_the_best_by_welch_and_holm() -> None:
    good, fair, poor = _rank(good=GOOD, fair=FAIR, poor=POOR)
    raw = [stats.ttest_ind(GOOD, other, equal_var=False).pvalue for other in (FAIR, POOR)]
    assert math.isnan(good.p)
    assert [fair.p, poor.p] == pytest.approx(multipletests(raw, method="holm")[1])
    assert (fair.worse, poor.worse) == (False, True)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=1, max_size=6))
def test_any_scores_can_be_ranked(settings: list[list[float]]) -> None:
    ranked = rank((str(n), Score(s)) for n, scores in enumerate(settings) for s in scores)
    assert [r.mean for r in ranked] == sorted((r.mean for r in ranked), reverse=True)
    assert all(math.isnan(r.low) or 0 <= r.low <= r.mean + 1e-9 for r in ranked)
    assert answer(ranked)


def test_if_smaller_is_better_the_smallest_score_comes_first() -> None:
    ranked = rank([("a", Score(3.0)), ("b", Score(2.0))], span=(0.0, math.inf), high=False)
    assert [each.setting for each in ranked] == ["b", "a"]


def test_an_interval_ends_where_scores_end() -> None:
    (loss,) = rank([("", Score(0.0)), ("", Score(0.2))], span=(0.0, math.inf), high=False)
    assert loss.low == 0
    assert loss.high > 1
    (share,) = rank([("", Score(0.8)), ("", Score(1.0))])
    assert share.low < 0.8
    assert share.high == 1
    (unknown,) = rank([("", Score(0.0)), ("", Score(0.2))], span=definition("my_score").span)
    assert unknown.low < 0


def test_failed_seeds_are_left_out_of_the_mean_and_reported() -> None:
    scores = [
        ("a", Score(0.5)),
        ("a", Score(math.nan, 0, lost=1)),
        ("b", Score(math.nan, 0, lost=1)),
    ]
    (found,) = rank(scores)
    assert (found.mean, found.seeds, found.lost) == (0.5, 1, 1)
    assert found.text == "0.5000 (1 seed, 1 failed)"


def test_a_setting_with_a_single_lucky_seed_is_not_the_best() -> None:
    lucky, steady = ("lucky", Score(1.0, 1, lost=7)), ("steady", Score(0.9, 8, 0.01))
    assert [each.setting for each in rank([lucky, steady])] == ["steady", "lucky"]
    loss = [("lucky", Score(0.01, 1, lost=7)), ("steady", Score(0.5, 8, 0.01))]
    assert [each.setting for each in rank(loss, (0.0, math.inf), False)] == ["steady", "lucky"]
    assert rank([lucky])[0].mean == 1  # the mean is that of the seeds that are left


def test_a_few_lost_seeds_do_not_put_a_good_setting_behind_a_poor_one() -> None:
    good, poor = ("good", Score(0.99, 63, 0.01, lost=1)), ("poor", Score(0.1, 64, 0.01))
    assert [each.setting for each in rank([poor, good])] == ["good", "poor"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "No job has finished."),
        ({"": GOOD}, "0.9800 (0.9552 to 1.0000, 3 seeds)."),
        ({"a": (1.0,), "b": (0.9,)}, "1 seed each is too few to tell the 2 settings apart"),
        (
            {"a": GOOD, "b": POOR},
            "Best: a: 0.9800 (0.9552 to 1.0000, 3 seeds); the other is worse.",
        ),
        ({"a": GOOD, "b": POOR, "c": POOR}, "all 2 others are worse."),
        ({"a": GOOD, "b": FAIR, "c": POOR}, "; b cannot be told apart from it."),
        ({f"s{n}": FAIR for n in range(6)}, "; none of the 5 others can be told apart from it."),
        ({"a": (1.0, 1.0), "b": (0.5, 0.5)}, "b cannot be told apart from it."),
        ({"a": (1.0,) * 5, "b": (0.5,) * 5}, "the other is worse."),
        ({"a": (1.0,), "b": (0.5, 0.6)}, "its 1 seed is too few to tell the 2 settings apart"),
        ({"a": (1.0, 1.0), "b": (1.0, 1.0)}, "b cannot be told apart from it."),
    ],
)
def test_the_answer_is_one_sentence(settings: dict[str, tuple[float, ...]], expected: str) -> None:
    assert expected in answer(_rank(**settings))


@pytest.mark.parametrize(
    ("jobs", "counts"),
    [
        ([({1}, True), ({1}, True)], [1, 0]),
        ([({1, 2}, True), ({2, 3, 4}, True), ({5}, True)], [0, 3, 1]),
        ([({1, 2, 3}, False), ({1}, True)], [2, 1]),
        ([({1}, False), ({1}, False)], [1, 0]),
        ([], []),
    ],
)
def test_of_jobs_that_share_seeds_the_largest_finished_one_counts(
    jobs: list[tuple[set[int], bool]], counts: list[int]
) -> None:
    assert seeds_that_count(jobs) == counts
