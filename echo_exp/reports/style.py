"""How the figures of reports look: colours, markers, lines, axes and grids of panels."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echo_exp.metrics import definition
from echo_exp.reports.estimates import Estimate
from echo_exp.training.figures import single
from echo_exp.training.replicas import Floats

Band = tuple[Floats, Floats]
"""The lower and the upper ends of a band, [n] each."""

# Okabe & Ito's palette without its yellow, then Tol's wine, olive and indigo, which colour-blind
# people can read, then a brown and a grey. Markers work without colour.
COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    *("#882255", "#999933", "#332288", "#8C564B", "#8A8A8A"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", "p", ">", "h")
STYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
WIDTH, HEIGHT = 3.5, 2.9  # inches of a panel
LEGEND = 1.8  # inches
COLUMNS = 2


def same_height(row: Sequence[Axes], metric: str) -> None:
    """Gives the panels of a row the same vertical axis; for a share it goes from 0 to 1.

    Args:
        row: The panels.
        metric: The metric on the axis.
    """
    if definition(metric).logarithmic:
        for axes in row:
            axes.set_yscale("log")
    low = min(axes.get_ylim()[0] for axes in row)
    high = max(axes.get_ylim()[1] for axes in row)
    if definition(metric).share:
        low, high = -0.03, 1.03
    elif low > 0 and not definition(metric).logarithmic:
        low, high = 0, 1.05 * high
    for axes in row:
        axes.set_ylim(low, high)


def color(number: int) -> str:
    """Returns the colour of a line or of points.

    Args:
        number: Their number; colours repeat when there are more numbers than colours.
    """
    return COLORS[number % len(COLORS)]


def marker(number: int) -> str:
    """Returns the marker of a line or of points.

    Args:
        number: Their number; a repeated colour has another marker.
    """
    return MARKERS[
        (number + number // len(COLORS)) % len(MARKERS)
    ]  # no colour comes with the same marker twice


def line_style(number: int) -> Any:
    """Returns the style of a line.

    Args:
        number: Its number; styles repeat when there are more numbers than styles.
    """
    return STYLES[number % len(STYLES)]


def numbers(values: Iterable[Any]) -> bool:
    """Returns whether all values are numbers.

    Args:
        values: The values.
    """
    return all(isinstance(value, int | float) for value in values)


def grid(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    """Makes a figure with a grid of panels.

    Args:
        rows: The number of rows.
        columns: The number of panels in a row.

    Returns:
        The figure, and its panels row by row.
    """
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows + 0.2), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in panels]


def curve(
    axes: Axes, number: int, label: str, x: Floats, values: Floats, band: Band, **look: Any
) -> None:
    """Draws a line with a band.

    Args:
        axes: The panel.
        number: The number of the line, which decides its colour and style.
        label: Its label in the legend.
        x: The x coordinates of its points, [n].
        values: The y coordinates, [n].
        band: The ends of the band.
        look: Further properties of the line, which override those of the number.
    """
    usual = {"color": color(number), "linestyle": line_style(number // len(COLORS))}
    axes.plot(x, values, label=label, **usual | single(len(x)) | look)
    axes.fill_between(x, *band, color=color(number), alpha=0.1, linewidth=0)


def banded(
    axes: Axes, number: int, label: str, x: Sequence[float], estimates: Sequence[Estimate]
) -> None:
    """Draws a line through estimates, with markers, and their intervals as a band.

    Args:
        axes: The panel.
        number: The number of the line, which decides its colour, style and marker.
        label: Its label in the legend.
        x: The x coordinates of the estimates.
        estimates: The estimates.
    """
    values, low, high = _parts(estimates)
    curve(axes, number, label, np.array(x), values, (low, high), marker=marker(number))


def _parts(estimates: Sequence[Estimate]) -> tuple[Floats, Floats, Floats]:
    """Returns the values of estimates, and the ends of their intervals, [n] each."""
    ends = ("value", "low", "high")
    values, low, high = (np.array([getattr(each, end) for each in estimates]) for end in ends)
    return values, low, high


def dodged(
    axes: Axes,
    number: int,
    label: str,
    x: Sequence[float],
    estimates: Sequence[Estimate],
    shift: float,
) -> None:
    """Draws estimates with their intervals as bars, beside those of other lines.

    Lines with equal estimates, of which the last would hide the others, can thus be seen.

    Args:
        axes: The panel.
        number: The number of the line, which decides its colour, style and marker.
        label: Its label in the legend.
        x: The x coordinates of the estimates.
        estimates: The estimates.
        shift: How far they are drawn to the right of ``x``, see `shift`.
    """
    values, low, high = _parts(estimates)
    bars = np.maximum([values - low, high - values], 0)
    axes.errorbar(
        np.array(x) + shift,
        values,
        bars,
        label=label,
        color=color(number),
        marker=marker(number),
        markersize=4,
        linewidth=0.7,
        elinewidth=1.2,
    )


def shift(number: int, of: int, step: float) -> float:
    """Returns how far one of several lines is drawn to the right, so that all lie side by side.

    Args:
        number: The number of the line.
        of: How many lines there are.
        step: The distance between two lines.
    """
    return step * (number - (of - 1) / 2)


def legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Puts one legend beside the panels, with every label that occurs in them.

    Args:
        figure: The figure, which becomes wider.
        panels: Its panels.
    """
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(str(label), handle)
    figure.set_figwidth(figure.get_figwidth() + LEGEND)
    figure.legend(
        list(handles.values()), list(handles), loc="outside right upper", frameon=False, fontsize=8
    )
