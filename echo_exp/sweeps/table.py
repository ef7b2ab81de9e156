"""The results of a sweep as tables: the ranking of its settings, its jobs, and all columns."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from echo_exp import configuration
from echo_exp.sweeps.job import JobResult, counted
from echo_exp.sweeps.plan import Job
from echo_exp.sweeps.ranking import Ranked, Score, order, pool, rank, seeds_that_count

Row = tuple[Job, JobResult]
Lines = list[Sequence[str]]
"""The lines of a table, the titles first."""

ACCURACY, SECONDS = "test/accuracy", "fit_seconds"
MOST_JOBS = 60
"""The jobs of a larger sweep are not printed."""
MOST_SETTINGS, BEST = 20, 10
"""Of more than `MOST_SETTINGS` settings only the `BEST` are printed."""


def ranked(
    jobs: Sequence[Job], results: Mapping[int, JobResult], axes: Sequence[str] = ()
) -> list[Ranked]:
    """Returns the settings of a sweep, the best first; seeds that several jobs share count once.

    Args:
        jobs: All jobs of the sweep.
        results: The results of jobs that have one, by the jobs' numbers.
        axes: The parameters in which the jobs differ.
    """
    return rank(_scores(jobs, results, axes))


def _scores(
    jobs: Sequence[Job], results: Mapping[int, JobResult], axes: Sequence[str]
) -> list[tuple[str, Score]]:
    """Returns the setting and score of each job that has seeds that count."""
    names = varied(jobs)
    factors = [axis for axis in axes if axis not in configuration.REPETITIONS]
    rows = [(job, results[job.number]) for job in jobs if job.number in results]
    settings = [configuration.words(j.parameters, factors) or _setting(j, names) for j, _ in rows]
    counts = seeds_that_count(
        [
            ([(setting, seed) for seed in _seeds(job)], result.succeeded)
            for setting, (job, result) in zip(settings, rows, strict=True)
        ]
    )
    every = zip(settings, rows, counts, strict=True)
    return [(setting, _score(result, count)) for setting, (_, result), count in every if count]


def _seeds(job: Job) -> Sequence[int | str]:
    """Returns the seeds of a job, or placeholders if they are not known."""
    count = int(job.varied.get("replicas", 1))
    if "seed" not in job.varied:
        return [f"{job.fingerprint or job.number} {place}" for place in range(count)]
    first = int(job.varied["seed"])
    return range(first, first + count)


def ranking(settings: Sequence[Ranked]) -> Lines:
    """Returns the table of the best settings.

    Args:
        settings: The settings, the best first.
    """
    shown = settings[: BEST if len(settings) > MOST_SETTINGS else None]
    rows = [(each.setting, *_cells(each)) for each in shown]
    return _filled([("settings", "accuracy", "95 % interval", "seeds"), *rows])


def jobs(rows: Sequence[Row]) -> Lines:
    """Returns the table of all jobs, in their order.

    Args:
        rows: The jobs with their results.
    """
    names = varied([job for job, _ in rows])
    titles = ("job", "settings", "accuracy", "seconds", "result")
    return [
        titles,
        *(
            (
                *(str(job.number), " ".join(names[job.number])),
                *(_number(result, ACCURACY, 4), _number(result, SECONDS, 1), result.status.value),
            )
            for job, result in rows
        ),
    ]


def ranked_jobs(rows: Sequence[Row]) -> Lines:
    """Returns the table of jobs, the best first; each job must be a setting of its own.

    Args:
        rows: The jobs with their results.
    """
    titles, *lines = jobs(rows)
    order = rank((str(job.number), _score(result, len(_seeds(job)))) for job, result in rows)
    cells = {each.setting: _cells(each)[1:] for each in order}
    by_number = {line[0]: line for line in lines}
    best_first = [*cells, *(number for number in by_number if number not in cells)]
    wide = [
        (*by_number[number][:3], *cells.get(number, ("", "")), *by_number[number][3:])
        for number in best_first
    ]
    return _filled([(*titles[:3], "95 % interval", "seeds", *titles[3:]), *wide])


def pooled(rows: Sequence[Row], settings: Sequence[Ranked]) -> bool:
    """Returns whether a setting has several jobs, so that settings and jobs need two tables.

    Args:
        rows: The jobs with their results.
        settings: The settings of the jobs that have finished.
    """
    return len(settings) < sum(result.succeeded for _, result in rows)


def best_of(jobs: Sequence[Job], axes: Sequence[str], results: Mapping[int, JobResult]) -> str:
    """Describes the best setting so far; an empty string if no job has succeeded.

    Args:
        jobs: All jobs of the sweep.
        axes: The parameters in which they differ.
        results: The results of jobs that have one, by the jobs' numbers.
    """
    found = min(pool(_scores(jobs, results, axes)), key=order, default=None)
    if found is None:
        return ""
    seeds = f", {found.seeds} seeds" if found.seeds > 1 else ""
    return f"{found.setting} (accuracy {found.mean:.4f}{seeds})"


def summary(rows: Sequence[Row]) -> str:
    """Describes how many jobs succeeded and how many did not.

    Args:
        rows: The jobs with their results.
    """
    results = [result for _, result in rows]
    succeeded = sum(result.succeeded for result in results)
    return ", ".join([f"{succeeded} of {len(rows)} jobs succeeded", *counted(results)])


def columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Returns all jobs with all their metrics as a table, by its columns.

    Args:
        rows: The jobs with their results.
    """
    metrics = sorted({name for _, result in rows for name in result.metrics})
    return {
        "job": [job.number for job, _ in rows],
        "settings": [job.named for job, _ in rows],
        "result": [result.status.value for _, result in rows],
        "error": [result.line if result.failed else "" for _, result in rows],
        **{name: [result.metrics.get(name) for _, result in rows] for name in metrics},
    }


def varied(jobs: Sequence[Job]) -> dict[int, list[str]]:
    """Returns the overrides that not all jobs share, by the jobs' numbers.

    Args:
        jobs: The jobs; a single one keeps all its overrides.
    """
    every = {job.number: configuration.measured(job.overrides) for job in jobs}
    shared = set.intersection(*map(set, every.values())) if len(every) > 1 else set()
    return {number: [o for o in given if o not in shared] for number, given in every.items()}


def _setting(job: Job, names: Mapping[int, Sequence[str]]) -> str:
    """Returns the setting of a job: its varied overrides without the seed, else all of them."""
    for overrides in (names[job.number], configuration.measured(job.overrides)):
        without_seed = [o for o in overrides if not o.startswith("seed=")]
        if without_seed:
            return " ".join(without_seed)
    return "the defaults"


def _score(result: JobResult, seeds: int) -> Score:
    mean = result.metrics.get(ACCURACY, math.nan)
    if not result.succeeded or math.isnan(mean):
        return Score(math.nan, 0, lost=seeds)
    lost = int(result.metrics.get("diverged", 0))
    std = result.metrics.get(f"{ACCURACY}/std", 0.0)
    return Score(mean, seeds - lost, std if seeds - lost > 1 else 0.0, lost)


def _cells(each: Ranked) -> tuple[str, str, str]:
    """Returns the mean, the interval and the number of seeds of a setting."""
    interval = "" if math.isnan(each.low) else f"{each.low:.4f} to {each.high:.4f}"
    seeds = f"{each.seeds}" + (f", {each.lost} failed" if each.lost else "")
    return f"{each.mean:.4f}", interval, seeds


def _filled(lines: Lines) -> Lines:
    """Leaves out the columns of intervals and seeds if every setting has a single network."""
    titles, *rows = lines
    shown = [
        title not in ("95 % interval", "seeds") or any(row[place] not in ("", "1") for row in rows)
        for place, title in enumerate(titles)
    ]
    return [[cell for cell, keep in zip(line, shown, strict=True) if keep] for line in lines]


def _number(result: JobResult, name: str, digits: int) -> str:
    value = result.metrics.get(name)
    return "" if value is None or not result.succeeded else f"{value:.{digits}f}"
