"""The jobs of a sweep, read back from the tracking store and grouped by setting."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from mlflow.entities import Run

from echo_exp import configuration
from echo_exp.metrics import Better, definition
from echo_exp.reports import records
from echo_exp.reports.records import FAILED, FINISHED, NEVER_RUN, Curve
from echo_exp.settings import SettingError
from echo_exp.sweeps.ranking import Ranked, Score, rank, seeds_that_count
from echo_exp.sweeps.search.goals import IMPORTANCES, Constraint, Goals
from echo_exp.tracking import PRUNED_TAG
from echo_exp.tracking.access import bulk, reader
from echo_exp.tracking.access.connection import Access
from echo_exp.tracking.access.rows import typed
from echo_exp.tracking.ui.view import SWEPT_TAG
from echo_exp.training.replicas import Floats

METRIC = "test/accuracy"
"""The metric by which a sweep is ranked."""
CURVE = "val/accuracy"
PRUNED = "pruned"
"""The status of a job that its search has stopped early."""


@dataclass(frozen=True)
class Job:
    """What the store knows of a job.

    Attributes:
        status: FINISHED, `NEVER_RUN`, `PRUNED`, or how its newest run ended.
        named: Its name in the report.
        parameters: Its settings, with their types; empty if it has no run.
        run_id: Its run, if there is one.
        seeds: Its seeds (R of them); none if it has not finished.
        scores: The scores of each seed, [R], by their names in MLflow; NaN if the seed diverged.
        seconds: The time that the training of all seeds took.
        error: Why it did not finish, in one line, if that is known.
    """

    status: str
    named: str
    parameters: Mapping[str, Any]
    run_id: str | None = None
    seeds: Sequence[int] = ()
    scores: Mapping[str, Floats] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""

    @property
    def finished(self) -> bool:
        """Whether it has finished, so that its scores are known."""
        return self.status == FINISHED

    @property
    def expected(self) -> Sequence[int]:
        """Its seeds, even if it has not finished."""
        first = int(self.parameters.get("seed", 0))
        return self.seeds or range(first, first + int(self.parameters.get("replicas", 1)))


@dataclass(frozen=True)
class Setting:
    """One combination of the swept values, without the seed, and the jobs that have it.

    Attributes:
        values: The value of each factor, without factors that its jobs do not have.
        named: The same in words.
        jobs: Its jobs that have finished or failed.
    """

    values: Mapping[str, Any]
    named: str
    jobs: Sequence[Job]

    def scores(self, metric: str) -> Floats:
        """Returns a metric of all seeds that count, [n].

        Args:
            metric: The metric; it is NaN for seeds that failed or do not have it.
        """
        return np.concatenate(
            [job.scores.get(metric, np.full(count, np.nan)) for job, count in self.counted]
        )

    def fulfils(self, constraint: Constraint) -> bool:
        """Returns whether all seeds of its finished jobs have a metric and their mean fulfils it.

        Args:
            constraint: The constraint.
        """
        return self.measured(constraint.metric) and (
            constraint.violation(float(np.nanmean(self.scores(constraint.metric)))) <= 0
        )

    def measured(self, metric: str) -> bool:
        """Returns whether all seeds of its finished jobs have a metric.

        Args:
            metric: The metric.
        """
        return all(
            metric in job.scores and np.isfinite(job.scores[metric]).all() for job in self.finished
        )

    @cached_property
    def counted(self) -> list[tuple[Job, int]]:
        """The jobs that have seeds that count, and how many of them do."""
        counts = seeds_that_count([(job.expected, job.finished) for job in self.jobs])
        return [(job, count) for job, count in zip(self.jobs, counts, strict=True) if count]

    @property
    def finished(self) -> list[Job]:
        """The finished jobs that count."""
        return [job for job, _ in self.counted if job.finished]


@dataclass(frozen=True)
class Jobs:
    """The jobs of a sweep.

    Attributes:
        run_id: The id of the parent run.
        name: The name of the parent run.
        command: The command that started the sweep.
        axes: The parameters in which the jobs differ.
        jobs: All jobs, in their order.
        goals: The objectives and constraints of a search; None for other sweeps.
        importances: The importance of each setting for each metric in a search, as shares of 1.
    """

    run_id: str
    name: str
    command: str
    axes: Sequence[str]
    jobs: Sequence[Job]
    goals: Goals | None = None
    importances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """The metric by which they are ranked by default: for a search, its first objective."""
        return self.goals.objectives[0].metric if self.goals else METRIC

    @property
    def constraints(self) -> Sequence[Constraint]:
        """The constraints that a setting must fulfil to be ranked."""
        return self.goals.constraints if self.goals else ()

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """The axes without `seed` and `replicas`, which only repeat a setting."""
        return tuple(axis for axis in self.axes if axis not in configuration.REPETITIONS)

    @cached_property
    def finished(self) -> list[Job]:
        """The jobs that have finished."""
        return [job for job in self.jobs if job.finished]

    @cached_property
    def shared(self) -> dict[str, Any]:
        """The settings that all jobs share."""
        every = [job.parameters for job in self.jobs if job.parameters]
        first = every[0] if every else {}
        differ = {*configuration.swept(every), *self.axes}
        return {key: value for key, value in first.items() if key not in differ}

    @cached_property
    def settings(self) -> list[Setting]:
        """The settings with a finished job, in the order of their first jobs."""
        groups: defaultdict[tuple[Any, ...], list[Job]] = defaultdict(list)
        for job in self.jobs:
            if job.finished or job.status == FAILED:
                groups[tuple(job.parameters.get(f, _NONE) for f in self.factors)].append(job)
        found = {
            values: jobs for values, jobs in groups.items() if any(job.finished for job in jobs)
        }
        names = _names([jobs[0].parameters for jobs in found.values()], self.factors)
        return [
            Setting(
                {f: v for f, v in zip(self.factors, values, strict=True) if v is not _NONE},
                named,
                jobs,
            )
            for named, (values, jobs) in zip(names, found.items(), strict=True)
        ]

    @cached_property
    def allowed(self) -> list[Setting]:
        """The settings that fulfil all constraints and, in a search, have all its objectives."""
        objectives = [goal.metric for goal in self.goals.objectives] if self.goals else []
        return [
            setting
            for setting in self.settings
            if all(map(setting.fulfils, self.constraints))
            and all(map(setting.measured, objectives))
        ]

    def ranking(self, metric: str) -> list[Ranked]:
        """Returns the allowed settings that have a metric, the best first.

        Args:
            metric: The metric.

        Raises:
            SettingError: It is not known whether higher or lower values of the metric are better.
        """
        judged, better = definition(metric), self._better(metric)
        if better is None:
            named = {name for job in self.finished for name in job.scores}
            known = sorted(name for name in named if definition(name).better)
            raise SettingError("metric", metric, f"it must be one of {', '.join(known)}")
        scores = [
            (setting.named, Score(float(score), seeds=int(found), lost=int(not found)))
            for setting in self.allowed
            for score in setting.scores(metric)
            for found in [np.isfinite(score)]
        ]
        return rank(scores, judged.span, better is Better.HIGHER, not judged.of_run)

    def _better(self, metric: str) -> Better | None:
        """Returns which values of a metric are better; a search's objectives take precedence."""
        objectives = self.goals.objectives if self.goals else ()
        wanted = {goal.metric: goal.direction for goal in objectives}
        if metric in wanted:
            return Better.HIGHER if wanted[metric] == "maximize" else Better.LOWER
        return definition(metric).better


_NONE = object()


def _names(settings: Sequence[Mapping[str, Any]], factors: Sequence[str]) -> list[str]:
    """Returns the names of settings, with few digits if these suffice to distinguish them."""
    few, every = (
        [configuration.words(each, factors, digits) for each in settings]
        for digits in (configuration.FEW_DIGITS, None)
    )
    counts = Counter(few)
    return [short if counts[short] == 1 else whole for short, whole in zip(few, every, strict=True)]


def read(access: Access, parent: Run, reasons: Mapping[int, str] | None = None) -> Jobs:
    """Reads the jobs of a sweep.

    Args:
        access: The tracking store.
        parent: The sweep's parent run.
        reasons: Why jobs failed, by their numbers; None reads it from the parent run.

    Raises:
        SettingError: No job has finished.
    """
    runs = records.runs_of(access.client, parent)
    planned = _plan(access, parent, _reasons(access, parent) if reasons is None else reasons)
    every = [{k: typed(v) for k, v in run.data.params.items()} for run in runs]
    tag = parent.data.tags.get(SWEPT_TAG)
    axes = configuration.swept(every) if tag is None else tuple(filter(None, tag.split(", ")))
    known = {id(run): parameters for run, parameters in zip(runs, every, strict=True)}
    newest = records.newest(runs)
    jobs = [
        job(access, newest[mark], known[id(newest[mark])], axes)
        if mark in newest
        else Job(FAILED if problem else NEVER_RUN, named, {}, error=problem)
        for mark, (named, problem) in (planned or dict.fromkeys(newest, ("", ""))).items()
    ]
    found = Jobs(
        parent.info.run_id,
        parent.info.run_name,
        parent.data.tags.get("mlflow.source.name", ""),
        axes,
        jobs,
        Goals.of_tags(parent.data.tags),
        _importances(access, parent),
    )
    if not found.finished:
        why = (
            "; ".join(dict.fromkeys(each.error for each in jobs if each.error)) or "none has ended"
        )
        raise SettingError(
            reader.SWEEP, parent.info.run_id, f"none of its jobs has finished: {why}"
        )
    return found


def _plan(
    access: Access, parent: Run, reasons: Mapping[int, str]
) -> dict[str, tuple[str, str]] | None:
    """Returns the name of each planned job and why it failed, by its fingerprint."""
    rows = table(access, parent, "plan.json")
    if rows is None:  # a search does not know its jobs beforehand
        return None
    return {
        row["fingerprint"] or f"job {row['job']}": (
            row["settings"],
            row["problem"] or reasons.get(row["job"], ""),
        )
        for row in rows
    }


def _reasons(access: Access, parent: Run) -> dict[int, str]:
    rows = table(access, parent, "jobs.json") or []
    return {row["job"]: row["error"] for row in rows if row.get("error")}


def _importances(access: Access, parent: Run) -> dict[str, dict[str, float]]:
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for row in table(access, parent, IMPORTANCES) or []:
        found[row["metric"]][row["setting"]] = row["share"]
    return dict(found)


def table(access: Access, parent: Run, file: str) -> list[dict[str, Any]] | None:
    """Returns the rows of a table among the artifacts of a parent run, if it is there.

    Args:
        access: The tracking store.
        parent: The parent run.
        file: The name of the table, such as ``plan.json``.
    """
    try:
        with reader.artifact(access, parent, file) as path:
            stored = json.loads(path.read_text(encoding="utf-8"))
    except SettingError:
        return None
    return [dict(zip(stored["columns"], row, strict=True)) for row in stored["data"]]


def job(access: Access, run: Run, parameters: Mapping[str, Any], axes: Sequence[str]) -> Job:
    """Reads a job from its run.

    Args:
        access: The tracking store.
        run: The run.
        parameters: Its settings, with their types.
        axes: The settings in which it differs from other runs.
    """
    named = configuration.words(parameters, axes, configuration.FEW_DIGITS) or str(
        run.info.run_name
    )
    run_id, status = run.info.run_id, run.info.status
    error = records.error_of(run)
    if status != FINISHED:
        status = PRUNED if PRUNED_TAG in run.data.tags else status
        return Job(status, named, parameters, run_id, error=error)
    metrics = run.data.metrics
    try:
        seeds, scores = _seeds(access, run, metrics, parameters)
    except (SettingError, KeyError, ValueError):
        return Job("unreadable", named, parameters, run_id, error="its artifacts are gone")
    seconds = metrics.get("fit_seconds", math.nan)
    return Job(FINISHED, named, parameters, run_id, seeds, scores, seconds)


def _seeds(
    access: Access, run: Run, metrics: Mapping[str, float], parameters: Mapping[str, Any]
) -> tuple[list[int], dict[str, Floats]]:
    """Returns the seeds of a run, and the scores of each."""
    if parameters.get("replicas", 1) == 1:
        scores = {name: np.array([score]) for name, score in metrics.items()}
        return [int(parameters["seed"])], scores
    columns = records.seeds_of(access, run)
    seeds = columns.pop("seed").astype(int).tolist()
    of_run = {name: value for name, value in metrics.items() if definition(name).of_run}
    shared = {name: np.full(len(seeds), value) for name, value in of_run.items()}
    return seeds, shared | _last_validation(access, run) | columns


def _last_validation(access: Access, run: Run) -> dict[str, Floats]:
    """Returns the scores of each replica, [R], in the last validation of a run, if there is one."""
    with suppress(SettingError, KeyError, ValueError, OSError):
        curves = records.curves_of(access, run)
        return {name: values[-1] for name, (_, values) in curves.items() if len(values)}
    return {}


def curves(access: Access, settings: Sequence[Setting], metric: str = CURVE) -> dict[str, Curve]:
    """Reads the curves of a metric of validations for all seeds of some settings.

    If the jobs of a setting were validated at different epochs, its curve has the epochs of all of
    them; a job has NaN where it was not validated.

    Args:
        access: The tracking store.
        settings: The settings.
        metric: The metric.

    Returns:
        The curve of each setting that has the metric, by the setting's name.
    """
    jobs = [job for setting in settings for job in setting.finished]
    singles = [str(job.run_id) for job in jobs if len(job.seeds) == 1]
    found = _of_singles(access, singles, metric)
    for job in jobs:
        if len(job.seeds) > 1 and (part := _of_replicas(access, job, metric)) is not None:
            found[str(job.run_id)] = part
    parts = {
        setting.named: [found[str(j.run_id)] for j in setting.finished if str(j.run_id) in found]
        for setting in settings
    }
    return {named: records.joined(measured) for named, measured in parts.items() if measured}


def _of_singles(access: Access, ids: Sequence[str], metric: str) -> dict[str, Curve]:
    points = bulk.histories(access, ids, [metric])
    bounds = np.searchsorted(points.runs, np.arange(len(ids) + 1))
    return {
        run_id: (points.epochs[first:last].astype(float), points.values[first:last, None])
        for run_id, first, last in zip(ids, bounds[:-1], bounds[1:], strict=True)
        if last > first
    }


def _of_replicas(access: Access, job: Job, metric: str) -> Curve | None:
    with suppress(SettingError, KeyError, ValueError, OSError):  # such as a run without validations
        return records.curves_of(access, access.client.get_run(str(job.run_id)))[metric]
    return None
