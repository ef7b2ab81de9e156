"""The results of a sweep as tables: the ranking of its settings, its jobs, and all columns."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from echo_exp import configuration
from echo_exp.sweeps.job import JobResult, counted
from echo_exp.sweeps.plan import Job
from echo_exp.sweeps.ranking import Ranked, Score, once, pool, rank

Row = tuple[Job, JobResult]
Lines = list[Sequence[str]]
"""The lines of a table, the titles first."""

ACCURACY, SECONDS = "test/accuracy", "fit_seconds"
MOST_JOBS = 60
"""Of a sweep with more jobs no list of them is printed."""
MOST_SETTINGS, BEST = 20, 10
"""Of more settings only so many are ranked."""


def ranked(
    jobs: Sequence[Job], results: Mapping[int, JobResult], axes: Sequence[str] = ()
) -> list[Ranked]:
    """Returns the settings of a sweep, the best first; seeds that several jobs share count once.

    Args:
        jobs: All its jobs.
        results: The results, by the jobs' numbers, of those that have one.
        axes: The parameters that tell the jobs apart.
    """
    return rank(_scores(jobs, results, axes))


def _scores(
    jobs: Sequence[Job], results: Mapping[int, JobResult], axes: Sequence[str]
) -> list[tuple[str, Score]]:
    """Returns the setting and score of each job with seeds that count."""
    names = varied(jobs)
    factors = [axis for axis in axes if axis not in configuration.REPETITIONS]
    rows = [(job, results[job.number]) for job in jobs if job.number in results]
    settings = [configuration.words(j.parameters, factors) or _setting(j, names) for j, _ in rows]
    counts = once(
        [
            ([(setting, seed) for seed in _seeds(job)], result.succeeded)
            for setting, (job, result) in zip(settings, rows, strict=True)
        ]
    )
    every = zip(settings, rows, counts, strict=True)
    return [(setting, _score(result, count)) for setting, (_, result), count in every if count]


def _seeds(job: Job) -> Sequence[int | str]:
    """Returns the seeds of a job, or names for them where they are not known."""
    count = int(job.varied.get("replicas", 1))
    if "seed" not in job.varied:
        return [f"{job.fingerprint or job.number} {place}" for place in range(count)]
    first = int(job.varied["seed"])
    return range(first, first + count)


def ranking(settings: Sequence[Ranked]) -> Lines:
    """Returns the table of the best settings."""
    shown = settings[: BEST if len(settings) > MOST_SETTINGS else None]
    rows = [(each.setting, *_cells(each)) for each in shown]
    return _filled([("settings", "accuracy", "95 % interval", "seeds"), *rows])


def jobs(rows: Sequence[Row]) -> Lines:
    """Returns the table of all jobs, in their order."""
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
    """Returns the table of jobs of which each is a setting of its own, the best first."""
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
    """Returns whether a setting has several jobs, so that settings and jobs are two tables."""
    return len(settings) < sum(result.succeeded for _, result in rows)


def best_of(jobs: Sequence[Job], axes: Sequence[str], results: Mapping[int, JobResult]) -> str:
    """Returns the best setting so far in words; nothing where no job has succeeded."""
    found = max(pool(_scores(jobs, results, axes)), key=lambda each: each.mean, default=None)
    if found is None:
        return ""
    of = f", {found.seeds} seeds" if found.seeds > 1 else ""
    return f"{found.setting} (accuracy {found.mean:.4f}{of})"


def summary(rows: Sequence[Row]) -> str:
    """Returns how many jobs succeeded and how many did not."""
    results = [result for _, result in rows]
    succeeded = sum(result.succeeded for result in results)
    return ", ".join([f"{succeeded} of {len(rows)} jobs succeeded", *counted(results)])


def columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Returns the whole table by its columns."""
    metrics = sorted({name for _, result in rows for name in result.metrics})
    return {
        "job": [job.number for job, _ in rows],
        "settings": [job.named for job, _ in rows],
        "result": [result.status.value for _, result in rows],
        "error": [result.line if result.failed else "" for _, result in rows],
        **{name: [result.metrics.get(name) for _, result in rows] for name in metrics},
    }


def varied(jobs: Sequence[Job]) -> dict[int, list[str]]:
    """Returns the overrides of each job that not all have, by its number; of a single one all."""
    every = {job.number: configuration.measured(job.overrides) for job in jobs}
    shared = set.intersection(*map(set, every.values())) if len(every) > 1 else set()
    return {number: [o for o in own if o not in shared] for number, own in every.items()}


def _setting(job: Job, names: Mapping[int, Sequence[str]]) -> str:
    """Returns the setting of a job: what is varied but the seed, else all that was given."""
    for overrides in (names[job.number], configuration.measured(job.overrides)):
        own = [o for o in overrides if not o.startswith("seed=")]
        if own:
            return " ".join(own)
    return "the defaults"


def _score(result: JobResult, seeds: int) -> Score:
    mean = result.metrics.get(ACCURACY, math.nan)
    if not result.succeeded or math.isnan(mean):
        return Score(math.nan, 0, lost=seeds)
    lost = int(result.metrics.get("diverged", 0))
    std = result.metrics.get(f"{ACCURACY}/std", 0.0)
    return Score(mean, seeds - lost, std if seeds - lost > 1 else 0.0, lost)


def _cells(of: Ranked) -> tuple[str, str, str]:
    interval = "" if math.isnan(of.low) else f"{of.low:.4f} to {of.high:.4f}"
    return f"{of.mean:.4f}", interval, f"{of.seeds}" + (f", {of.lost} failed" if of.lost else "")


def _filled(lines: Lines) -> Lines:
    """Leaves out the columns of intervals and seeds where all jobs are single networks."""
    titles, *rows = lines
    told = [
        title not in ("95 % interval", "seeds") or any(row[place] not in ("", "1") for row in rows)
        for place, title in enumerate(titles)
    ]
    return [[cell for cell, tell in zip(line, told, strict=True) if tell] for line in lines]


def _number(result: JobResult, name: str, digits: int) -> str:
    value = result.metrics.get(name)
    return "" if value is None or not result.succeeded else f"{value:.{digits}f}"
