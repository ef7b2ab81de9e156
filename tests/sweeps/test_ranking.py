"""Settings are ranked by the mean of their seeds, with Student's interval."""

import math

import numpy as np
import pytest
from scipy import stats

from echo_exp.sweeps.ranking import Score, rank

VALUES = np.array([0.9, 0.8, 0.7, 0.85, 0.6])


def test_the_interval_is_students() -> None:
    (found,) = rank(("a", Score(float(value))) for value in VALUES)
    expected = stats.t.interval(0.95, len(VALUES) - 1, VALUES.mean(), stats.sem(VALUES))
    assert found.mean == pytest.approx(VALUES.mean())
    assert found.seeds == 5
    assert (found.low, found.high) == pytest.approx(expected)


def test_replicas_are_as_good_as_single_networks() -> None:
    """Runs that tell mean and deviation of theirs give what all the seeds give."""
    parts = VALUES[:2], VALUES[2:]
    pooled = [Score(float(p.mean()), len(p), float(p.std(ddof=1))) for p in parts]
    (single,) = rank(("a", Score(float(value))) for value in VALUES)
    (found,) = rank(("a", score) for score in pooled)
    assert (found.low, found.high) == pytest.approx((single.low, single.high))
    assert found.seeds == 5


def test_the_interval_of_a_share_lies_between_0_and_1() -> None:
    (found,) = rank([("a", Score(0.9)), ("a", Score(1.0))])
    assert found.high == 1.0
    assert 0.0 <= found.low < 0.9


@pytest.mark.parametrize("values", [[0.9], [1.0, 1.0, 1.0]])
def test_there_is_none_where_nothing_tells_of_a_spread(values: list[float]) -> None:
    (found,) = rank(("a", Score(value)) for value in values)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_the_best_comes_first_and_what_is_lost_is_counted() -> None:
    failed = Score(math.nan, 0, lost=1)
    scores = [("a", Score(0.5)), ("b", Score(0.7)), ("b", failed), ("c", failed)]
    assert [(each.setting, each.lost) for each in rank(scores)] == [("b", 1), ("a", 0)]
