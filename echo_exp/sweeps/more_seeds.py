"""More seeds of a study: the seeds of finished runs are kept, and only the others are trained.

A seed has the same data and the same initial weights in any run, so runs with some of a cell's
seeds each are together what one run with all of them would be.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from echo_exp.configuration import REPETITIONS, STUDY, setting
from echo_exp.running.resume import REPEATS
from echo_exp.sweeps.plan import Again, Job, Sweep, axes, make_jobs, parameters

Run = TypeVar("Run")
Found = Mapping[tuple[str, str], Mapping[range, Run]]
"""Finished runs by what they repeat, the version of their code, and their seeds."""


def within(seeds: range, wanted: range) -> bool:
    """Returns whether there are some seeds and all of them are wanted.

    Args:
        seeds: The seeds.
        wanted: The wanted seeds.
    """
    return wanted.start <= seeds.start < seeds.stop <= wanted.stop


def chosen(wanted: range, found: Iterable[range]) -> list[range]:
    """Chooses finished runs that together have as many wanted seeds as possible, and none twice.

    Of equal choices, it takes the one with the fewest runs.

    Args:
        wanted: The seeds of a cell.
        found: The seeds of each finished run; runs with other seeds, too, are left out.

    Returns:
        The seeds of the chosen runs, in their order.
    """
    inside = sorted((seeds.stop, seeds.start) for seeds in {*found} if within(seeds, wanted))
    # A choice: the number of its seeds, minus the number of its runs, and the runs themselves.
    choices: list[tuple[int, int, list[range]]] = [(0, 0, [])]
    for stop, start in inside:
        before = (c for c in choices if not c[2] or c[2][-1].stop <= start)
        seeds, runs, taken = max(before, key=lambda choice: choice[:2])
        choices.append((seeds + stop - start, runs - 1, [*taken, range(start, stop)]))
    return max(choices, key=lambda choice: choice[:2])[2]


def parts(wanted: range, found: Iterable[range]) -> list[range]:
    """Divides the seeds of a cell into those of finished runs, and those that are left.

    If a single seed would be left by itself, the cell is not divided: a run of one seed fails if
    the seed diverges, and a run of several does not.

    Args:
        wanted: The seeds of the cell.
        found: The seeds of each finished run.
    """
    kept = chosen(wanted, found)
    edges = [wanted.start, *(edge for seeds in kept for edge in (seeds.start, seeds.stop))]
    gaps = [range(*pair) for pair in zip(edges[::2], [*edges[1::2], wanted.stop], strict=True)]
    if any(len(gap) == 1 for gap in gaps):
        return [wanted]
    return sorted([*kept, *filter(len, gaps)], key=lambda seeds: seeds.start)


def grouped(runs: Iterable[tuple[Mapping[str, str], range, Run]]) -> Found[Run]:
    """Groups finished runs by what they repeat and by the version of their code.

    Args:
        runs: The tags of each run, its seeds, and the run; the newest first.
    """
    found: dict[tuple[str, str], dict[range, Run]] = {}
    for tags, seeds, run in runs:
        found.setdefault((tags[REPEATS], tags.get("code", "")), {}).setdefault(seeds, run)
    return found


def continues(sweep: Sweep) -> bool:
    """Returns whether a sweep takes over seeds of finished runs: only a study does.

    Args:
        sweep: The sweep.
    """
    return STUDY in sweep.tags and sweep.settings.again != Again.ALL


def divided(sweep: Sweep, found: Found[Any]) -> Sweep:
    """Divides the jobs of which some seeds have finished into one for these and one for the others.

    Args:
        sweep: The sweep of a study, with a job for each cell.
        found: The finished runs.
    """
    if not found:
        return sweep
    cells = [
        (each, parts(each.seeds, found.get((each.repeats, each.code), ()))) for each in sweep.jobs
    ]
    apart = [
        overrides for each, seeds in cells if len(seeds) > 1 for overrides in _each(each, seeds)
    ]
    if not apart:
        return sweep
    made = iter(make_jobs(apart))
    jobs = [next(made) if len(seeds) > 1 else each for each, seeds in cells for _ in seeds]
    jobs = [dataclasses.replace(each, number=number) for number, each in enumerate(jobs)]
    differing = axes(jobs)
    again = dataclasses.replace(
        sweep, jobs=jobs, axes=differing, parameters=parameters(jobs, differing)
    )
    # Another start may divide the cells differently, and jobs leave their results by number.
    folder = sweep.folder.parent / dataclasses.replace(again, known_as="").identity
    return dataclasses.replace(again, folder=folder)


def finished(sweep: Sweep, found: Found[Run]) -> dict[int, Run]:
    """Returns the finished runs that jobs need not repeat, by the numbers of these jobs.

    Args:
        sweep: The sweep, divided.
        found: The finished runs.
    """
    if not found:
        return {}
    runs = {
        each.number: found.get((each.repeats, each.code), {}).get(each.seeds) for each in sweep.jobs
    }
    return {number: run for number, run in runs.items() if run is not None}


def told(sweep: Sweep, finished: Collection[int]) -> str:
    """Says how many seeds have finished in earlier runs.

    Args:
        sweep: The sweep, divided.
        finished: The numbers of the jobs that have finished.
    """
    wanted = sum(len(each.seeds) for each in sweep.jobs)
    done = sum(len(each.seeds) for each in sweep.jobs if each.number in finished)
    return f"Seeds that have finished in earlier runs: {done:,} of {wanted:,}."


def _each(job: Job, parts: Sequence[range]) -> Iterator[list[str]]:
    """Yields the overrides of a job for each part of its seeds."""
    others = [o for o in job.overrides if setting(o.partition("=")[0]) not in REPETITIONS]
    for seeds in parts:
        yield [*others, f"seed={seeds.start}", f"replicas={len(seeds)}"]
