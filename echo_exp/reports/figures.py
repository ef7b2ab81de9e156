"""The figures of a report: scores of every seed, by when how many have solved it, curves."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from echo_exp.reports import answers, statistics
from echo_exp.reports.answers import Answers
from echo_exp.reports.records import SHARES, Record
from echo_exp.sweeps.study import word
from echo_exp.training.evaluation import SOLVED
from echo_exp.training.figures import GREY
from echo_exp.training.replicas import Floats

# Okabe & Ito: told apart by everybody; the markers tell the same without colour.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
WIDTH, HEIGHT = 3.5, 2.9  # inches of a panel
COLUMNS = 2
LEGEND_ROW = 0.22
LETTERS_AN_INCH = 12  # of the legend
NAMES = {
    "test/accuracy": "accuracy\n(share of integers right)",
    "test/sequence_accuracy": "whole echoes right\n(share)",
    "test/incomplete_accuracy": "accuracy on\nincomplete windows (share)",
    "test/within_1": "off by at most 1\n(share of integers)",
    "test/mae": "mean absolute error\n(integers)",
    "test/loss": "loss",
    "val/saturation": "saturated cell states\n(share)",
}
LOGARITHMIC = ("val/gradient_norm",)
FROM_0_TO_1 = (*SHARES, "saturation")


def scores(found: Answers) -> Figure:
    """Draws each metric of each seed, with means and 95 % intervals, a row a metric."""
    panels = found.panels()
    figure, grid = _grid(len(found.metrics), len(panels))
    for row, metric in zip(grid, found.metrics, strict=True):
        for axes, panel in zip(row, panels, strict=True):
            _scores(axes, found, found.of_panel(panel), metric)
        row[0].set_ylabel(named(metric))
        _same_height(row, metric)
    for axes, panel in zip(grid[0], panels, strict=True):
        axes.set_title(_title(panel), fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel(plain(found.study.x or ""))
    if found.study.x is not None:
        _legend(figure, found, markers=True)
    return figure


def named(metric: str) -> str:
    """Returns what a metric is called on an axis."""
    return NAMES.get(metric, metric.rsplit("/", 1)[-1].replace("_", " "))


def _title(panel: Any) -> str:
    return "" if panel is None else word(panel)


def plain(setting: str) -> str:
    """Returns a setting's name without its group's."""
    return setting.rsplit(".", 1)[-1]


def _same_height(row: Sequence[Axes], metric: str) -> None:
    if metric.startswith(LOGARITHMIC):
        for axes in row:
            axes.set_yscale("log")
    low = min(axes.get_ylim()[0] for axes in row)
    high = max(axes.get_ylim()[1] for axes in row)
    if metric.endswith(FROM_0_TO_1):
        low, high = -0.03, 1.03
    elif not metric.startswith(LOGARITHMIC):
        low = min(low, 0)
    for axes in row:
        axes.set_ylim(low, high)


def _scores(axes: Axes, found: Answers, records: Sequence[Record], metric: str) -> None:
    study, levels = found.study, found.levels()
    places = _places(found, records)
    random = np.random.default_rng(0)  # of the jitter
    for number, value in enumerate(levels):
        mine = [r for r in records if answers.level(study, r) == value and metric in r.scores]
        shift = 0.0 if study.x is None else (number - (len(levels) - 1) / 2) * 0.6 / len(levels)
        for record in mine:
            values = record.scores[metric]
            x = places[_place(found, record)] + shift
            jitter = random.uniform(-0.2, 0.2, len(values)) / (
                1 if study.x is None else len(levels)
            )
            color, marker = _color(number), _marker(number)
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
    _plain(axes)


def _place(found: Answers, record: Record) -> Any:
    x = answers.position(found.study, record)
    return answers.level(found.study, record) if found.study.x is None else x


def _places(found: Answers, records: Sequence[Record]) -> dict[Any, int]:
    """Returns where each value of the horizontal axis stands; numbers in their order."""
    values = list(dict.fromkeys(_place(found, record) for record in records))
    if found.study.x is not None and _numbers(values):
        values.sort()
    return {value: number for number, value in enumerate(values)}


def solving(found: Answers) -> Figure:
    """Draws the share of seeds that have solved the problem over the epochs, a line a cell."""
    return _lines(found, f"seeds with accuracy ≥ {SOLVED}\n(share, 95 % interval)", _solved)


def curves(found: Answers) -> Figure:
    """Draws the median validation accuracy and its 5-95 % band over the epochs, a line a cell."""
    return _lines(found, "validation accuracy\n(median, 5–95 % of seeds)", _accuracy)


Line = Callable[[Record], tuple[Floats, Floats, Floats, Floats]]


def _solved(record: Record) -> tuple[Floats, Floats, Floats, Floats]:
    found = answers.survival(record)
    return found.times, found.solved, found.low, found.high


def _accuracy(record: Record) -> tuple[Floats, Floats, Floats, Floats]:
    epochs, values = record.curves["val/accuracy"]
    low, median, high = np.nanquantile(values, [0.05, 0.5, 0.95], axis=1)
    return epochs, median, low, high


def _lines(found: Answers, label: str, line: Line) -> Figure:
    panels = found.panels()
    rows = -(-len(panels) // COLUMNS)
    columns = -(-len(panels) // rows)
    figure, grid = _grid(rows, columns)
    cells = [axes for row in grid for axes in row]
    for axes, panel in zip(cells, panels, strict=False):
        for record in found.of_panel(panel):
            color, style = _look(found, record)
            epochs, values, low, high = line(record)
            step = {"drawstyle": "steps-post"} if line is _solved else {}
            axes.plot(epochs, values, color=color, linestyle=style, linewidth=1.5, **step)  # type: ignore[arg-type]
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
        _plain(axes)
    for axes in cells[len(panels) :]:
        axes.remove()
    for row in grid:
        row[0].set_ylabel(label)
    _legend(figure, found, markers=False)
    return figure


def _look(found: Answers, record: Record) -> tuple[str, Any]:
    """Returns the colour of what is compared and the line style of the place on the axis."""
    color = _color(found.levels().index(answers.level(found.study, record)))
    if found.study.x is None:
        return color, "-"
    return color, _style(_positions(found).index(answers.position(found.study, record)))


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _marker(number: int) -> str:
    return MARKERS[(number + number // len(COLORS)) % len(MARKERS)]  # no pair comes twice


def _style(number: int) -> Any:
    return STYLES[number % len(STYLES)]


def _positions(found: Answers) -> list[Any]:
    values = dict.fromkeys(answers.position(found.study, record) for record in found.compared)
    return sorted(values) if _numbers(values) else list(values)


def _numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _legend(figure: Figure, found: Answers, markers: bool) -> None:
    compare = plain(found.study.compare)
    handles = [
        Line2D(
            [],
            [],
            color=_color(number),
            marker=_marker(number) if markers else "",
            label=f"{compare} {word(value)}",
            linestyle="" if markers else "-",
            mec="black" if markers else _color(number),
        )
        for number, value in enumerate(found.levels())
    ]
    if not markers and found.study.x is not None:
        x = plain(found.study.x)
        handles += [
            Line2D([], [], color=GREY, linestyle=_style(number), label=f"{x} {word(value)}")
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


def _grid(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows + 0.2), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in grid]


def _plain(axes: Axes) -> None:
    axes.grid(color=GREY, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
