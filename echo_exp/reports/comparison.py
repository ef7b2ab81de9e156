"""Compares any runs side by side: the settings that differ, their scores and their curves."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from echo_exp import configuration
from echo_exp.configuration.swept import shown
from echo_exp.metrics import definition
from echo_exp.reports import rendering, sweep_figures
from echo_exp.reports.estimates import Estimate
from echo_exp.reports.jobs import CURVE, Job, Setting, curves, job
from echo_exp.reports.records import Curve
from echo_exp.reports.rendering import ENVIRONMENT, estimated, safe
from echo_exp.settings import SettingError
from echo_exp.sweeps.ranking import interval
from echo_exp.tracking.access import reader
from echo_exp.tracking.access.connection import Access, mends, reason
from echo_exp.tracking.access.rows import typed
from echo_exp.tracking.settings import LAST

RUNS = "runs"
MOST_RUNS = 100
"""More runs are compared by the report of a sweep, or with `echo_exp.runs`."""
MOST_CURVES = 12
RUN_ID = re.compile(r"\w+")
"""A single word is the id of a run; anything else is a filter."""
SCORES = ("test/accuracy", "test/sequence_accuracy", "test/mae", "test/loss", "epochs_to_solve")
"""The scores that are shown of each run that has them."""


@dataclass(frozen=True)
class Comparison:
    """Runs that are compared side by side.

    Attributes:
        jobs: The runs.
        axes: The settings in which they differ.
        metrics: The metrics that are compared; the first also as differences.
    """

    jobs: Sequence[Job]
    axes: Sequence[str]
    metrics: Sequence[str]


def find(access: Access, experiment: str, which: Any) -> list[Run]:
    """Finds the runs that the user has named.

    Args:
        access: The tracking store.
        experiment: The experiment in which a filter, or ``last``, looks for runs.
        which: Ids of runs, ``last`` for the newest, or a filter in the syntax of MLflow's search;
            one of these or a list.

    Raises:
        SettingError: No run matches, too many match, or MLflow refuses the filter.
    """
    named = [which] if isinstance(which, str) else which
    if not isinstance(named, Sequence) or not all(isinstance(name, str) for name in named):
        reason = "it must be a list of run ids, `last`, or a filter of MLflow's search"
        raise SettingError(RUNS, which, reason)
    found: dict[str, Run] = {}
    for name in named:
        found |= {run.info.run_id: run for run in _named(access, experiment, name)}
    if not found:
        raise SettingError(RUNS, which, f"it matches no run of experiment {experiment}")
    if len(found) > MOST_RUNS:
        reason = f"it selects more than {MOST_RUNS} runs, the most that a report can show"
        raise SettingError(RUNS, which, reason)
    return list(found.values())


def _named(access: Access, experiment: str, name: str) -> list[Run]:
    client = access.client
    if name != LAST and not RUN_ID.fullmatch(name):
        folder = reader.experiment(client, experiment)
        if folder is None:
            raise SettingError("tracking.experiment", experiment, "there is no such experiment")
        query = f"tags.kind = 'run' and {name}"
        try:
            return list(client.search_runs([folder.experiment_id], query, 1, MOST_RUNS + 1))
        except MlflowException as error:
            if mends(error):
                raise
            raise SettingError(RUNS, name, f"MLflow refuses it ({reason(error)})") from None
    return [reader.run(access, experiment, name, RUNS)]


def compare(access: Access, runs: Sequence[Run], metric: str) -> Comparison:
    """Reads runs to compare them side by side.

    Args:
        access: The tracking store.
        runs: The runs.
        metric: The metric that comes first.

    Raises:
        SettingError: No run has finished, or none has the metric.
    """
    parameters = [{k: typed(v) for k, v in run.data.params.items()} for run in runs]
    axes = configuration.swept(parameters)
    jobs = [job(access, run, params, axes) for run, params in zip(runs, parameters, strict=True)]
    times = Counter(each.named for each in jobs)
    jobs = [each if times[each.named] == 1 else _with_id(each) for each in jobs]
    known = {name for each in jobs for name in each.scores}
    if not known:
        status = ", ".join(f"{each.run_id} is {each.status}" for each in jobs)
        raise SettingError(RUNS, [each.run_id for each in jobs], f"none has finished: {status}")
    if metric not in known:
        raise SettingError("metric", metric, f"the runs have {', '.join(sorted(known))}")
    others = [name for name in SCORES if name in known and name != metric]
    return Comparison(jobs, axes, [metric, *others])


def _with_id(each: Job) -> Job:
    """Returns a run with its id in its name, because another run has the same name."""
    return dataclasses.replace(each, named=f"{each.named} ({str(each.run_id)[:8]})")


def score(each: Job, metric: str) -> Estimate:
    """Returns a run's mean score with its 95 % interval.

    The interval is that over the seeds; for a single seed, that over its test windows.

    Args:
        each: The run.
        metric: The score.

    Returns:
        The mean of the finite scores with its interval; NaN if there is none.
    """
    values = each.scores.get(metric, np.empty(0))
    values = values[np.isfinite(values)]
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    mean = float(values.mean())
    if len(values) > 1:
        student = interval(mean, float(values.std(ddof=1)), len(values))
        low, high = np.clip(student, *definition(metric).span)  # NaN stays NaN
        return Estimate(mean, float(low), float(high))
    ends = [each.scores.get(f"{metric}_{end}", np.array([np.nan])) for end in ("low", "high")]
    return Estimate(mean, *(float(end[0]) for end in ends))


def difference(first: Estimate, other: Estimate) -> Estimate:
    """Returns other minus first; its interval follows from both intervals (Zou and Donner 2008).

    Args:
        first: The first estimate.
        other: The other, independent of the first.
    """
    low = math.hypot(other.value - other.low, first.high - first.value)
    high = math.hypot(other.high - other.value, first.value - first.low)
    value = other.value - first.value
    return Estimate(value, value - low, value + high)


def write(found: Comparison, lines: Mapping[str, Curve], folder: Path) -> list[str]:
    """Writes the comparison of runs into a folder.

    Args:
        found: The runs.
        lines: The learning curves of runs, by their names.
        folder: The folder.

    Returns:
        A line for the screen for each run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(_rows(found))
    frame.to_csv(folder / "runs.csv", index=False, lineterminator="\n")
    images = {}
    if lines:
        figure = sweep_figures.curves(lines, CURVE)
        images["curves"] = rendering.save(figure, folder / "curves")
    several = len(found.jobs) > 1
    title = f"{len(found.jobs)} runs side by side" if several else "One run"
    text = ENVIRONMENT.get_template("runs.md.j2").render(
        axes=found.axes,
        found=found,
        images=images,
        metrics=found.metrics,
        named=lambda name: definition(name).words,
        safe=safe,
        several=several,
        title=title,
        score=lambda each, metric: estimated(score(each, metric)),
        setting=_setting,
        against=lambda each: _against(found, each),
    )
    rendering.write(text, title, images, folder)
    return [_line(found, each) for each in found.jobs]


def _setting(each: Job, axis: str) -> str:
    return safe(shown(each.parameters[axis])) if axis in each.parameters else ""


def _against(found: Comparison, each: Job) -> str:
    """Returns the difference of a run to the first one, in words."""
    first = found.jobs[0]
    if each is first or not (first.finished and each.finished):
        return ""
    return estimated(difference(*(score(run, found.metrics[0]) for run in (first, each))))


def _line(found: Comparison, each: Job) -> str:
    outcome = estimated(score(each, found.metrics[0])) if each.finished else each.status
    against = _against(found, each)
    return f"{each.named}: {outcome}{f'; against the first {against}' if against else ''}"


def _rows(found: Comparison) -> Iterator[dict[str, Any]]:
    for each in found.jobs:
        row: dict[str, Any] = {axis: each.parameters.get(axis) for axis in found.axes}
        for metric in found.metrics:
            row |= score(each, metric).row(metric)
        yield row | {"status": each.status, "run": each.run_id}


def curves_of(access: Access, found: Comparison) -> Mapping[str, Curve]:
    """Reads the learning curves of the first runs that have finished, by their names.

    Args:
        access: The tracking store.
        found: The runs.
    """
    shown = [each for each in found.jobs if each.finished][:MOST_CURVES]
    return curves(access, [Setting({}, each.named, [each]) for each in shown])
