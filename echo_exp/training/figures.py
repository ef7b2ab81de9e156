"""Figures of a run: they need no screen to be drawn, and no text beside them to be understood.

A sweep draws one for each job, and axes and labels take ten times as long to draw as the curves. So
they are drawn once for all curves of the same ranges, and kept as pixels.
"""

import functools
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.lines import Line2D

from echo_exp.metrics import definition
from echo_exp.training.replicas import Floats

# Okabe & Ito: distinguishable with any colour vision.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"
STYLES: Mapping[str, Mapping[str, Any]] = {
    "train": {"color": BLUE, "linewidth": 0.8, "linestyle": "-"},
    "val": {"color": ORANGE, "linewidth": 1.6, "linestyle": "--"},
}
DRAWN = tuple(f"{kind}/{name}" for kind in STYLES for name in ("loss", "accuracy", "mae"))
WORDS = {"train": "training", "val": "validation"}

Curve = tuple[list[int], Floats]
"""Epochs [E] and the values of each replica, [E, R]."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        name: What it shows: ``loss``, ``accuracy`` or ``mae``.
        label: Label of the vertical axis, with the unit.
        bottom: Lower end of the vertical axis.
        top: Its upper end.
    """

    name: str
    label: str
    bottom: float
    top: float


@dataclass(frozen=True)
class Frame:
    """A figure without its curves.

    Attributes:
        figure: The figure; curves are drawn on its axes.
        canvas: Its canvas.
        pixels: The canvas without curves.
    """

    figure: Figure
    canvas: FigureCanvasAgg
    pixels: Any


def learning_curve_png(curves: Mapping[str, Curve], loss_name: str) -> bytes:
    """Draws loss and accuracy, and the absolute error where it is measured, over the epochs.

    One replica is a line; several are the line of their median, in a band from the 5 % to the 95 %
    quantile.

    Args:
        curves: Epochs and values of each metric, by its name in MLflow.
        loss_name: Name of the loss, with its unit.

    Returns:
        The content of a PNG file.
    """
    frame = learning_curve(curves, loss_name)
    frame.canvas.restore_region(frame.pixels)
    for axes in frame.figure.axes:
        for artist in (*axes.collections, *axes.lines):
            axes.draw_artist(artist)
    content = io.BytesIO()
    imsave(
        content, frame.canvas.buffer_rgba(), format="png", dpi=120, pil_kwargs={"compress_level": 1}
    )
    return content.getvalue()


def learning_curve(curves: Mapping[str, Curve], loss_name: str) -> Frame:
    """Returns the figure of `learning_curve_png`; the next call may reuse it."""
    shown = {name: _quantiles(curves[name]) for name in DRAWN if name in curves}
    panels = [
        Panel("loss", f"loss ({loss_name})", 0, _top(shown, "loss")),
        Panel("accuracy", definition("accuracy").words, -0.02, 1.02),
    ]
    if "val/mae" in curves:
        panels.append(Panel("mae", definition("mae").words, 0, _top(shown, "mae")))
    losses = {kind: curves[f"{kind}/loss"] for kind in WORDS if f"{kind}/loss" in curves}
    legend = tuple((kind, _label(kind, curve)) for kind, curve in losses.items())
    last = max(epochs[-1] for epochs, _ in curves.values())
    frame = _frame(tuple(panels), legend, last)
    for axes, panel in zip(frame.figure.axes, panels, strict=True):
        for before in (*axes.lines, *axes.collections):
            before.remove()
        for kind, _ in legend:
            name = f"{kind}/{panel.name}"
            if name in shown:
                _draw(axes, curves[name], shown[name], STYLES[kind])
    return frame


def _top(shown: Mapping[str, Floats], name: str) -> float:
    """Returns a round number above all finite values that are shown of a metric."""
    values = [shown[key] for key in (f"train/{name}", f"val/{name}") if key in shown]
    tops = (float(v.max(where=np.isfinite(v), initial=0.0)) for v in values)
    largest = max(tops, default=0.0)
    if largest <= 0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(largest)) / 2
    return step * math.ceil(largest / step)


def _label(kind: str, curve: Curve) -> str:
    replicas = _living(curve).shape[1]
    seeds = f" (median and 5–95 % of {replicas} seeds)" if replicas > 1 else ""
    return WORDS[kind] + seeds


@functools.lru_cache(maxsize=8)
def _frame(panels: tuple[Panel, ...], legend: tuple[tuple[str, str], ...], last: int) -> Frame:
    """Draws axes without curves, side by side.

    Args:
        panels: One for each pair of axes.
        legend: The kinds of curves with their labels.
        last: The last epoch.
    """
    width, height = 4.5 * len(panels), 3.6
    figure = Figure(figsize=(width, height), dpi=120)
    canvas = FigureCanvasAgg(figure)
    # In inches: Matplotlib's automatic layout takes as long as drawing.
    figure.subplots_adjust(
        left=0.65 / width,
        right=1 - 0.2 / width,
        bottom=0.85 / height,
        top=1 - 0.1 / height,
        wspace=0.23,
    )
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.set_xlabel("epoch (one fresh sequence each)")
        axes.set_ylabel(panel.label)
        axes.set_xlim(0, last)
        axes.set_ylim(panel.bottom, panel.top)
        uncluttered(axes)
    lines = [Line2D([], [], label=label, **STYLES[kind]) for kind, label in legend]
    figure.legend(handles=lines, loc="lower center", ncols=2, frameon=False)
    canvas.draw()
    return Frame(figure, canvas, canvas.copy_from_bbox(figure.bbox))


def _draw(axes: Axes, curve: Curve, quantiles: Floats, style: Mapping[str, Any]) -> None:
    low, median, high = quantiles
    if _living(curve).shape[1] > 1:
        axes.fill_between(curve[0], low, high, color=style["color"], alpha=0.2, linewidth=0)
    axes.plot(curve[0], median, scalex=False, scaley=False, **style, **single(len(median)))


def uncluttered(axes: Axes) -> None:
    """Removes the top and right of a panel's frame, and adds a light grid.

    Args:
        axes: The panel.
    """
    axes.grid(color=GREY, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def single(points: int) -> dict[str, Any]:
    """Returns how a line is drawn that has only one point, which may lie at the end of an axis.

    Args:
        points: The number of its points.
    """
    return {"marker": "o", "ms": 4, "clip_on": False} if points == 1 else {}


def _quantiles(curve: Curve) -> Floats:
    """Returns the 5 %, 50 % and 95 % quantiles of the replicas, [3, E]."""
    with np.errstate(invalid="ignore"):  # there is none between infinite values
        quantiles: Floats = np.quantile(_living(curve), [0.05, 0.5, 0.95], axis=1)
    return quantiles


def _living(curve: Curve) -> Floats:
    """Returns the values of the replicas that have not diverged, [E, r]."""
    values = curve[1]
    return values[:, ~np.isnan(values).any(axis=0)]
