"""Has a launcher run jobs until none is without a result.

One job that loses its process may stop a launcher, so jobs are launched in rounds: what is left of
one is launched again in the next. A stack of jobs is one for the launcher. Jobs whose process was
lost are launched again one by one, since any of them may be the reason.
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
"""How often is looked whether another process has done what it has claimed."""

Launch = Callable[[list[list[str]]], Sequence[JobReturn]]
"""Runs jobs, given as their overrides, to their ends."""


def run_jobs(
    asked: Sweep,
    store: Store | None,
    parent: Run | None,
    launch: Launch,
    watch: Watch,
    earlier: Mapping[int, JobResult] = MappingProxyType({}),
    others: Mapping[int, JobResult] = MappingProxyType({}),
) -> dict[int, JobResult]:
    """Launches jobs until each has a result, and returns it by the job's number.

    Args:
        asked: The jobs.
        store: Where they are tracked, if they are.
        parent: The run that they are nested under, likewise.
        launch: Runs jobs.
        watch: Shows how far they are.
        earlier: The results of jobs that need not be launched.
        others: The results of other jobs, to be counted with these.
    """
    results = dict(earlier) | asked.problems
    waiting = [job for job in asked.jobs if job.number not in results]
    lost: Counter[int] = Counter()
    watch.follow([job.number for job in waiting], {**others, **results})
    while waiting:
        free = _free(waiting, store)
        if not free:
            time.sleep(ANOTHER_LOOK_SECONDS)
            continue
        stacks = planned(asked, free, lost)
        watch.launched([[job.number for job in stack] for stack in stacks])
        found = _round(asked, stacks, parent, launch)
        for each in free:
            result = found[each.number]
            lost[each.number] += result is not None and result.status == Status.RUNNING
            if lost[each.number] >= asked.settings.attempts:
                result = _lost(lost[each.number], result)
            if result is not None and result.status not in (Status.RUNNING, Status.CLAIMED):
                results[each.number] = result
        waiting = [job for job in waiting if job.number not in results]
    watch.follow((), {**others, **results})
    return results


def _lost(times: int, result: JobResult | None) -> JobResult:
    """Returns the result of a job whose process was lost, with what the launcher says of it."""
    how_often = "once" if times == 1 else f"{times} times"
    said = f" ({result.line})" if result is not None and result.message else ""
    return JobResult(Status.FAILED, f"its process was lost {how_often}{said}")


def _free(waiting: Sequence[Job], store: Store | None) -> list[Job]:
    """Returns the jobs that no other process is doing, one of each fingerprint."""
    one = list({job.fingerprint: job for job in reversed(waiting)}.values())[::-1]
    if store is None:
        return one
    things = {running.claim(job.fingerprint): job for job in one}
    try:
        taken = store.claimed(list(things))
    except UnreachableError:  # the jobs wait for it, and say so where that is in vain
        return one
    return [job for thing, job in things.items() if thing not in taken]


def planned(
    asked: Sweep, jobs: Sequence[Job], lost: Mapping[int, int] = MappingProxyType({})
) -> list[Stack]:
    """Returns jobs as the stacks in which they are launched, each for one process.

    Args:
        asked: How they are run.
        jobs: The jobs.
        lost: How often each has lost its process: such a job is launched alone.
    """
    if not asked.settings.fused:
        return [[job] for job in jobs]
    alone = [job for job in jobs if lost.get(job.number)]
    others = [job for job in jobs if not lost.get(job.number)]
    return [*make_stacks(others, asked.workers), *([job] for job in alone)]


def _round(
    asked: Sweep, stacks: Sequence[Stack], parent: Run | None, launch: Launch
) -> dict[int, JobResult | None]:
    """Launches jobs once and returns what they left; of one that was lost that it is running."""
    files = {each.number: job.file(asked.folder, each.number) for stack in stacks for each in stack}
    for path in files.values():
        path.unlink(missing_ok=True)
    try:
        returned = launch([_told(asked, stack, parent) for stack in stacks])
    except Exception as error:
        # Of a job whose process was lost some launchers make the end of all.
        if not any(path.exists() for path in files.values()):
            raise
        said = exits.explain(error)[0]
        print(f"the launcher stopped: {said}", file=sys.stderr)
        found = {number: job.read(path) for number, path in files.items()}
        return {number: _with(result, said) for number, result in found.items()}
    said_of = {
        each.number: said
        for stack, said in zip(stacks, map(_said, returned), strict=False)
        for each in stack
    }
    return {
        number: _with(job.read(path) or JobResult(Status.RUNNING), said_of.get(number, ""))
        for number, path in files.items()
    }


def _said(returned: JobReturn) -> str:
    """Returns why a job failed, as its launcher has it."""
    failed = returned.status == JobStatus.FAILED
    return exits.explain(returned._return_value)[0] if failed else ""


def _with(result: JobResult | None, said: str) -> JobResult | None:
    """Returns what a job left, with what its launcher says where it does not say itself."""
    if result is None or result.status != Status.RUNNING:
        return result
    return dataclasses.replace(result, message=said)


def _told(asked: Sweep, stack: Stack, parent: Run | None) -> list[str]:
    """Returns the overrides of a job, or of the first of a stack, with what else it must know."""
    again = "null" if asked.settings.again == Again.ALL else "auto"
    together = []
    if len(stack) > 1:
        path = write_stack(stack, asked.folder, asked.axes)
        together = [f"+sweep.stack={quoted(str(path))}"]
    return [
        *stack[0].overrides,
        *together,
        f"resume={again}",
        f"+sweep.job={stack[0].number}",
        f"+sweep.name={quoted(stack[0].title(asked.axes))}",
        f"+sweep.parent={parent.run_id if parent else 'null'}",
        f"hydra.sweep.dir={quoted(str(asked.folder))}",
        "hydra.sweep.subdir=.",
        "hydra.mode=MULTIRUN",
        *asked.told,
    ]
