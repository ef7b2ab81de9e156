"""The metrics, tables and summaries of one trained network and of many."""

import math
from typing import Any

import numpy as np
import pytest

from echo_exp.training.evaluation import Listing, Share
from echo_exp.training.outcome import Outcome

NAN = math.nan


def _outcome(**changes: Any) -> Outcome:
    """Three replicas; the second diverged, the third never solved the problem."""
    arguments: dict[str, Any] = {
        "seeds": range(7, 10),
        "scores": {
            "test/loss": np.array([1.0, NAN, 2.0]),
            "test/accuracy": np.array([1.0, NAN, 0.5]),
        },
        "intervals": {},
        "windows": 2100,
        "seconds": 6.0,
        "parameters": 11_780,
        "epochs_to_solve": np.array([25.0, NAN, NAN]),
        "diverged": np.array([NAN, 3.0, NAN]),
        "listing": Listing([], [], []),
        "listed": 7,
        "curves": {
            "train/loss": ([1, 2, 3], np.array([[1.0, 2, 3], [4, NAN, 6], [7, NAN, 9]])),
            "val/loss": ([2], np.array([[0.4, NAN, 0.6]])),
        },
    }
    return Outcome(**arguments | changes)


def _alone() -> Outcome:
    return _outcome(
        seeds=[7],
        scores={"test/loss": np.array([1.0]), "test/accuracy": np.array([0.9])},
        intervals={"test/accuracy": Share(0.9, 0.88, 0.92)},
        epochs_to_solve=np.array([NAN]),
        diverged=np.array([NAN]),
    )


def test_the_metrics_of_many_replicas_are_statistics_of_those_that_did_not_diverge() -> None:
    metrics = _outcome().metrics()
    assert metrics["test/accuracy"] == 0.75
    assert (metrics["test/accuracy/min"], metrics["test/accuracy/max"]) == (0.5, 1.0)
    assert metrics["epochs_to_solve"] == 25
    assert metrics["solved"] == pytest.approx(1 / 3)
    assert metrics["diverged"] == 1
    assert metrics["parameters"] == 11_780


def test_the_metrics_of_one_replica_have_an_interval_and_no_spread() -> None:
    metrics = _alone().metrics()
    assert metrics == {
        "test/loss": 1.0,
        "test/accuracy": 0.9,
        "test/accuracy_low": 0.88,
        "test/accuracy_high": 0.92,
        "fit_seconds": 6.0,
        "parameters": 11_780.0,
    }


def test_the_table_has_a_row_for_every_replica() -> None:
    assert _outcome().table() == {
        "seed": [7, 8, 9],
        "test/loss": [1.0, None, 2.0],
        "test/accuracy": [1.0, None, 0.5],
        "epochs_to_solve": [25.0, None, None],
        "diverged": [None, 3.0, None],
    }


def test_the_frame_has_a_row_for_every_seed_and_epoch() -> None:
    frame = _outcome().frame()
    assert frame["seed"].tolist() == [7, 7, 7, 8, 8, 8, 9, 9, 9]
    assert frame["epoch"].tolist() == [1, 2, 3] * 3
    np.testing.assert_allclose(frame["train/loss"], [1, 4, 7, 2, NAN, NAN, 3, 6, 9])
    np.testing.assert_allclose(
        frame["val/loss"], [NAN, 0.4, NAN, NAN, NAN, NAN, NAN, 0.6, NAN], rtol=1e-6
    )
    np.testing.assert_allclose(frame["test/accuracy"], [NAN, NAN, 1.0, *[NAN] * 5, 0.5])


def test_the_summary_of_many_replicas_shows_their_spread_and_failures() -> None:
    told = str(_outcome())
    for words in (
        "2,100 complete windows",
        "each of 3 replicas",
        "accuracy             0.7500 ± 0.3536 (0.5000 to 1.0000)",
        "1 of 3 replicas reached an accuracy of 0.99",
        "1 of 3 replicas: seed 8 at epoch 3",
        "6.0 s, 2.00 s per replica",
    ):
        assert words in told


def test_the_summary_of_two_replicas_is_that_of_many() -> None:
    two = _outcome(
        seeds=[7, 8],
        scores={"test/accuracy": np.array([1.0, 0.5])},
        epochs_to_solve=np.array([25.0, 40.0]),
        diverged=np.array([NAN, NAN]),
    )
    assert two.metrics() == pytest.approx(
        {
            "test/accuracy": 0.75,
            "test/accuracy/std": math.sqrt(0.125),
            "test/accuracy/min": 0.5,
            "test/accuracy/max": 1.0,
            "epochs_to_solve": 32.5,
            "epochs_to_solve/std": math.sqrt(112.5),
            "epochs_to_solve/min": 25.0,
            "epochs_to_solve/max": 40.0,
            "fit_seconds": 6.0,
            "parameters": 11_780.0,
            "solved": 1.0,
            "diverged": 0.0,
        }
    )
    assert two.lines() == [
        ("tested on", "2,100 complete windows of fresh sequences"),
        ("", "by each of 2 replicas: mean ± std (range)"),
        ("accuracy", "0.7500 ± 0.3536 (0.5000 to 1.0000)"),
        (
            "solved",
            "2 of 2 replicas reached an accuracy of 0.99, after 25 to 40 epochs "
            "(half of these by 32)",
        ),
        ("training took", "6.0 s, 3.00 s per replica"),
    ]


def test_the_summary_of_one_replica_shows_its_interval() -> None:
    assert _alone().lines() == [
        ("tested on", "2,100 complete windows of fresh sequences"),
        ("loss", "1.0000"),
        ("accuracy", "0.9000 [0.8800, 0.9200]  share of integers right, 95 % interval"),
        ("training took", "6.0 s"),
    ]


def test_the_last_validation_is_the_mean_of_those_that_did_not_diverge() -> None:
    curves = {
        "train/loss": ([1], np.array([[9.0, 9.0, 9.0]])),
        "val/loss": ([1, 2], np.array([[7.0, 7.0, 7.0], [1.0, NAN, 2.0]])),
        "val/accuracy": ([2], np.array([[NAN, NAN, NAN]])),
        "val/mae": ([], np.empty((0, 3))),  # it has not been validated yet
    }
    assert _outcome(curves=curves).validation() == {"val/loss": 1.5}


def test_of_many_failures_only_some_are_named() -> None:
    epochs = np.arange(1.0, 21.0)
    told = str(_outcome(seeds=range(20), diverged=epochs, epochs_to_solve=np.full(20, NAN)))
    assert "20 of 20 replicas: seed 0 at epoch 1, " in told
    assert "seed 7 at epoch 8, ..." in told
    assert "seed 8 at" not in told
    told = str(_outcome(seeds=range(8), diverged=epochs[:8], epochs_to_solve=np.full(8, NAN)))
    assert "seed 7 at epoch 8\n" in told
