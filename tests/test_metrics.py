"""What the program knows of each metric."""

import math

import pytest

from echo_exp.metrics import KNOWN, Better, Metric, definition


@pytest.mark.parametrize("name", ["train/accuracy", "val/accuracy", "test/accuracy"])
def test_a_metric_is_the_same_wherever_it_is_measured(name: str) -> None:
    assert definition(name) == definition("accuracy")


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_each_is_found_by_its_name(known: Metric) -> None:
    assert definition(f"test/{known.name}") == known


def test_what_is_measured_on_incomplete_windows_says_so() -> None:
    assert definition("test/incomplete_mae").title == "mean absolute error, incomplete windows"


def test_a_part_of_the_network_is_named() -> None:
    assert definition("val/gradient_norm_encoder").title == "gradient norm, encoder"


def test_of_a_diverged_network_nothing_is_right_and_nothing_else_known() -> None:
    assert definition("test/sequence_accuracy").diverged == 0
    assert definition("test/within_5").diverged == 0
    assert math.isnan(definition("test/loss").diverged)
    assert math.isnan(definition("val/saturation").diverged)


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("test/accuracy", Better.HIGHER),
        ("test/within_1", Better.HIGHER),
        ("test/loss", Better.LOWER),
        ("test/mae", Better.LOWER),
        ("fit_seconds", Better.LOWER),
        ("test/accuracy_low", None),
        ("test/accuracy/std", None),
        ("epochs_to_solve", None),
        ("val/saturation", None),
        ("val/forget_gate", None),
    ],
)
def test_which_values_are_better_is_known_or_not(name: str, better: Better | None) -> None:
    assert definition(name).better is better


def test_a_score_of_a_users_own_has_its_name() -> None:
    assert definition("val/forget_gate").label == "forget gate"
