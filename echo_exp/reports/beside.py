"""Any runs beside each other: the settings that differ, their scores, their curves."""

import math
import re
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

RUNS = "runs"
MOST_RUNS = 100
"""More are a matter of a sweep, or of `echo_exp.runs`."""
MOST_CURVES = 12
RUN_ID = re.compile(r"\w+")
"""What is no such word is a filter."""
SCORES = ("test/accuracy", "test/sequence_accuracy", "test/mae", "test/loss", "epochs_to_solve")
"""What is told of each run, of what it has."""


@dataclass(frozen=True)
class Beside:
    """Runs beside each other.

    Attributes:
        jobs: The runs.
        axes: The settings in which they differ.
        metrics: What is compared, the first as differences too.
    """

    jobs: Sequence[Job]
    axes: Sequence[str]
    metrics: Sequence[str]


def find(access: Access, experiment: str, which: Any) -> list[Run]:
    """Finds runs.

    Args:
        access: The tracking store.
        experiment: The experiment that a filter, or ``last``, looks in.
        which: Ids of runs, ``last`` for the newest, or a filter in the syntax of MLflow's search.

    Raises:
        SettingError: There are none, too many, or MLflow refuses the filter.
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
        raise SettingError(
            RUNS, which, f"it selects {len(found)} runs; a report can show at most {MOST_RUNS}"
        )
    return list(found.values())


def _named(access: Access, experiment: str, name: str) -> list[Run]:
    client = access.client
    if name != reader.LAST and not RUN_ID.fullmatch(name):
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


def put(access: Access, runs: Sequence[Run], metric: str) -> Beside:
    """Puts runs beside each other.

    Args:
        access: The tracking store.
        runs: The runs.
        metric: What is compared first.

    Raises:
        SettingError: None has finished, or none has the metric.
    """
    every = [{k: typed(v) for k, v in run.data.params.items()} for run in runs]
    axes = configuration.swept(every)
    jobs = [job(access, run, own, axes) for run, own in zip(runs, every, strict=True)]
    known = {name for each in jobs for name in each.scores}
    if not known:
        status = ", ".join(f"{each.run_id} is {each.status}" for each in jobs)
        raise SettingError(RUNS, [each.run_id for each in jobs], f"none has finished: {status}")
    if metric not in known:
        raise SettingError("metric", metric, f"the runs have {', '.join(sorted(known))}")
    others = [name for name in SCORES if name in known and name != metric]
    return Beside(jobs, axes, [metric, *others])


def score(each: Job, metric: str) -> Estimate:
    """Returns a run's score with a 95 % interval: over its seeds, of a single one over its windows.

    Args:
        each: The run.
        metric: The score.
    """
    values = each.scores.get(metric, np.empty(0))
    values = values[np.isfinite(values)]
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    mean = float(values.mean())
    if len(values) > 1:
        return Estimate(mean, *interval(mean, float(values.std(ddof=1)), len(values)))
    ends = [each.scores.get(f"{metric}_{end}", np.array([np.nan])) for end in ("low", "high")]
    return Estimate(mean, *(float(end[0]) for end in ends))


def difference(first: Estimate, other: Estimate) -> Estimate:
    """Returns other minus first with an interval from those of both (Zou and Donner 2008)."""
    low = math.hypot(other.value - other.low, first.high - first.value)
    high = math.hypot(other.high - other.value, first.value - first.low)
    value = other.value - first.value
    return Estimate(value, value - low, value + high)


def write(found: Beside, lines: Mapping[str, Curve], folder: Path) -> list[str]:
    """Writes runs beside each other into a folder; returns them as lines for the screen."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(_rows(found))
    frame.to_csv(folder / "runs.csv", index=False, lineterminator="\n")
    images = {}
    if lines:
        figure = sweep_figures.curves(lines, CURVE)
        images["curves"] = rendering.save(figure, folder / "curves")
    text = ENVIRONMENT.get_template("runs.md.j2").render(
        axes=found.axes,
        found=found,
        images=images,
        metrics=found.metrics,
        named=lambda name: definition(name).label.replace("\n", " "),
        safe=safe,
        score=lambda each, metric: estimated(score(each, metric)),
        setting=_setting,
        against=lambda each: _against(found, each),
    )
    (folder / "report.md").write_text(text, encoding="utf-8")
    page = rendering.html(text, f"{len(found.jobs)} runs", images)
    (folder / "report.html").write_text(page, encoding="utf-8")
    return [_line(found, each) for each in found.jobs]


def _setting(each: Job, axis: str) -> str:
    return safe(shown(each.parameters[axis])) if axis in each.parameters else ""


def _against(found: Beside, each: Job) -> str:
    first = found.jobs[0]
    if each is first or not (first.finished and each.finished):
        return ""
    return estimated(difference(*(score(run, found.metrics[0]) for run in (first, each))))


def _line(found: Beside, each: Job) -> str:
    told = estimated(score(each, found.metrics[0])) if each.finished else each.status
    against = _against(found, each)
    return f"{each.named}: {told}{f'; against the first {against}' if against else ''}"


def _rows(found: Beside) -> Iterator[dict[str, Any]]:
    for each in found.jobs:
        row: dict[str, Any] = {axis: each.parameters.get(axis) for axis in found.axes}
        for metric in found.metrics:
            measured = score(each, metric)
            row |= {metric: measured.value}
            row |= {f"{metric}_low": measured.low, f"{metric}_high": measured.high}
        yield row | {"status": each.status, "run": each.run_id}


def curves_of(access: Access, found: Beside) -> Mapping[str, Curve]:
    """Reads the learning curves of the first runs that have finished, by their names."""
    shown = [each for each in found.jobs if each.finished][:MOST_CURVES]
    return curves(access, [Setting({}, each.named, [each]) for each in shown])
