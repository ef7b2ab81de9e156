"""Figures can be read without the text around them."""

from matplotlib.axes import Axes

from echo_exp.figures import CURVES, learning_curve


def _panels() -> list[Axes]:
    history = {key: ([1, 2, 3], [0.9, 0.5, 0.1]) for key in CURVES}
    return learning_curve(history).axes


def test_a_learning_curve_has_a_panel_for_loss_and_one_for_accuracy() -> None:
    loss, accuracy = _panels()
    assert "loss" in loss.get_ylabel()
    assert "accuracy" in accuracy.get_ylabel()
    assert "epoch" in loss.get_xlabel()


def test_training_and_validation_can_be_told_apart() -> None:
    for panel in _panels():
        training, validation = panel.lines
        assert training.get_color() != validation.get_color()
        assert training.get_linestyle() != validation.get_linestyle()
        legend = panel.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["training", "validation"]


def test_a_run_without_validation_has_a_curve_too() -> None:
    history: dict[str, tuple[list[int], list[float]]] = {key: ([], []) for key in CURVES}
    assert len(learning_curve(history).axes) == 2
