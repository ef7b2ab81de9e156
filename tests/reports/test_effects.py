"""How the variance of a score divides among the swept settings."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from echo_exp.reports.effects import Effects, effects, order

from .sweeps import sweep

METRIC = "test/accuracy"
GRID = {"model__units": (10, 20), "optimizer__learning_rate": (0.1, 0.2), "seed": (1, 2)}


def _effects(accuracy: Any, **grid: Any) -> Effects | None:
    found = sweep(accuracy, **(grid or GRID))
    return effects(found.settings, found.factors, METRIC)


def test_a_factor_that_explains_everything_has_the_whole_variance() -> None:
    found = _effects(lambda v: v["model.units"] / 100)
    assert found is not None
    units, rate = found.factors
    assert units.factor == "model.units"
    assert units.share == pytest.approx(1)
    assert units.levels == [10, 20]
    assert units.means.tolist() == pytest.approx([0.1, 0.2])
    assert (rate.share, found.together, found.seeds) == pytest.approx((0, 0, 0))


def test_two_additive_factors_share_the_variance_by_their_squares() -> None:
    found = _effects(lambda v: v["model.units"] / 100 + 2 * v["optimizer.learning_rate"])
    assert found is not None
    assert [e.factor for e in found.factors] == ["optimizer.learning_rate", "model.units"]
    assert [e.share for e in found.factors] == pytest.approx([0.8, 0.2])


def test_variance_between_combinations_only_is_reported_as_interaction() -> None:
    found = _effects(
        lambda v: float((v["model.units"] == 10) == (v["optimizer.learning_rate"] == 0.1))
    )
    assert found is not None
    assert found.together == pytest.approx(1)


def test_variance_between_seeds_is_reported_as_that_of_seeds() -> None:
    found = _effects(lambda v: v["seed"] / 10)
    assert found is not None
    assert found.seeds == pytest.approx(1)


def test_the_shares_add_up_on_a_full_grid() -> None:
    def accuracy(v: Mapping[str, Any]) -> float:
        return float((v["model.units"] * 7 + v["optimizer.learning_rate"] * 31 + v["seed"]) % 5) / 5

    found = _effects(accuracy)
    assert found is not None
    parts = [effect.share for effect in found.factors]
    assert sum(parts) + found.together + found.seeds == pytest.approx(1)


def test_a_factor_that_some_settings_lack_has_no_share() -> None:
    found = sweep(lambda v: v["model.units"] / 100, **GRID)
    other = sweep(lambda _: 0.9, optimizer__learning_rate=(0.1, 0.2), seed=(1, 2))
    shares = effects([*found.settings, *other.settings], found.factors, METRIC)
    assert shares is not None
    assert [effect.factor for effect in shares.factors] == ["optimizer.learning_rate"]


def test_a_factor_of_many_values_has_a_share_and_no_means() -> None:
    rates = [n / 100 for n in range(1, 15)]
    grid = {"model__units": (10, 20), "optimizer__learning_rate": rates, "seed": [1]}
    found = _effects(lambda v: v["optimizer.learning_rate"], **grid)
    assert found is not None
    rate = found.factors[0]
    assert (rate.factor, list(rate.levels)) == ("optimizer.learning_rate", [])
    assert rate.share == pytest.approx(1)
    assert found.together == pytest.approx(0)


def test_with_one_seed_each_the_share_of_seeds_is_unknown() -> None:
    found = _effects(lambda v: v["model.units"] / 100, model__units=(1, 2), a__b=(1, 2), seed=[1])
    assert found is not None
    assert math.isnan(found.seeds)


def test_without_variation_or_with_few_values_there_are_no_shares() -> None:
    assert _effects(lambda _: 0.5) is None
    assert _effects(lambda _: 0.1, model__units=(1, 2, 3), seed=(1, 2)) is None
    assert _effects(lambda v: v["model.units"] / 100, model__units=range(50), seed=[1]) is None


def test_numbers_are_sorted_and_words_keep_their_order() -> None:
    assert order([3, 1, 2, 1]) == [1, 2, 3]
    assert order(["b", "a", "b"]) == ["b", "a"]
    assert order([True, False]) == [True, False]
