"""The figures of an inspection: each draws one measurement, without a screen."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from echo_exp.inspection.attribution import Attention, Gradient
from echo_exp.inspection.measurements import (
    CARRIED,
    KINDS,
    NOISE,
    SWAPPED,
    ZERO,
    Confusion,
    Errors,
    Gates,
    Probe,
    Shares,
    Skill,
    States,
)
from echo_exp.inspection.recording import reads
from echo_exp.training.figures import BLUE, GREY, ORANGE, uncluttered
from echo_exp.training.replicas import Floats

SIGNED, UNSIGNED = "RdBu_r", "viridis"
MOST_NUMBERS = 8
"""A larger table shows its shares as colours only."""
MOST_COLUMNS = 4
MOST_TICKS = 21
"""Of more timesteps, not each has a label."""
FARTHEST = 10
"""Answers that are off by this many integers or more are one bar."""
BEGINS = {ZERO: "from a state of zero", CARRIED: "from the carried state, as in training"}
STARTS = {
    CARRIED: "carried on",
    ZERO: "zero",
    SWAPPED: "another\nsequence's",
    NOISE: "noise",
}


def states(found: States, layer: str) -> Figure:
    """Draws hidden states, and cell states if there are any, over one window, a row per unit."""
    parts = {"hidden": found.hidden} | ({} if found.cell is None else {"cell": found.cell})
    width = _width(len(found.hidden)) * len(parts) / 2
    figure = Figure(figsize=(max(width, 5.0), 4.8), layout="constrained")
    order = _by_peak(np.abs(found.hidden[1:]))
    panels = figure.subplots(1, len(parts), squeeze=False)[0]
    for axes, (name, values) in zip(panels, parts.items(), strict=True):
        limit = float(np.abs(values).max()) or 1.0
        image = axes.imshow(
            values.T[order],
            cmap=SIGNED,
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            interpolation="nearest",
        )
        figure.colorbar(image, ax=axes, label=f"{name} state")
        _label_timesteps(axes, ["0", *_timesteps(layer, len(values) - 1, found)], layer)
        axes.set_yticks(*_ticks([str(rank + 1) for rank in range(len(order))]))
    figure.axes[0].set_ylabel(f"unit of {layer}, by the timestep\nof its largest hidden state")
    start = BEGINS[CARRIED if found.carried else ZERO]
    echo = ", ".join(map(str, found.echo))
    title = f"One window, {start}; 0: before it; its echo: {echo}"
    figure.suptitle(title, fontsize=10, wrap=True)
    return figure


def gates(found: Gates, layer: str) -> Figure:
    """Draws how open the gates are: each unit's mean, and the shares of open and closed ones."""
    timesteps, count = found.mean.shape[1], len(found.open)
    columns = len(found.mean)
    width = max(0.4 * columns * _width(timesteps), 6.0)  # the legend has to fit
    figure = Figure(figsize=(width, 6.6), layout="constrained")
    upper, lower = figure.subplots(2, columns, height_ratios=(2, 1), squeeze=False)
    taken = found.names.index("input") if "input" in found.names else 0
    order = _by_peak(found.mean[taken])
    names = [f"{gate} gate" for gate in found.names[:count]]
    names += [f"size of the {name}" for name in found.names[count:]]
    labels = [str(t + 1) for t in range(timesteps)]
    for axes, name, mean in zip(upper, names, found.mean, strict=True):
        image = axes.imshow(
            mean.T[order],
            cmap=UNSIGNED,
            vmin=0,
            vmax=1,
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_title(name, fontsize=10)
        axes.set_yticks([])
        _label_timesteps(axes, labels, layer)
    upper[0].set_yticks(*_ticks([str(rank + 1) for rank in range(len(order))]))
    upper[0].set_ylabel(
        f"unit of {layer}, by the timestep\nat which the {found.names[taken]} gate is most open"
    )
    figure.colorbar(image, ax=list(upper), label="mean activation")
    steps = range(timesteps)
    for axes, opened, closed in zip(lower, found.open, found.closed, strict=False):
        axes.plot(steps, opened, color=BLUE, marker="o", markersize=3, label="open (above 0.9)")
        axes.plot(
            steps,
            closed,
            color=ORANGE,
            marker="s",
            markersize=3,
            linestyle="--",
            label="closed (below 0.1)",
        )
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlim(-0.5, timesteps - 0.5)
        uncluttered(axes)
        _label_timesteps(axes, labels, layer)
    for axes in lower[1:count]:
        axes.tick_params(labelleft=False)  # keeps the gaps between the upper panels equal
    lower[0].set_ylabel("share of units and windows")
    for axes in lower[count:]:
        axes.axis("off")
    lines, texts = lower[0].get_legend_handles_labels()
    figure.legend(lines, texts, loc="outside lower center", ncols=len(lines), frameon=False)
    figure.suptitle(f"Gates of {layer}, over {found.windows:,} windows", fontsize=10)
    return figure


def probes(found: Mapping[str, Probe], layer: str) -> Figure:
    """Draws how well linear probes read each position after each timestep."""
    timesteps, positions = next(iter(found.values())).accuracy.value.shape[1:]
    size = min(0.62, 5.5 / max(timesteps, positions))  # inches of a cell
    width, height = max(2.4, size * positions), max(1.0, size * timesteps)
    kinds = KINDS[: len(next(iter(found.values())).accuracy.value)]
    figure = Figure(
        figsize=(max(5.0, len(kinds) * (width + 0.6) + 1.4), len(found) * (height + 1.2) + 0.7),
        layout="constrained",
    )
    grid = figure.subplots(len(found), len(kinds), squeeze=False)
    for row, (start, probe) in zip(grid, found.items(), strict=True):
        for axes, kind, shares, above, shuffled in zip(
            row, kinds, probe.accuracy.value, probe.above_chance(), probe.shuffled, strict=True
        ):
            image = axes.imshow(
                shares, cmap=UNSIGNED, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
            )
            _write_shares(axes, shares, above)
            mean, low, high = shuffled
            axes.set_title(
                f"{kind} state{'s' * (kind == KINDS[2])}\n{BEGINS[start]}\n"
                f"{probe.windows:,} windows to learn from\n"
                f"shuffled integers: {mean:.3f} ({low:.3f} to {high:.3f})",
                fontsize=8,
            )
            axes.set_xlabel("position in the window (oldest first)")
            axes.set_xticks(*_ticks([str(p + 1) for p in range(positions)]))
            axes.set_yticks(*_ticks([str(t + 1) for t in range(timesteps)]))
        row[0].set_ylabel(
            "after reading timestep" if _by_timestep(layer, timesteps) else _done(layer)
        )
    figure.colorbar(image, ax=grid, label="share of integers read correctly")
    chance = next(iter(found.values())).chance
    figure.suptitle(
        f"Linear probes of the states of {layer}; guessing: {chance:.3g}; •: not above chance",
        fontsize=9,
    )
    return figure


def attention(found: Attention) -> Figure:
    """Draws the attention weights, a heat map per head."""
    rows, timesteps = next(iter(found.weights.values())).shape
    columns = min(MOST_COLUMNS, len(found.weights))
    lines = -(-len(found.weights) // columns)
    width, height = (float(np.clip(0.45 * size, 2.2, 5.5)) for size in (timesteps, rows))
    figure = Figure(
        figsize=(max(5.0, columns * (width + 0.5) + 1.2), lines * (height + 0.9) + 0.6),
        layout="constrained",
    )
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[len(found.weights) :]:
        axes.axis("off")
    for axes, (name, weights) in zip(grid.flat, found.weights.items(), strict=False):
        image = _heat(axes, weights, 1.0)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("attended timestep")
    for axes in grid[:, 0]:
        axes.set_ylabel("answer" if found.by_answer else "attending timestep")
    figure.colorbar(image, ax=grid, label="mean weight")
    figure.suptitle(f"Attention, over {found.windows:,} windows", fontsize=10)
    return figure


def gradient(found: Gradient) -> Figure:
    """Draws how much each answer depends on each timestep of the window."""
    rows, timesteps = found.norm.shape
    width, height = (float(np.clip(0.45 * size, 2.2, 7.0)) for size in (timesteps, rows))
    figure = Figure(figsize=(max(5.0, width + 2.2), height + 1.3), layout="constrained")
    axes = figure.subplots()
    image = _heat(axes, found.share, float(np.nanmax(found.share, initial=0.0)) or 1.0)
    axes.set_xlabel("timestep of the window")
    axes.set_ylabel("answer")
    figure.colorbar(image, ax=axes, label="share of the gradient's norm")
    title = f"Gradient of each answer with respect to the input, over {found.windows:,} windows"
    figure.suptitle(title, fontsize=10, wrap=True)
    return figure


def _heat(axes: Axes, values: Floats, most: float) -> AxesImage:
    """Draws [rows, timesteps] from 0 to ``most``."""
    image = axes.imshow(
        values, cmap=UNSIGNED, vmin=0, vmax=most, aspect="auto", interpolation="nearest"
    )
    axes.set_xticks(*_ticks([str(t + 1) for t in range(values.shape[1])]))
    axes.set_yticks(*_ticks([str(row + 1) for row in range(values.shape[0])]))
    return image


def confusion(found: Confusion) -> Figure:
    """Draws what is answered for each integer, and how far wrong answers are off."""
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    matrix, bars = figure.subplots(1, 2, width_ratios=(1.25, 1))
    expected = found.counts.sum(1, keepdims=True)
    shares = found.counts / np.maximum(expected, 1)
    least = 1 / max(1, int(expected.max()))
    scale = LogNorm(vmin=min(least, 0.1), vmax=1)
    last = found.n_values - 0.5
    image = matrix.imshow(
        np.ma.masked_equal(shares, 0),
        cmap=UNSIGNED,
        norm=scale,
        extent=(-0.5, last, last, -0.5),
        interpolation="nearest",
    )
    figure.colorbar(image, ax=matrix, label="share of the answers (white: none)")
    matrix.set_xlabel("integer answered")
    matrix.set_ylabel("integer expected")
    for axis in (matrix.xaxis, matrix.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    answers = int(found.off.sum())
    far = found.off[1:]
    shown = [*far[: FARTHEST - 1], int(far[FARTHEST - 1 :].sum())]
    names = [str(k + 1) for k in range(len(shown) - 1)] + [f"{FARTHEST} or\nmore"]
    if len(far) < FARTHEST:
        shown, names = list(far), [str(k + 1) for k in range(len(far))]
    wrong = int(far.sum())
    bars.bar(names, np.array(shown) / max(1, wrong), color=BLUE)
    if not wrong:
        bars.set_ylim(0, 1)
    bars.set_xlabel("distance from the right integer")
    bars.set_ylabel("share of the wrong answers")
    bars.set_title(f"{wrong:,} of {answers:,} answers are wrong", fontsize=10)
    uncluttered(bars)
    return figure


def errors(found: Errors) -> Figure:
    """Draws the share of wrong integers by place in the echo and by window in the sequence."""
    rows = len(found.row.value)
    figure = Figure(figsize=(5 + min(6.0, 0.25 * rows + 1.5), 3.8), layout="constrained")
    place, row = figure.subplots(1, 2, width_ratios=(1, 1.6), sharey=True)
    _intervals(place, range(1, len(found.place.value) + 1), found.place)
    place.set_xlabel("place in the echo")
    place.set_ylabel("share of integers wrong, 95 % interval")
    numbers = range(found.first_row + 1, found.first_row + rows + 1)
    _intervals(row, numbers, found.row)
    row.set_xlabel("window in the sequence (lines: a batch begins)")
    for begin in range(0, found.first_row + rows, found.batch_size):
        if begin >= found.first_row:
            row.axvline(begin + 0.5, color=GREY, linewidth=0.8)
    row.set_xlim(numbers[0] - 0.7, numbers[-1] + 0.7)
    for axes in (place, row):
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        uncluttered(axes)
    return figure


def skill(found: Skill) -> Figure:
    """Draws the share of right integers by the state that a batch begins with."""
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    start, batches = figure.subplots(1, 2, width_ratios=(1, 1.5), sharey=True)
    shares = [found.start[name] for name in STARTS]
    together = Shares(*(np.array([float(getattr(s, part)) for s in shares]) for part in _PARTS))
    _intervals(start, range(len(STARTS)), together)
    start.set_xticks(range(len(STARTS)), list(STARTS.values()))
    start.set_xlim(-0.5, len(STARTS) - 0.5)
    where = "each batch but the first" if found.per_sequence > 1 else "the batch after a sequence"
    start.set_xlabel(f"state before {where} (dotted: guessing)")
    start.set_ylabel("share of integers right, 95 % interval")
    count = len(found.batches.value)
    _intervals(batches, range(1, count + 1), found.batches)
    batches.axvline(found.trained + 0.5, color=ORANGE, linestyle="--", linewidth=1)
    batches.annotate(
        "beyond the training",
        (found.trained + 0.5, 0.5),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        color=ORANGE,
        fontsize=8,
    )
    batches.set_xlabel("batch, counted from a state of zero")
    batches.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (start, batches):
        axes.axhline(found.chance, color=GREY, linestyle=":", linewidth=1)
        axes.set_ylim(-0.02, 1.02)
        uncluttered(axes)
    return figure


_PARTS = ("value", "low", "high")


def _intervals(axes: Axes, x: Sequence[int], shares: Shares) -> None:
    below, above = shares.value - shares.low, shares.high - shares.value
    axes.errorbar(
        x,
        shares.value,
        yerr=np.clip([below, above], 0, None),
        color=BLUE,
        fmt="o",
        markersize=4,
        capsize=2,
        linewidth=1,
    )


def _by_peak(values: Floats) -> list[int]:
    """Orders units by the timestep of their largest value, then by that value, [T, U] -> [U]."""
    order: list[int] = np.lexsort((-values.max(0), values.argmax(0))).tolist()
    return order


def _width(timesteps: int) -> float:
    """Returns the width, in inches, of two panels of that many timesteps."""
    return float(np.clip(2.6 + 0.9 * timesteps, 7.5, 13))


def _timesteps(layer: str, count: int, found: States) -> list[str]:
    """Returns the labels of timesteps: their numbers, and the integers read or answered."""
    shown = found.window if reads(layer) else found.echo
    if len(shown) != count:
        return [str(t + 1) for t in range(count)]
    return [f"{t + 1}\n({integer})" for t, integer in enumerate(shown)]


def _by_timestep(layer: str, timesteps: int) -> bool:
    return reads(layer) and timesteps > 1


def _done(layer: str) -> str:
    return "after the whole window" if reads(layer) else "after answering timestep"


def _label_timesteps(axes: Axes, labels: Sequence[str], layer: str) -> None:
    axes.set_xticks(*_ticks(labels), fontsize=8)
    told = "(integer read)" if reads(layer) else "(integer answered)"
    shown = f" {told}" if any("(" in label for label in labels) else ""
    axes.set_xlabel(f"timestep{shown}")


def _ticks(labels: Sequence[str]) -> tuple[list[int], list[str]]:
    """Returns every tick, or so few of them that their labels can be read."""
    places = list(range(0, len(labels), -(-len(labels) // MOST_TICKS)))
    return places, [labels[place] for place in places]


def _write_shares(axes: Axes, shares: Floats, above: Floats) -> None:
    """Writes the shares into their cells, and a dot where one is not above shuffled integers."""
    few = max(shares.shape) <= MOST_NUMBERS
    for (t, position), share in np.ndenumerate(shares):
        text = "•" if not above[t, position] else f"{share:.2f}" if few else ""
        color = "black" if share > 0.6 else "white"
        size = 8 if few else 5
        axes.text(position, t, text, ha="center", va="center", color=color, fontsize=size)
