"""The figures of a study's report: scores of all seeds, share of seeds that have solved, curves."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from echo_exp import configuration
from echo_exp.metrics import definition
from echo_exp.reports import answers, statistics, style
from echo_exp.reports.answers import Answers
from echo_exp.reports.records import Record
from echo_exp.settings import word
from echo_exp.training.evaluation import SOLVED
from echo_exp.training.figures import GREY, uncluttered
from echo_exp.training.replicas import Floats

LEGEND_ROW = 0.22
LETTERS_AN_INCH = 12  # of the legend


def scores(found: Answers) -> Figure:
    """Draws each metric of each seed, with means and 95 % intervals, one row per metric.

    Args:
        found: What the study's runs say.
    """
    panels = found.panels()
    figure, grid = style.grid(len(found.metrics), len(panels))
    for row, metric in zip(grid, found.metrics, strict=True):
        for axes, panel in zip(row, panels, strict=True):
            _scores(axes, found, found.of_panel(panel), metric)
        row[0].set_ylabel(definition(metric).label)
        style.same_height(row, metric)
    for axes, panel in zip(grid[0], panels, strict=True):
        axes.set_title(_title(panel), fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel(configuration.short(found.study.x or ""))
    if found.study.x is not None:
        _legend(figure, found, markers=True)
    return figure


def _title(panel: Any) -> str:
    return "" if panel is None else word(panel)


def _scores(axes: Axes, found: Answers, records: Sequence[Record], metric: str) -> None:
    study, levels = found.study, found.levels()
    places = _places(found, records)
    random = np.random.default_rng(0)  # for the jitter
    for number, value in enumerate(levels):
        measured = [r for r in records if answers.level(study, r) == value and metric in r.scores]
        step = 0.0 if study.x is None else 0.6 / len(levels)
        shift = style.shift(number, len(levels), step)
        for record in measured:
            values = record.scores[metric]
            x = places[_place(found, record)] + shift
            jitter = random.uniform(-0.2, 0.2, len(values)) / (
                1 if study.x is None else len(levels)
            )
            color, marker = style.color(number), style.marker(number)
            axes.plot(x + jitter, values, marker, color=color, alpha=0.3, ms=3)
            mean = statistics.mean(values)
            if np.isfinite(mean.low):
                axes.vlines(x, mean.low, mean.high, color="black", linewidth=1.5, zorder=3)
            axes.plot(x, mean.value, marker, color=color, mec="black", ms=7)
    axes.set_xticks(list(places.values()), [word(place) for place in places])
    axes.set_xlim(-0.6, len(places) - 0.4)
    if study.x is None and len(places) > 3:
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    uncluttered(axes)


def _place(found: Answers, record: Record) -> Any:
    """Returns a record's value on the horizontal axis: x, or else the compared value."""
    x = answers.position(found.study, record)
    return answers.level(found.study, record) if found.study.x is None else x


def _places(found: Answers, records: Sequence[Record]) -> dict[Any, int]:
    """Returns the place of each value on the horizontal axis; numbers are in ascending order."""
    values = list(dict.fromkeys(_place(found, record) for record in records))
    if found.study.x is not None and style.numbers(values):
        values.sort()
    return {value: number for number, value in enumerate(values)}


def solving(found: Answers) -> Figure:
    """Draws the share of seeds that have solved the problem over the epochs, a line per cell.

    Args:
        found: What the study's runs say.
    """
    return _lines(found, f"seeds with accuracy ≥ {SOLVED}\n(share, 95 % interval)", _solved)


def curves(found: Answers) -> Figure:
    """Draws the median validation accuracy and its 5-95 % band over the epochs, a line per cell.

    Args:
        found: What the study's runs say.
    """
    return _lines(found, "validation accuracy\n(median, 5–95 % of seeds)", _accuracy)


Line = Callable[[Record], tuple[Floats, Floats, Floats, Floats]]
"""Returns the epochs, the values and the two ends of the band of a record, [E] each."""


def _solved(record: Record) -> tuple[Floats, Floats, Floats, Floats]:
    found = answers.survival(record)
    return found.times, found.solved, found.low, found.high


def _accuracy(record: Record) -> tuple[Floats, Floats, Floats, Floats]:
    epochs, values = record.curves["val/accuracy"]
    low, median, high = np.nanquantile(values, [0.05, 0.5, 0.95], axis=1)
    return epochs, median, low, high


def _lines(found: Answers, label: str, line: Line) -> Figure:
    panels = found.panels()
    rows = -(-len(panels) // style.COLUMNS)
    columns = -(-len(panels) // rows)
    figure, grid = style.grid(rows, columns)
    cells = [axes for row in grid for axes in row]
    for axes, panel in zip(cells, panels, strict=False):
        for record in found.of_panel(panel):
            color, dashes = _look(found, record)
            epochs, values, low, high = line(record)
            step = {"drawstyle": "steps-post"} if line is _solved else {}
            axes.plot(epochs, values, color=color, linestyle=dashes, linewidth=1.5, **step)  # type: ignore[arg-type]
            axes.fill_between(
                epochs,
                low,
                high,
                color=color,
                alpha=0.1,
                linewidth=0,
                step="post" if line is _solved else None,
            )
        axes.set_title(_title(panel), fontsize=10)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlim(left=0)
        axes.set_xlabel("epochs (one fresh sequence each)")
        uncluttered(axes)
    for axes in cells[len(panels) :]:
        axes.remove()
    for row in grid:
        row[0].set_ylabel(label)
    _legend(figure, found, markers=False)
    return figure


def _look(found: Answers, record: Record) -> tuple[str, Any]:
    """Returns the colour of the compared value and the line style of the value of x."""
    color = style.color(found.levels().index(answers.level(found.study, record)))
    if found.study.x is None:
        return color, "-"
    return color, style.line_style(_positions(found).index(answers.position(found.study, record)))


def _positions(found: Answers) -> list[Any]:
    values = dict.fromkeys(answers.position(found.study, record) for record in found.compared)
    return sorted(values) if style.numbers(values) else list(values)


def _legend(figure: Figure, found: Answers, markers: bool) -> None:
    compare = configuration.short(found.study.compare)
    handles = [
        Line2D(
            [],
            [],
            color=style.color(number),
            marker=style.marker(number) if markers else "",
            label=f"{compare} {word(value)}",
            linestyle="" if markers else "-",
            mec="black" if markers else style.color(number),
        )
        for number, value in enumerate(found.levels())
    ]
    if not markers and found.study.x is not None:
        x = configuration.short(found.study.x)
        handles += [
            Line2D(
                [], [], color=GREY, linestyle=style.line_style(number), label=f"{x} {word(value)}"
            )
            for number, value in enumerate(_positions(found))
        ]
    widest = max(len(str(handle.get_label())) for handle in handles)
    fitting = max(1, int(figure.get_figwidth() * LETTERS_AN_INCH / (widest + 6)))
    columns = min(fitting, len(handles))
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * -(-len(handles) // columns))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
    )
