"""Conducts a sweep: opens its parent run, has the missing jobs run, and tells what came out.

The same sweep, started again or on a second machine, runs only what nobody has finished.
"""

import contextlib
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence

from omegaconf import DictConfig

from echo_exp import configuration, running, terminal
from echo_exp.configuration import mistakes
from echo_exp.running import provenance
from echo_exp.running.descriptions import experiment
from echo_exp.settings import redacted
from echo_exp.sweeps import failures, job, launch
from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.plan import FAILED_TAG, TAG, Again, Sweep
from echo_exp.sweeps.ranking import Ranked
from echo_exp.sweeps.rounds import Launch, run_jobs
from echo_exp.sweeps.table import (
    MOST_JOBS,
    Row,
    best_of,
    columns,
    jobs,
    pooled,
    ranked,
    ranked_jobs,
    ranking,
    summary,
)
from echo_exp.sweeps.watch import watching
from echo_exp.tracking import Run, Store, TrackingError
from echo_exp.tracking.ui.view import NOTE_TAG, view

DESCRIBED = 5
"""So many of the best settings are told in the description of a sweep's run."""


def run_sweep(asked: Sweep, config: DictConfig, launch: Launch) -> None:
    """Runs a sweep, prints what came out, and ends the program with 1 where a job failed.

    Args:
        asked: What is to be run.
        config: The configuration that all jobs share.
        launch: Runs jobs.

    Raises:
        SettingError: The tracking store cannot be used.
        Interrupted: A signal asked to stop; the same command goes on.
    """
    store = running.open_store(config)
    with parent_run(asked, store, config) as parent:
        best = functools.partial(best_of, asked.jobs)
        with watching("sweep", "job", asked.folder, len(asked.jobs), best) as watch:
            earlier = _earlier(asked, store, parent)
            results = run_jobs(asked, store, parent, launch, watch, earlier)
        tell(asked, results, store, parent)
        if not all(result.succeeded for result in results.values()):
            sys.exit(mistakes.FAILED)


@contextlib.contextmanager
def parent_run(asked: Sweep, store: Store | None, config: DictConfig) -> Iterator[Run | None]:
    """Has the run open that the jobs are nested under, and ends it as the block ends.

    Raises:
        SettingError: The tracking store cannot be used.
        SystemExit: The end of the run could not be told to the store; it waits.
    """
    launch.prepare(config)  # while the writer imports MLflow
    with running.reached(config):
        parent = open_parent(asked, store)
    status, reason = "KILLED", None
    try:
        yield parent
        status = "FINISHED"
    except Exception as error:
        status, reason = "FAILED", mistakes.explain(error)[0].splitlines()[0]
        raise
    except SystemExit as end:
        # A job in this process that a signal stops leaves by an exit code too.
        if end.code == mistakes.FAILED:
            status = "FAILED"
        raise
    finally:
        if store is not None and parent is not None and status != "FINISHED":
            with contextlib.suppress(TrackingError):  # the same command goes on with them too
                store.end_lost(parent.run_id)
        waiting = None if parent is None else parent.finish(status, reason)
        if waiting is not None:
            print(f"echo-exp: {running.undelivered(waiting, asked.command)}", file=sys.stderr)
    if waiting is not None:
        sys.exit(mistakes.FAILED)


def open_parent(asked: Sweep, store: Store | None) -> Run | None:
    """Opens the run that the jobs are nested under: that of an earlier start, or a new one."""
    if store is None:
        return None
    jobs = redacted("\n".join(job.named for job in asked.jobs))
    store.describe(asked.experiment or {NOTE_TAG: experiment(), **view()})
    return store.open_parent(
        name=redacted(asked.name)[:250],
        tags=provenance.tags(asked.command)
        | {"kind": TAG, TAG: asked.identity, NOTE_TAG: asked.note(), **asked.tags},
        files={"jobs.txt": jobs} if asked.jobs else {},
        key=TAG,
    )


def _earlier(asked: Sweep, store: Store | None, parent: Run | None) -> dict[int, JobResult]:
    """Returns the results that jobs have had in earlier starts of the sweep."""
    if store is None or parent is None or asked.settings.again == Again.ALL:
        return {}
    earlier: dict[str, JobResult] = {}
    for child in store.children(parent.run_id):
        mark = child.tags.get("fingerprint")
        if mark is None:  # people may have deleted it
            continue
        if child.status == "FINISHED":
            earlier[mark] = JobResult(Status.EARLIER, metrics=child.metrics)
        elif asked.settings.again == Again.NEW and child.status != "RUNNING":
            reason = child.tags.get("error", child.status.lower())
            earlier.setdefault(mark, JobResult(Status.FAILED, f"earlier: {reason}"))
    found = {job.number: earlier.get(job.fingerprint) for job in asked.jobs}
    return {number: result for number, result in found.items() if result is not None}


def tell(
    asked: Sweep, results: Mapping[int, JobResult], store: Store | None, parent: Run | None
) -> None:
    """Prints the ranking of a sweep, its jobs and why some failed; records all of it."""
    rows = [(each, results[each.number]) for each in asked.jobs]
    settings = ranked(asked.jobs, results)
    failed = failures.lines(job.reasons(results), "job")
    _print_tables(rows, settings)
    print(summary(rows))
    for line in failed:
        terminal.console().print(line, style="red", soft_wrap=True)
    if store is not None and parent is not None:
        parent.log_table(columns(rows), "jobs.json")
        best = ranking(settings)[: 1 + DESCRIBED] if len(settings) > 1 else []
        parent.set_tag(NOTE_TAG, asked.note(best, summary(rows), failed))
        if configuration.STUDY in asked.tags:
            for each in asked.jobs:
                if results[each.number].failed:
                    parent.set_tag(FAILED_TAG + each.fingerprint, results[each.number].line)
        print(running.directions(store, parent.stored, asked.command, "them"))


def _print_tables(rows: Sequence[Row], settings: Sequence[Ranked]) -> None:
    """Prints the ranking, then the jobs; one table where each job is a setting of its own."""
    long, several = len(rows) > MOST_JOBS, pooled(rows, settings)
    out = terminal.console()
    print()
    if settings and (several or long):
        lines = ranking(settings)
        out.print(terminal.table(lines))
        left = len(settings) - len(lines) + 1
        print(f"and {left} more settings\n" if left else "")
    if long:
        print(f"All {len(rows)} jobs are in jobs.json, an artifact of the sweep's run in MLflow.\n")
    else:
        out.print(terminal.table(jobs(rows) if several else ranked_jobs(rows)), "")
