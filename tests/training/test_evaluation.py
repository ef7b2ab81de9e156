"""Scores with their uncertainty, and the listing of an echo."""

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from echo_exp import EchoProblem
from echo_exp.training.evaluation import Listing, share


def test_independent_answers_have_wilsons_interval() -> None:
    shares = np.zeros(200)
    shares[:170] = 1
    estimated = share(shares, 1)
    expected = binomtest(170, 200).proportion_ci(method="wilson")
    assert estimated.value == 0.85
    assert (estimated.low, estimated.high) == pytest.approx((expected.low, expected.high), abs=1e-3)


@pytest.mark.parametrize(
    ("shares", "answers", "independent"),
    [
        ([0.75] * 4, 4, 16),  # more alike than chance makes them: each answer counts
        ([0.0, 0.0, 1.0, 1.0], 10, 3),  # their variance is 1/3, and by chance it were 1/40
    ],
)
def test_the_interval_is_wilsons_for_the_answers_that_are_independent(
    shares: list[float], answers: int, independent: float
) -> None:
    estimated = share(np.array(shares), answers)
    right = estimated.value * independent
    expected = proportion_confint(right, independent, method="wilson")
    assert (estimated.low, estimated.high) == pytest.approx(expected, rel=1e-12)


def test_answers_that_are_right_or_wrong_together_count_as_fewer() -> None:
    random = np.random.default_rng(0)
    together = np.repeat(random.random((100, 1)) < 0.8, 20, axis=1)
    apart = random.permuted(together.ravel()).reshape(100, 20)
    narrow, wide = share(apart.mean(1), 20), share(together.mean(1), 20)
    assert narrow.value == pytest.approx(wide.value)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_without_mistakes_the_interval_is_not_empty() -> None:
    estimated = share(np.ones(100), 21)
    assert estimated.value == estimated.high == 1.0
    assert 0.998 < estimated.low < 1.0


def test_the_interval_contains_the_true_value_as_often_as_stated() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        skills = random.beta(19, 1, size=(100, 1))  # sequences differ; 95 % on average
        estimated = share((random.random((100, 21)) < skills).mean(1), 21)
        covered += estimated.low <= 0.95 <= estimated.high
    assert 0.92 <= covered / 400 <= 0.98


def test_a_listing_shows_wrong_integers() -> None:
    listing = Listing([[1, 2], [2, 3]], [[1, 2], [2, 3]], [[1, 2], [9, 3]])
    right, wrong = str(listing).splitlines()
    assert right == "Expected: [1, 2] Predicted: [1, 2]"
    assert wrong.startswith("Expected: [2, 3] Predicted: [*9*, 3]")
    assert "1 wrong" in wrong


def test_a_listing_is_a_table() -> None:
    listing = Listing.of(EchoProblem(), np.array([[1, 2]]), np.array([[1]]), np.array([[7]]))
    assert listing.columns() == {
        "window": ["[1, 2]"],
        "expected": ["[1]"],
        "predicted": ["[7]"],
        "correct": [False],
    }
