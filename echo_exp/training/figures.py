"""Figures of a run; drawn without a screen, readable without the text around them."""

import functools
import io
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echo_exp.training.replicas import Floats

# Okabe & Ito: told apart by everybody.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"

Curve = tuple[list[int], Floats]
"""Epochs [E] and the values of each replica, [E, R]."""


def learning_curve_png(curves: Mapping[str, Curve], loss_name: str) -> bytes:
    """Returns `learning_curve` as the content of a PNG file."""
    content = io.BytesIO()
    figure = learning_curve(curves, loss_name)
    figure.savefig(content, dpi=120, pil_kwargs={"compress_level": 1})  # a sweep draws many
    return content.getvalue()


def learning_curve(curves: Mapping[str, Curve], loss_name: str) -> Figure:
    """Draws loss and accuracy, and the absolute error where it is measured, over the epochs.

    One replica is a line; many are the line of their median between the 5 % and 95 % quantiles.

    Args:
        curves: Of each metric its epochs and values, by its name in MLflow.
        loss_name: What the loss is, with its unit.

    Returns:
        A figure on which the next call with the same panels draws anew.
    """
    names = ["loss", "accuracy", *(["mae"] if "val/mae" in curves else [])]
    figure = _panels(len(names))
    figure.legends.clear()
    for axes, name in zip(figure.axes, names, strict=True):
        _panel(axes, curves, name)
    figure.axes[0].set_ylabel(f"loss ({loss_name})")
    figure.axes[1].set_ylim(-0.02, 1.02)
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="lower center", ncols=2, frameon=False)
    return figure


@functools.cache
def _panels(count: int) -> Figure:
    """Returns panels side by side, once: to make axes takes as long as to draw curves on them."""
    width, height = 4.5 * count, 3.6
    figure = Figure(figsize=(width, height))
    panels = figure.subplots(1, count)
    # In inches; to let Matplotlib find a layout takes as long as to draw.
    figure.subplots_adjust(
        left=0.65 / width,
        right=1 - 0.1 / width,
        bottom=0.85 / height,
        top=1 - 0.1 / height,
        wspace=0.23,
    )
    labels = ("loss", "accuracy (share of integers right)", "mean absolute error (integers)")
    for axes, label in zip(panels, labels, strict=False):
        axes.set_xlabel("epoch (one fresh sequence each)")
        axes.set_ylabel(label)
        axes.grid(color=GREY, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _panel(axes: Axes, curves: Mapping[str, Curve], name: str) -> None:
    for before in (*axes.lines, *axes.collections):
        before.remove()
    axes.relim()
    axes.autoscale()
    if f"train/{name}" in curves:
        _draw(axes, curves[f"train/{name}"], "training", BLUE, 0.8, "-")
    if f"val/{name}" in curves:
        _draw(axes, curves[f"val/{name}"], "validation", ORANGE, 1.6, "--")
    axes.set_ylim(bottom=0)


def _draw(axes: Axes, curve: Curve, label: str, color: str, width: float, style: str) -> None:
    epochs, values = curve
    living = values[:, ~np.isnan(values).any(axis=0)]  # a replica that diverged has no curve
    replicas = living.shape[1]
    low, median, high = np.quantile(living, [0.05, 0.5, 0.95], axis=1)
    if replicas > 1:
        label += f" (median and 5–95 % of {replicas} seeds)"
        axes.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0)
    axes.plot(epochs, median, color=color, linewidth=width, label=label, linestyle=style)
