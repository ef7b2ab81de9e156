"""The figures over many tasks: interquartile means and performance profiles."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from echo_exp.metrics import definition
from echo_exp.reports import aggregates, style
from echo_exp.reports.aggregates import THRESHOLDS, Ranking
from echo_exp.reports.answers import Answers
from echo_exp.settings import word
from echo_exp.training.figures import uncluttered


def interquartile(found: Answers, ranked: Sequence[Ranking]) -> Figure:
    """Draws the interquartile mean of each value with its interval, one panel per ranking.

    Args:
        found: What the study's runs say.
        ranked: The rankings of the compared values.
    """
    figure, (row,) = style.grid(1, len(ranked))
    levels = found.levels()
    lowest = min(each.iqm.low for ranking in ranked for each in ranking.aggregates)
    for axes, ranking in zip(row, ranked, strict=True):
        for place, aggregate in enumerate(reversed(ranking.aggregates)):
            number, iqm = levels.index(aggregate.level), aggregate.iqm
            color, marker = style.color(number), style.marker(number)
            axes.hlines(place, iqm.low, iqm.high, color=color, linewidth=5, alpha=0.35)
            axes.plot(iqm.value, place, marker, color=color, mec="black", markersize=5)
            beside = axes.get_yaxis_transform()
            axes.text(1.02, place, f"{iqm.value:.3f}", transform=beside, va="center", fontsize=8)
        names = [word(aggregate.level) for aggregate in reversed(ranking.aggregates)]
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(max(0.0, lowest - 0.05) - 0.03, 1.03)
        axes.set_xlabel(f"{_metric(ranking)}\n(interquartile mean,\n95 % interval)")
        axes.set_title(aggregates.place(found.study, ranking), fontsize=10)
        uncluttered(axes)
    return figure


def profiles(found: Answers, ranked: Sequence[Ranking]) -> Figure:
    """Draws the share of seeds above each score, a line per value and a panel per ranking.

    Args:
        found: What the study's runs say.
        ranked: The rankings of the compared values.
    """
    figure, (row,) = style.grid(1, len(ranked))
    levels = found.levels()
    for axes, ranking in zip(row, ranked, strict=True):
        for aggregate in ranking.aggregates:
            number, profile = levels.index(aggregate.level), aggregate.profile
            band, dashes = (profile.low, profile.high), style.line_style(number)
            name = word(aggregate.level)
            style.curve(axes, number, name, THRESHOLDS, profile.share, band, linestyle=dashes)
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel(f"{_metric(ranking)} τ")
        axes.set_title(aggregates.place(found.study, ranking), fontsize=10)
        uncluttered(axes)
    row[0].set_ylabel("seeds of all tasks above τ\n(share, 95 % interval)")
    style.legend(figure, row)
    return figure


def _metric(ranking: Ranking) -> str:
    return definition(ranking.metric).title
