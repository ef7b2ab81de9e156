"""The figures of a training are complete and readable."""

import math

import numpy as np
import pytest
from matplotlib.axes import Axes

from echo_exp.training.figures import Curve, learning_curve, learning_curve_png

NAMES = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")


def _curve(replicas: int = 1) -> Curve:
    """Three epochs of values that rise from replica to replica."""
    return [1, 2, 3], np.linspace(0, 1, replicas) + np.zeros((3, replicas))


def _legend(replicas: int = 1) -> list[str]:
    frame = learning_curve({name: _curve(replicas) for name in NAMES}, "bananas")
    (legend,) = frame.figure.legends
    return [text.get_text() for text in legend.get_texts()]


def _panels(replicas: int = 1, names: tuple[str, ...] = NAMES) -> list[Axes]:
    return learning_curve({name: _curve(replicas) for name in names}, "bananas").figure.axes


def test_a_learning_curve_has_a_panel_for_loss_and_one_for_accuracy() -> None:
    loss, accuracy = _panels()
    assert loss.get_ylabel() == "loss (bananas)"
    assert "accuracy" in accuracy.get_ylabel()
    assert "epoch" in loss.get_xlabel()


def test_a_regression_has_a_panel_for_the_error() -> None:
    *_, error = _panels(names=(*NAMES, "val/mae"))
    assert error.get_ylabel() == "mean absolute error (integers)"


def test_training_and_validation_can_be_distinguished() -> None:
    for panel in _panels():
        training, validation = panel.lines
        assert training.get_color() != validation.get_color()
        assert training.get_linestyle() != validation.get_linestyle()
    assert _legend() == ["training", "validation"]


def test_replicas_are_a_median_in_a_quantile_band() -> None:
    for panel in _panels(replicas=101):
        assert [float(np.asarray(line.get_ydata())[0]) for line in panel.lines] == [0.5, 0.5]
        for band in panel.collections:
            heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
            assert (heights.min(), heights.max()) == pytest.approx((0.05, 0.95))
    assert "101 seeds" in _legend(101)[0]


def test_a_diverged_replica_is_left_out_of_the_band() -> None:
    epochs, values = _curve(3)
    values[2, 2] = np.nan
    figure = learning_curve(dict.fromkeys(NAMES, (epochs, values)), "nats").figure
    assert float(np.asarray(figure.axes[0].lines[0].get_ydata())[0]) == 0.25
    assert "2 seeds" in figure.legends[0].get_texts()[0].get_text()


def test_infinite_values_do_not_set_the_limits_of_an_axis() -> None:
    curve = [1, 2], np.array([[math.inf], [4.6]])
    loss = learning_curve(dict.fromkeys(NAMES, curve), "nats").figure.axes[0]
    assert loss.get_ylim() == pytest.approx((0, 5.0))


@pytest.mark.parametrize(
    ("largest", "top"), [(4.62, 5.0), (0.083, 0.085), (1.0, 1.0), (37.0, 40.0), (0.0, 1.0)]
)
def test_the_axis_of_the_loss_ends_at_a_round_number(largest: float, top: float) -> None:
    curve = [1, 2], np.array([[largest], [0.0]])
    loss = learning_curve(dict.fromkeys(NAMES, curve), "nats").figure.axes[0]
    assert loss.get_ylim() == pytest.approx((0, top))
    assert loss.get_xlim() == (0, 2)


def test_a_run_without_validation_also_has_a_curve() -> None:
    assert [len(panel.lines) for panel in _panels(names=NAMES[:2])] == [1, 1]


def test_a_figure_shows_nothing_of_the_previous_one() -> None:
    one = {name: _curve() for name in NAMES}
    another = {name: ([1, 2, 3], np.full((3, 1), 0.3)) for name in NAMES}
    many = {name: _curve(9) for name in NAMES}
    first = learning_curve_png(one, "nats")
    assert first.startswith(b"\x89PNG")
    for curves in (another, many):
        assert learning_curve_png(curves, "nats") != first
    assert learning_curve_png(one, "nats") == first
