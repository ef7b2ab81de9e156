"""Reports a search: its best trials, a table of all, figures, and the command of the best."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from echo_exp import configuration, running, terminal
from echo_exp.sweeps import failures
from echo_exp.sweeps.job import reasons
from echo_exp.sweeps.plan import Sweep
from echo_exp.sweeps.ranking import shown
from echo_exp.sweeps.results import report
from echo_exp.sweeps.search import figures
from echo_exp.sweeps.search.figures import Importances
from echo_exp.sweeps.search.goals import IMPORTANCES
from echo_exp.sweeps.search.trials import METRICS, Trials
from echo_exp.tracking import Run, Store
from echo_exp.tracking.ui.view import NOTE_TAG

BEST = 10
"""The most trials that are printed of a search with one objective."""
FRONT = 30
"""The most trials that are printed of a Pareto front."""
FOLDER = "search"
TESTED = "test/accuracy"
CALLED = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def tell(
    trials: Trials,
    sweep: Sweep,
    store: Store | None,
    parent: Run | None,
    folder: Path | None,
) -> None:
    """Prints the best trials of a search and why some failed; records all trials and figures.

    Args:
        trials: All trials.
        sweep: The search as a sweep, whose jobs are the trials.
        store: The tracking store; None if nothing is tracked.
        parent: The parent run; None likewise.
        folder: Where the report is written; None for no report.
    """
    several = len(trials.settings.objectives) > 1
    found = best(trials.study)
    lines = _lines(trials, found[: FRONT if several else BEST])
    if found:
        title = "Pareto front" if several else "best trials"
        print(f"\n{title}:")
        terminal.console().print(terminal.table(lines), "")
        which = "one of them alone, such as the first" if several else "the best alone"
        print(f"to run {which}: {_command(trials, found[0])}")
    why = reasons(trials.results())
    failed = failures.lines(why, "trial")
    important = figures.importances(trials.study, trials.settings)
    summary, sentence = _summary(trials.study), answer(trials, found, important)
    print("\n".join([summary, *failed, sentence]))
    drawn = _figures(trials, found[: None if several else 1], important, sweep.folder, parent)
    print(f"figures: {drawn}")
    if store is not None and parent is not None:
        parent.log_table(columns(trials), "trials.json")
        if important:
            parent.log_table(_table(important), IMPORTANCES)
        parent.log_files(drawn, FOLDER)
        parent.set_tag(NOTE_TAG, sweep.note(lines, summary, failed, sentence))
        if folder is not None and trials.study.get_trials(states=(TrialState.COMPLETE,)):
            report(parent, folder, why)
        print(running.directions(store, parent.stored, sweep.command, sweep=True))


def feasible(study: optuna.Study) -> list[FrozenTrial]:
    """Returns the finished trials that fulfil all constraints.

    Args:
        study: All trials.
    """
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    return [t for t in finished if all(value <= 0 for value in t.constraints.values())]


def best(study: optuna.Study) -> list[FrozenTrial]:
    """Returns the feasible trials, the best first; with several objectives, the Pareto front.

    Args:
        study: All trials.
    """
    maximized = [direction == StudyDirection.MAXIMIZE for direction in study.directions]

    def rank(trial: FrozenTrial) -> list[float]:
        return [-v if m else v for v, m in zip(trial.values, maximized, strict=True)]

    found = study.best_trials if len(maximized) > 1 else feasible(study)
    return sorted(found, key=rank)


def answer(trials: Trials, found: Sequence[FrozenTrial], important: Importances) -> str:
    """Says the result of a search in one sentence.

    Args:
        trials: All trials.
        found: The feasible trials, the best first; with several objectives, the Pareto front.
        important: How important each setting is for each metric.
    """
    search, bounds = trials.settings, ", ".join(map(str, trials.settings.constraints))
    if not found:
        return f"No trial fulfils all of: {bounds}." if bounds else "No trial has finished."
    first = found[0]
    within = f" with {bounds}" if bounds else ""
    if len(search.objectives) > 1:
        goals = " and ".join(map(str, search.objectives))
        return f"{len(found)} trials{within} are on the Pareto front of {goals}."
    metric, (value,) = search.objectives[0].metric, first.values
    sentence = f"Best{within}: {_settings(first)}: {metric} {_number(value)}"
    equal = sum(trial.values == first.values for trial in found[1:])
    if equal:
        sentence += (
            ", 1 other scores the same" if equal == 1 else f", {equal} others score the same"
        )
    shares = important.get(metric, {})
    if shares:
        most = max(shares, key=lambda name: shares[name])
        sentence += f"; {most} matters most ({shares[most]:.0%} of the importance by PED-ANOVA)"
    return f"{sentence}."


def columns(trials: Trials) -> dict[str, list[Any]]:
    """Returns all trials with their settings and metrics as a table, by its columns.

    Args:
        trials: All trials.
    """
    rows, settings = trials.study.trials, trials.space.distributions
    allowed = {trial.number for trial in feasible(trials.study)}
    errors = reasons(trials.results())
    metrics = sorted({name for row in rows for name in _metrics(row)})
    return {
        "trial": [row.number for row in rows],
        **{_column(name, settings): [row.params.get(name) for row in rows] for name in settings},
        "result": [CALLED.get(row.state, row.state.name.lower()) for row in rows],
        "allowed": [row.number in allowed for row in rows],
        "error": [errors.get(row.number, "") for row in rows],
        **{name: [_metrics(row).get(name) for row in rows] for name in metrics},
    }


def _column(setting: str, settings: Iterable[str]) -> str:
    """Returns a setting's name as a title: MLflow shows an empty column where there is a dot."""
    return configuration.short(setting, settings).replace(".", "/")


def _table(important: Importances) -> dict[str, list[Any]]:
    """Returns the importances, which must not be empty, as a table by its columns."""
    rows = [(m, name, share) for m, shares in important.items() for name, share in shares.items()]
    metrics, names, shares = map(list, zip(*rows, strict=True))
    return {"metric": metrics, "setting": names, "share": shares}


def _lines(trials: Trials, rows: Sequence[FrozenTrial]) -> list[Sequence[str]]:
    names = list(dict.fromkeys([*trials.settings.metrics, TESTED]))
    lines: list[Sequence[str]] = [("trial", *names, "settings")]
    lines += [
        (
            str(row.number),
            *(_number(_metrics(row).get(name)) for name in names),
            _settings(row),
        )
        for row in rows
    ]
    return lines


def _settings(trial: FrozenTrial) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in trial.params.items())


def _command(trials: Trials, trial: FrozenTrial) -> str:
    return shlex.join(["echo-exp", *configuration.flags(), *trials.space.overrides(trial.params)])


def _summary(study: optuna.Study) -> str:
    counts = Counter(trial.state for trial in study.trials)
    parts = [f"{counts[state]} {name}" for state, name in CALLED.items() if counts[state]]
    allowed, finished = len(feasible(study)), counts[TrialState.COMPLETE]
    if allowed < finished:
        parts[0] += f" ({allowed} within the constraints)"
    return f"{len(study.trials)} trials: " + ", ".join(parts)


def _figures(
    trials: Trials,
    found: Sequence[FrozenTrial],
    important: Importances,
    folder: Path,
    parent: Run | None,
) -> Path:
    """Draws the figures into the folder in which they stay, and returns it."""
    artifacts = parent.stored.artifacts if parent is not None else None
    drawn = (artifacts or folder) / FOLDER
    drawn.mkdir(parents=True, exist_ok=True)  # another process may draw the same
    for name, figure in figures.draw(trials.study, trials.settings, found, important).items():
        figure.savefig(drawn / f"{name}.png", dpi=figures.DPI)
    return drawn


def _metrics(trial: FrozenTrial) -> Mapping[str, Any]:
    found = trial.user_attrs.get(METRICS, {})
    return found if isinstance(found, Mapping) else {}


def _number(value: Any) -> str:
    return shown(float(value)) if isinstance(value, int | float) else ""


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
