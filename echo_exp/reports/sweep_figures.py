"""The figures of a sweep's report: the score over what was swept, and learning curves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from echo_exp import configuration
from echo_exp.configuration.swept import FEW_DIGITS, shown
from echo_exp.metrics import definition
from echo_exp.reports import style
from echo_exp.reports.effects import MOST_LEVELS, Effects, order
from echo_exp.reports.jobs import Setting
from echo_exp.reports.records import Curve
from echo_exp.sweeps.ranking import Ranked
from echo_exp.training.figures import GREY, uncluttered
from echo_exp.training.replicas import Floats

Means = Mapping[str, Ranked]
"""The ranked settings, by their names."""
MANY_WORDS = 4
"""If an axis has more words, they are slanted."""
WIDE = 10
"""Values that spread over more than this factor have a logarithmic axis."""
MOST_ANNOTATED = 60
"""The cells of a larger heat map have no numbers."""


def scores(
    settings: Sequence[Setting], factors: Sequence[str], means: Means, metric: str
) -> Figure:
    """Draws the scores over what was swept, in a way that depends on the number of factors.

    Args:
        settings: The settings.
        factors: What was swept, without the seed.
        means: The ranking of the settings.
        metric: The score.
    """
    settings = [setting for setting in settings if setting.named in means]
    factors = distinguishing(settings, factors)
    if len(factors) == 2 and gridded(settings, factors):
        return _two(settings, factors, means, metric)
    if len(factors) > 1:
        return _many(settings, factors, means, metric)
    figure, ((axes,),) = style.grid(1, 1)
    _over(axes, settings, factors[0] if factors else None, means, metric)
    style.same_height([axes], metric)
    return figure


def distinguishing(settings: Sequence[Setting], factors: Sequence[str]) -> list[str]:
    """Returns the factors in which settings differ: those of failed jobs may be gone.

    Args:
        settings: The settings.
        factors: What was swept, without the seed.
    """
    return [f for f in factors if len({str(s.values.get(f)) for s in settings}) > 1]


def gridded(settings: Sequence[Setting], factors: Sequence[str]) -> bool:
    """Returns whether settings fill more than half of the grid of their values.

    Those of a search do not.

    Args:
        settings: The settings.
        factors: What was swept, without the seed.
    """
    if any(factor not in setting.values for setting in settings for factor in factors):
        return False
    cells = math.prod(len(order([s.values[factor] for s in settings])) for factor in factors)
    return 2 * len(settings) > cells


def _two(settings: Sequence[Setting], factors: Sequence[str], means: Means, metric: str) -> Figure:
    """Draws a heat map of the means, and beside it a line for each value of one factor."""
    levels = [order([setting.values[factor] for setting in settings]) for factor in factors]
    if len(levels[1]) > len(levels[0]):
        factors, levels = factors[::-1], levels[::-1]
    x, other = factors
    figure, ((heat, lines),) = style.grid(1, 2)
    values = np.full((len(levels[1]), len(levels[0])), np.nan)
    for setting in settings:
        place = levels[1].index(setting.values[other]), levels[0].index(setting.values[x])
        values[place] = means[setting.named].mean
    low, high = _limits(values, metric)
    middle = low + 0.6 * (high - low)
    drawn = heat.imshow(values, aspect="auto", origin="lower", cmap="viridis", vmin=low, vmax=high)
    if values.size <= MOST_ANNOTATED:
        for row, column in np.argwhere(np.isfinite(values)):
            value = float(values[row, column])
            color = "white" if value < middle else "black"  # on the dark half of the colours
            look: dict[str, Any] = {"color": color, "ha": "center", "va": "center", "size": 8}
            heat.text(column, row, f"{value:.3g}", **look)
    figure.colorbar(drawn, ax=heat, label=definition(metric).label)
    _levels(heat.xaxis, levels[0])
    _levels(heat.yaxis, levels[1])
    heat.set_xlabel(configuration.short(x))
    heat.set_ylabel(configuration.short(other))
    for number, level in enumerate(levels[1]):
        on_line = [setting for setting in settings if setting.values[other] == level]
        label = f"{configuration.short(other)} {shown(level, FEW_DIGITS)}"
        _over(lines, on_line, x, means, metric, levels[0], number, len(levels[1]), label)
    style.same_height([lines], metric)
    figure.legend(loc="outside lower center", ncols=min(len(levels[1]), 4), frameon=False)
    return figure


def _many(settings: Sequence[Setting], factors: Sequence[str], means: Means, metric: str) -> Figure:
    """Draws a panel per factor: the mean of each setting, and the mean over each value."""
    rows = -(-len(factors) // style.COLUMNS)
    figure, grid = style.grid(rows, min(len(factors), style.COLUMNS))
    panels = [axes for row in grid for axes in row]
    for axes, factor in zip(panels, factors, strict=False):
        _marginal(axes, [s for s in settings if factor in s.values], factor, means)
    style.same_height(panels[: len(factors)], metric)
    for axes in panels[len(factors) :]:
        axes.remove()
    for row in grid:
        row[0].set_ylabel(definition(metric).label)
    return figure


def _marginal(axes: Axes, settings: Sequence[Setting], factor: str, means: Means) -> None:
    """Draws the mean of each setting over one factor, and the mean over each of its values."""
    levels = order([setting.values[factor] for setting in settings])
    many = len(levels) > MOST_LEVELS or 2 * len(levels) > len(settings) > 2
    scattered = many and style.numbers(levels)
    places = levels if scattered else range(len(levels))
    place = dict(zip(levels, places, strict=True))
    random = np.random.default_rng(0)  # for the jitter
    width = 0.0 if scattered else 0.15
    found = [(place[setting.values[factor]], means[setting.named].mean) for setting in settings]
    x = np.array([at for at, _ in found]) + random.uniform(-width, width, len(found))
    axes.plot(x, [mean for _, mean in found], "o", color=style.COLORS[0], alpha=0.3, ms=3)
    if not scattered:
        marginal = [np.mean([m for at, m in found if at == here]) for here in place.values()]
        axes.plot(list(place.values()), marginal, "o-", color=style.COLORS[0], mec="black", ms=7)
        _levels(axes.xaxis, levels)
        axes.set_xlim(-0.6, len(levels) - 0.4)
    elif levels[0] > 0 and levels[-1] > WIDE * levels[0]:
        axes.set_xscale("log")
    axes.set_xlabel(configuration.short(factor))
    uncluttered(axes)


def _over(
    axes: Axes,
    settings: Sequence[Setting],
    factor: str | None,
    means: Means,
    metric: str,
    levels: Sequence[Any] | None = None,
    number: int = 0,
    of: int = 1,
    label: str = "",
) -> None:
    """Draws each seed over one factor, with means and intervals; a line connects the means.

    Of several lines, each is shifted a little, so that intervals lie side by side.
    """
    known = [setting.values.get(factor) if factor else "" for setting in settings]
    levels = order(known) if levels is None else levels
    random = np.random.default_rng(0)  # for the jitter
    color, marker = style.color(number), style.marker(number)
    step = min(0.12, 0.6 / of)
    shift, width = style.shift(number, of, step), 0.15 if of == 1 else step / 2
    points = []
    for level, setting in sorted(
        zip(known, settings, strict=True), key=lambda pair: levels.index(pair[0])
    ):
        x, values, mean = levels.index(level) + shift, setting.scores(metric), means[setting.named]
        jitter = random.uniform(-width, width, len(values))
        axes.plot(x + jitter, values, marker, color=color, alpha=0.35, ms=4, mew=0)
        if np.isfinite(mean.low):
            axes.vlines(x, mean.low, mean.high, color=color, linewidth=1.5)
        points.append((x, mean.mean))
    line = "-" if style.numbers(levels) else ""
    axes.plot(
        *zip(*points, strict=True), marker + line, color=color, mec="black", ms=7, label=label
    )
    _levels(axes.xaxis, levels)
    axes.set_xlim(-0.6, len(levels) - 0.4)
    axes.set_xlabel(configuration.short(factor) if factor else "all seeds")
    axes.set_ylabel(definition(metric).label)
    uncluttered(axes)


def importance(found: Effects) -> Figure:
    """Draws how the variance of the score divides among factors, their interactions and seeds.

    Args:
        found: The shares of the variance.
    """
    shares = {configuration.short(e.factor): e.share for e in found.factors}
    shares["interactions"] = found.together
    if np.isfinite(found.seeds):
        shares["seeds"] = found.seeds
    return _bars(shares, "share of the variance (η²)")


def importance_of_search(found: Mapping[str, float]) -> Figure:
    """Draws the importance of each setting in a search.

    Args:
        found: The importances, by the names of the settings.
    """
    shares = {configuration.short(name): share for name, share in found.items()}
    return _bars(shares, "importance (PED-ANOVA)")


def _bars(shares: Mapping[str, float], label: str) -> Figure:
    figure, ((axes,),) = style.grid(1, 1)
    figure.set_figheight(1.1 + 0.28 * len(shares))
    axes.barh(list(shares)[::-1], list(shares.values())[::-1], color=style.COLORS[0])
    axes.set_xlabel(label)
    axes.set_xlim(0, 1)
    uncluttered(axes)
    return figure


def parallel(
    settings: Sequence[Setting], factors: Sequence[str], means: Means, metric: str
) -> Figure | None:
    """Draws each setting that has all factors as a line through its values, coloured by its score.

    Args:
        settings: The settings.
        factors: What was swept, without the seed.
        means: The ranking of the settings.
        metric: The score.

    Returns:
        The figure; None if no setting has all factors.
    """
    settings = [s for s in settings if s.named in means and len(s.values) == len(factors)]
    if not settings:
        return None
    levels = {factor: order([s.values[factor] for s in settings]) for factor in factors}
    order_of = {
        factor: {level: place / max(1, len(found) - 1) for place, level in enumerate(found)}
        for factor, found in levels.items()
    }
    figure, ((axes,),) = style.grid(1, 1)
    figure.set_figwidth(style.WIDTH * 2)
    random = np.random.default_rng(0)
    scored = sorted(settings, key=lambda s: means[s.named].mean)
    measured = [means[s.named].mean for s in scored]
    low, high = _limits(np.array(measured), metric)
    colors = ScalarMappable(Normalize(low, high if high > low else low + 1), "viridis")
    figure.colorbar(colors, ax=axes, label=definition(metric).label)
    for setting, score in zip(scored, measured, strict=True):
        heights = np.array([order_of[factor][setting.values[factor]] for factor in factors])
        heights += random.uniform(-0.02, 0.02, len(factors))  # so that lines do not hide each other
        axes.plot(heights, color=colors.to_rgba(np.array(score)), alpha=0.8)
    for place, factor in enumerate(factors):
        axes.axvline(place, color=GREY, linewidth=0.8)
        found = levels[factor]
        few = found if len(found) <= MOST_LEVELS else [found[0], found[-1]]
        for level in few:
            height = order_of[factor][level]
            axes.annotate(
                shown(level, FEW_DIGITS),
                (place, height),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                size=7,
                bbox={"facecolor": "white", "alpha": 0.7, "pad": 0.5, "linewidth": 0},
            )
    axes.set_xticks(range(len(factors)), [configuration.short(f, factors) for f in factors])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.1, len(factors) - 0.6)
    return figure


def curves(found: Mapping[str, Curve], metric: str) -> Figure:
    """Draws a metric over the epochs: each setting's median, with a 5-95 % band of several seeds.

    Args:
        found: The epochs [E] and the values of the seeds [E, n] of each setting, by its name.
        metric: The metric.
    """
    figure, ((axes,),) = style.grid(1, 1)
    figure.set_figwidth(style.WIDTH * 2)
    for number, (name, (epochs, values)) in enumerate(found.items()):
        low, median, high = np.nanquantile(values, [0.05, 0.5, 0.95], axis=1)
        style.curve(axes, number, name, epochs, median, (low, high))
    style.same_height([axes], metric)
    axes.set_xlim(left=0)
    axes.set_xlabel("epochs (one fresh sequence each)")
    band = any(values.shape[1] > 1 for _, values in found.values())
    axes.set_ylabel(definition(metric).label + ("\n(median, 5–95 % of seeds)" if band else ""))
    if any(found):
        figure.legend(loc="outside right center", frameon=False, fontsize=8)
    uncluttered(axes)
    return figure


def _limits(values: Floats, metric: str) -> tuple[float, float]:
    """Returns the ends of a scale of colours; they are 0 and 1 for a share."""
    if definition(metric).share:
        return 0.0, 1.0
    return float(np.nanmin(values)), float(np.nanmax(values))


def _levels(axis: Any, levels: Sequence[Any]) -> None:
    words = [shown(level, FEW_DIGITS) for level in levels]
    axis.set_ticks(range(len(levels)), words)
    if axis.axis_name == "x" and (len(words) > MANY_WORDS or max(map(len, words)) > 8):
        for label in axis.get_ticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor", size=8)
