"""Launches jobs until every job has a result.

A launcher may stop when a job loses its process. Jobs are therefore launched in rounds: each round
launches the jobs that still have no result. For the launcher, a stack of jobs is one job. When a
stack loses its process, any of its jobs may be the cause, so its jobs are then launched one by one.
"""

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from hydra.core.utils import JobReturn, JobStatus

from echo_exp import running
from echo_exp.configuration import exits
from echo_exp.sweeps import job
from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.plan import Again, Job, Sweep
from echo_exp.sweeps.stacks import Stack, make_stacks, write_stack
from echo_exp.sweeps.study import quoted
from echo_exp.sweeps.watch import Watch
from echo_exp.tracking import Run, Store, UnreachableError

ANOTHER_LOOK_SECONDS = 1.0
"""The time between two checks whether another process has finished what it has claimed."""

Launch = Callable[[list[list[str]]], Sequence[JobReturn]]
"""Runs jobs, each given by its overrides, and returns when all have ended."""


def run_jobs(
    sweep: Sweep,
    store: Store | None,
    parent: Run | None,
    launch: Launch,
    watch: Watch,
    earlier: Mapping[int, JobResult] = MappingProxyType({}),
    others: Mapping[int, JobResult] = MappingProxyType({}),
) -> dict[int, JobResult]:
    """Launches jobs until each has a result.

    Args:
        sweep: The sweep with the jobs.
        store: The tracking store; None if nothing is tracked.
        parent: The parent run of the jobs; None likewise.
        launch: Launches jobs.
        watch: Shows the progress.
        earlier: The results of jobs that need not be launched.
        others: The results of jobs that are not in `sweep`, shown in the progress too.

    Returns:
        The results, by the jobs' numbers.
    """
    results = dict(earlier) | sweep.problems
    waiting = [job for job in sweep.jobs if job.number not in results]
    lost: Counter[int] = Counter()
    watch.follow([job.number for job in waiting], {**others, **results})
    while waiting:
        free = _free(waiting, store)
        if not free:
            time.sleep(ANOTHER_LOOK_SECONDS)
            continue
        stacks = planned(sweep, free, lost)
        watch.launched([[job.number for job in stack] for stack in stacks])
        found = _round(sweep, stacks, parent, launch)
        for each in free:
            result = found[each.number]
            lost[each.number] += result is not None and result.status == Status.RUNNING
            if lost[each.number] >= sweep.settings.attempts:
                result = _lost(lost[each.number], result)
            if result is not None and result.status not in (Status.RUNNING, Status.CLAIMED):
                results[each.number] = result
        waiting = [job for job in waiting if job.number not in results]
    watch.follow((), {**others, **results})
    return results


def _lost(times: int, result: JobResult | None) -> JobResult:
    """Returns the result of a job whose process was lost, with the launcher's message."""
    how_often = "once" if times == 1 else f"{times} times"
    why = f" ({result.line})" if result is not None and result.message else ""
    return JobResult(Status.FAILED, f"its process was lost {how_often}{why}")


def _free(waiting: Sequence[Job], store: Store | None) -> list[Job]:
    """Returns the jobs that no other process has claimed, one per fingerprint."""
    distinct = list({job.fingerprint: job for job in reversed(waiting)}.values())[::-1]
    if store is None:
        return distinct
    claims = {running.claim(job.fingerprint): job for job in distinct}
    try:
        taken = store.claimed(list(claims))
    except UnreachableError:  # the jobs wait for the store, and fail if they wait in vain
        return distinct
    return [job for claim, job in claims.items() if claim not in taken]


def planned(
    sweep: Sweep, jobs: Sequence[Job], lost: Mapping[int, int] = MappingProxyType({})
) -> list[Stack]:
    """Groups jobs into the stacks in which they are launched, one process each.

    Args:
        sweep: The sweep, whose settings decide how jobs are run.
        jobs: The jobs.
        lost: How often each job has lost its process; a job that has is launched alone.
    """
    if not sweep.settings.fused:
        return [[job] for job in jobs]
    alone = [job for job in jobs if lost.get(job.number)]
    others = [job for job in jobs if not lost.get(job.number)]
    return [*make_stacks(others, sweep.workers), *([job] for job in alone)]


def _round(
    sweep: Sweep, stacks: Sequence[Stack], parent: Run | None, launch: Launch
) -> dict[int, JobResult | None]:
    """Launches jobs once and returns their results.

    The result of a job that lost its process is still `RUNNING`. It is None for a job that was not
    started because the launcher stopped.
    """
    files = {each.number: job.file(sweep.folder, each.number) for stack in stacks for each in stack}
    for path in files.values():
        path.unlink(missing_ok=True)
    try:
        returned = launch([_overrides(sweep, stack, parent) for stack in stacks])
    except Exception as error:
        # Some launchers stop altogether when one job loses its process.
        if not any(path.exists() for path in files.values()):
            raise
        message = exits.explain(error)[0]
        print(f"the launcher stopped: {message}", file=sys.stderr)
        found = {number: job.read(path) for number, path in files.items()}
        return {number: _with(result, message) for number, result in found.items()}
    messages = {
        each.number: message
        for stack, message in zip(stacks, map(_message, returned), strict=False)
        for each in stack
    }
    return {
        number: _with(job.read(path) or JobResult(Status.RUNNING), messages.get(number, ""))
        for number, path in files.items()
    }


def _message(returned: JobReturn) -> str:
    """Returns why a job failed, according to its launcher."""
    failed = returned.status == JobStatus.FAILED
    return exits.explain(returned._return_value)[0] if failed else ""


def _with(result: JobResult | None, message: str) -> JobResult | None:
    """Adds the launcher's message to the result of a job that did not end by itself."""
    if result is None or result.status != Status.RUNNING:
        return result
    return dataclasses.replace(result, message=message)


def _overrides(sweep: Sweep, stack: Stack, parent: Run | None) -> list[str]:
    """Returns the overrides of a stack's first job, and those that tell it of stack and sweep."""
    again = "null" if sweep.settings.again == Again.ALL else "auto"
    stacked = []
    if len(stack) > 1:
        path = write_stack(stack, sweep.folder, sweep.axes)
        stacked = [f"+sweep.stack={quoted(str(path))}"]
    return [
        *stack[0].overrides,
        *stacked,
        f"resume={again}",
        f"+sweep.job={stack[0].number}",
        f"+sweep.name={quoted(stack[0].title(sweep.axes))}",
        f"+sweep.parent={parent.run_id if parent else 'null'}",
        f"hydra.sweep.dir={quoted(str(sweep.folder))}",
        "hydra.sweep.subdir=.",
        "hydra.mode=MULTIRUN",
        *sweep.told,
    ]
