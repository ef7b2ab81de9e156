"""Figures of a run; drawn without a screen, readable without the text around them."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

CURVES = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
BLUE, ORANGE, GREY = (
    "#0072B2",
    "#D55E00",
    "#767676",
)  # Okabe & Ito: told apart by everybody

History = tuple[Sequence[int], Sequence[float]]


def learning_curve(histories: Mapping[str, History]) -> Figure:
    """Draws loss and accuracy over the tutorial epochs.

    Args:
        histories: (epochs, values) of each of `CURVES`.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    _panel(loss, histories, "loss", "loss (cross-entropy, nats)")
    _panel(accuracy, histories, "accuracy", "accuracy (share of integers right)")
    accuracy.set_ylim(-0.02, 1.02)
    loss.set_ylim(bottom=0)
    return figure


def _panel(axes: Axes, histories: Mapping[str, History], name: str, label: str) -> None:
    axes.plot(
        *histories[f"train/{name}"],
        color=BLUE,
        linewidth=0.8,
        alpha=0.8,
        label="training",
    )
    axes.plot(
        *histories[f"val/{name}"],
        color=ORANGE,
        linewidth=1.6,
        label="validation",
        linestyle="--",
    )
    axes.set_xlabel("epoch (one fresh sequence each)")
    axes.set_ylabel(label)
    axes.grid(color=GREY, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
