"""The definition of each metric."""

import math

import pytest

from echo_exp.metrics import KNOWN, Better, Metric, definition


@pytest.mark.parametrize("name", ["train/accuracy", "val/accuracy", "test/accuracy"])
def test_a_metric_has_the_same_description_in_every_phase(name: str) -> None:
    assert definition(name) == definition("accuracy")


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_each_metric_is_found_by_its_name(known: Metric) -> None:
    assert definition(f"test/{known.name}") == known


def test_metrics_of_incomplete_windows_say_so() -> None:
    assert definition("test/incomplete_mae").title == "mean absolute error, incomplete windows"


def test_a_metric_of_a_part_of_the_network_names_it() -> None:
    assert definition("val/gradient_norm_encoder").title == "gradient norm, encoder"


def test_a_diverged_network_has_accuracy_zero_and_no_other_score() -> None:
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
        ("test/accuracy_at_20", Better.HIGHER),
        ("test/accuracy_at_20_low", None),
        ("test/accuracy_at_20/std", None),
        ("epochs_to_solve", None),
        ("val/saturation", None),
        ("val/forget_gate", None),
    ],
)
def test_a_metric_knows_whether_larger_or_smaller_is_better(
    name: str, better: Better | None
) -> None:
    assert definition(name).better is better


def test_an_own_score_keeps_its_name() -> None:
    assert definition("val/forget_gate").label == "forget gate"
