"""The figures of a search, drawn without a screen; Optuna computes the importances.

Optuna's own figures cut off long names, such as those of this program's settings.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from echo_exp.sweeps.search.goals import Constraint, Objective
from echo_exp.sweeps.search.settings import SearchSettings
from echo_exp.training.figures import BLUE, GREY, ORANGE, uncluttered

DPI = 150
WIDTH, HEIGHT = 3.4, 2.9  # inches of a panel
COLUMNS = 3
WIDE = 100
COLORS = "viridis"
MOST_LETTERS = 18  # of a choice below an axis
MOST_ACROSS = 24  # letters of all choices below an axis; with more they are slanted
LETTERS_AN_INCH = 12  # of the legend
SPREAD = 0.15  # of the trials with the same choice, so that they do not hide each other
KINDS = {  # label, colour, marker, filled
    "best": ("best", ORANGE, "o", True),
    "allowed": ("other trials", BLUE, "o", True),
    "outside": ("outside the constraints", GREY, "x", False),
}

Kind = Callable[[FrozenTrial], str]
Importances = Mapping[str, Mapping[str, float]]
"""How important each setting is, by its name, for each metric, as shares of 1."""


def draw(
    study: optuna.Study,
    settings: SearchSettings,
    best: Sequence[FrozenTrial],
    important: Importances,
) -> dict[str, Figure]:
    """Draws the figures for which there are enough trials, and returns them by their names.

    Args:
        study: All trials.
        settings: The search's settings.
        best: The best trial, or the Pareto front.
        important: How important each setting is for each metric.
    """
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    numbers = {trial.number for trial in best}

    def kind(trial: FrozenTrial) -> str:
        if trial.number in numbers:
            return "best"
        return "outside" if any(v > 0 for v in trial.constraints.values()) else "allowed"

    found: dict[str, Figure] = {}
    if not finished:
        return found
    goals = settings.objectives
    measures = _measures(settings)
    found["history"] = _history(finished, goals, kind)
    names = _varied(finished)
    if names:
        found["slices"] = _slices(finished, names, measures, kind)
    if important:
        found["importances"] = _bars(important)
        bounded = [metric for metric in important if metric not in {g.metric for g in goals}]
        metric = [*bounded, *important][0]  # the metric of a constraint, if there is one
        found["map"] = _map(finished, _first_two(important[metric]), metric, measures[metric].of)
    if len(goals) > 1:
        found["pareto_front"] = _front(finished, goals, kind)
    reported = [trial for trial in study.trials if trial.intermediate_values]
    if settings.pruner is not None and reported:
        found["validations"] = _validations(reported, goals[0], numbers)
    return found


@dataclass(frozen=True)
class _Measure:
    """A metric by which trials are judged.

    Attributes:
        of: Returns its value in a trial.
        low: Whether low values are better.
        bound: The bound of its constraint; None if it has none.
    """

    of: Callable[[FrozenTrial], float]
    low: bool
    bound: float | None = None

    def cost(self, trial: FrozenTrial) -> float:
        """Returns its value in a trial with the sign with which low values are better."""
        return self.of(trial) if self.low else -self.of(trial)


def _measures(settings: SearchSettings) -> dict[str, _Measure]:
    """Returns the metrics of the objectives, then those of the constraints."""
    objectives = {
        objective.metric: _Measure(_value(index), objective.direction == "minimize")
        for index, objective in enumerate(settings.objectives)
    }
    constraints = {
        each.metric: _Measure(_bounded(each), each.most, each.bound)
        for each in settings.constraints
    }
    return objectives | {m: each for m, each in constraints.items() if m not in objectives}


def _value(index: int) -> Callable[[FrozenTrial], float]:
    return lambda trial: float(trial.values[index])


def _bounded(constraint: Constraint) -> Callable[[FrozenTrial], float]:
    return lambda trial: constraint.value(trial.constraints[str(constraint)])


def _history(trials: Sequence[FrozenTrial], goals: Sequence[Objective], kind: Kind) -> Figure:
    """Draws each objective over the trials; a single one also has a line of the best so far."""
    figure, panels = _panels(len(goals))
    for index, (axes, goal) in enumerate(zip(panels, goals, strict=True)):
        _scatter(axes, trials, lambda t: t.number, _value(index), kind)
        axes.set(xlabel="trial", ylabel=goal.metric)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _wide(axes, "y", [trial.values[index] for trial in trials])
        allowed = [trial for trial in trials if kind(trial) != "outside"]
        if len(goals) == 1 and allowed:
            values = np.array([trial.values[0] for trial in allowed])
            highest = goal.direction == "maximize"
            line = (np.maximum if highest else np.minimum).accumulate(values)
            steps = [trial.number for trial in allowed]
            axes.step(steps, line, where="post", color=ORANGE, linewidth=1, label="best so far")
    _legend(figure, panels)
    return figure


def _slices(
    trials: Sequence[FrozenTrial],
    names: Sequence[str],
    measures: Mapping[str, _Measure],
    kind: Kind,
) -> Figure:
    """Draws the metrics over each setting; if there are several, each has a row."""
    columns = len(names) if len(measures) > 1 else 2 if len(names) == 4 else COLUMNS
    figure, panels = _panels(len(names) * len(measures), columns)
    cells = [(metric, name) for metric in measures for name in names]
    for axes, (metric, name) in zip(panels, cells, strict=True):
        measure = measures[metric]
        if measure.bound is not None:
            axes.axhline(measure.bound, color=GREY, linewidth=1, linestyle="--", label="constraint")
        places = _axis(axes, "x", trials, name)
        _scatter(axes, trials, places, measure.of, kind)
        axes.set(xlabel=name, ylabel=metric)
        _wide(axes, "y", [measure.of(trial) for trial in trials])
    _legend(figure, panels)
    return figure


def _bars(important: Importances) -> Figure:
    """Draws the importance of each setting for each metric."""
    names = list(next(iter(important.values())))
    figure = Figure(figsize=(5.6, 0.9 + 0.32 * len(names) * len(important)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(important)
    for index, (metric, shares) in enumerate(important.items()):
        places = np.arange(len(names))[::-1] + 0.4 - height * (index + 0.5)
        values = [shares.get(name, 0.0) for name in names]
        bars = axes.barh(places, values, height * 0.9, color=(BLUE, ORANGE, GREY)[index % 3])
        bars.set_label(metric)
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_yticks(np.arange(len(names))[::-1], names)
    axes.set(xlabel=f"importance for {next(iter(important))}", xlim=(0, 1.12))
    if len(important) > 1:
        axes.set_xlabel("importance")
        axes.legend(frameon=False, loc="best")
    _plain(axes)
    return figure


def _map(
    trials: Sequence[FrozenTrial],
    names: tuple[str, str],
    metric: str,
    of: Callable[[FrozenTrial], float],
) -> Figure:
    """Draws the trials over their two most important settings, coloured by a metric."""
    figure = Figure(figsize=(5.2, 3.8), layout="constrained")
    axes = figure.subplots()
    across, up = (_axis(axes, way, trials, name) for way, name in zip("xy", names, strict=True))
    values = [of(trial) for trial in trials]
    shades = Normalize(min(values), max(values))
    x, y = [across(t) for t in trials], [up(t) for t in trials]
    axes.scatter(x, y, c=values, cmap=COLORS, norm=shades, s=28, edgecolors="white", linewidths=0.4)
    figure.colorbar(ScalarMappable(shades, COLORS), ax=axes, label=metric)
    axes.set(xlabel=names[0], ylabel=names[1])
    _plain(axes)
    return figure


def _front(trials: Sequence[FrozenTrial], goals: Sequence[Objective], kind: Kind) -> Figure:
    """Draws each pair of objectives; if there are only two, with the front as a line."""
    pairs = [(a, b) for a in range(len(goals)) for b in range(a + 1, len(goals))]
    figure, panels = _panels(len(pairs), scale=1.4 if len(pairs) == 1 else 1.0)
    for axes, (a, b) in zip(panels, pairs, strict=False):
        _scatter(axes, trials, _value(b), _value(a), kind)
        axes.set(xlabel=goals[b].metric, ylabel=goals[a].metric)
        _wide(axes, "x", [trial.values[b] for trial in trials])
        _wide(axes, "y", [trial.values[a] for trial in trials])
        if len(goals) == 2:
            front = sorted((t.values[1], t.values[0]) for t in trials if kind(t) == "best")
            axes.step(*zip(*front, strict=True), where="post", color=ORANGE, linewidth=1)
    _legend(figure, panels, {"best": "Pareto front"})
    return figure


def _validations(trials: Sequence[FrozenTrial], goal: Objective, best: set[int]) -> Figure:
    """Draws the validations that each trial reported, with a mark where it was pruned."""
    figure = Figure(figsize=(6.0, 3.8), layout="constrained")
    axes = figure.subplots()
    labels = set()
    for trial in sorted(trials, key=lambda t: t.number in best):
        steps, values = zip(*sorted(trial.intermediate_values.items()), strict=True)
        pruned = trial.state == TrialState.PRUNED
        label = "best" if trial.number in best else "pruned" if pruned else "other trials"
        color = {"best": ORANGE, "pruned": GREY}.get(label, BLUE)
        width = 1.8 if label == "best" else 0.8
        shown = None if label in labels else label
        labels.add(label)
        axes.plot(steps, values, color=color, linewidth=width, alpha=0.9, label=shown)
        if pruned:
            axes.plot(steps[-1], values[-1], "x", color=GREY, markersize=5)
    axes.set(xlabel="epoch", ylabel=goal.metric)
    _plain(axes)
    _legend(figure, [axes])
    return figure


def _scatter(
    axes: Axes,
    trials: Sequence[FrozenTrial],
    x: Callable[[FrozenTrial], float],
    y: Callable[[FrozenTrial], float],
    kind: Kind,
) -> None:
    for name in reversed(KINDS):
        label, color, marker, filled = KINDS[name]
        chosen = [trial for trial in trials if kind(trial) == name]
        if chosen:
            edges = {"edgecolors": "white", "linewidths": 0.4} if filled else {"linewidths": 0.9}
            axes.scatter(
                [x(trial) for trial in chosen],
                [y(trial) for trial in chosen],
                s=26,
                color=color,
                marker=marker,
                label=label,
                zorder=3,
                **edges,
            )
    _plain(axes)


def _axis(
    axes: Axes, way: str, trials: Sequence[FrozenTrial], name: str
) -> Callable[[FrozenTrial], float]:
    """Sets up an axis for a setting; returns the function that gives a trial's place on it."""
    distribution = trials[0].distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        return _choices(axes, way, [str(choice) for choice in distribution.choices], name)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.log:
        axes.set(**{f"{way}scale": "log"})
    elif isinstance(distribution, IntDistribution):
        getattr(axes, f"{way}axis").set_major_locator(MaxNLocator(5, integer=True))
    return lambda trial: float(trial.params[name])


def _choices(
    axes: Axes, way: str, choices: Sequence[str], name: str
) -> Callable[[FrozenTrial], float]:
    labels = [c if len(c) <= MOST_LETTERS else f"{c[: MOST_LETTERS - 1]}…" for c in choices]
    slanted = way == "x" and sum(map(len, labels)) > MOST_ACROSS
    axes.set(**{f"{way}ticks": range(len(choices)), f"{way}lim": (-0.5, len(choices) - 0.5)})
    axes.set(**{f"{way}ticklabels": labels})
    if slanted:
        axes.tick_params("x", labelrotation=25)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")

    def place(trial: FrozenTrial) -> float:
        jitter = SPREAD * math.sin(2.4 * trial.number)  # the same in each figure
        return choices.index(str(trial.params[name])) + jitter

    return place


def _varied(trials: Sequence[FrozenTrial]) -> list[str]:
    """Returns the settings that have more than one value among the trials."""
    names = trials[0].params
    return [name for name in names if len({str(trial.params.get(name)) for trial in trials}) > 1]


def importances(study: optuna.Study, settings: SearchSettings) -> dict[str, dict[str, float]]:
    """Returns how important each setting is for each metric, as shares of 1.

    The importance is that of Optuna's PED-ANOVA (Watanabe et al. 2023). A metric that does not vary
    has none, and neither has a search that varies a single setting.

    Args:
        study: All trials.
        settings: The search's settings.
    """
    found: dict[str, dict[str, float]] = {}
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    names = _varied(finished) if finished else []
    if len(names) < 2:
        return found
    for metric, measure in _measures(settings).items():
        if len({measure.of(trial) for trial in finished}) < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[metric] = optuna.importance.get_param_importances(
                study,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                params=list(names),
                target=measure.cost,  # of given values, the lowest count as the best
            )
    return found


def _first_two(shares: Mapping[str, float]) -> tuple[str, str]:
    first, second, *_ = sorted(shares, key=lambda name: -shares[name])
    return first, second


def _panels(count: int, columns: int = COLUMNS, scale: float = 1.0) -> tuple[Figure, list[Axes]]:
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    size = (max(WIDTH * columns, 4.2) * scale, (HEIGHT * rows + 0.3) * scale)
    figure = Figure(figsize=size, layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def _wide(axes: Axes, way: str, values: Sequence[float]) -> None:
    """Makes the axis of a metric logarithmic if its values differ by more than a factor `WIDE`."""
    if min(values) > 0 and max(values) > WIDE * min(values):
        axes.set(**{f"{way}scale": "log"})


def _plain(axes: Axes) -> None:
    uncluttered(axes)
    axes.set_axisbelow(True)


def _legend(figure: Figure, panels: Sequence[Axes], others: dict[str, str] | None = None) -> None:
    found = {
        (others or {}).get(label, label): handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    letters = sum(len(label) + 6 for label in found)
    room = figure.get_figwidth() * LETTERS_AN_INCH
    columns = len(found) if letters <= room else 2
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=columns, frameon=False
    )
