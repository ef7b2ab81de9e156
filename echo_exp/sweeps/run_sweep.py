"""Runs a sweep: opens its parent run, runs the unfinished jobs, and prints the results.

The same sweep, started again or on a second machine, runs only the unfinished jobs.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from omegaconf import DictConfig

from echo_exp import configuration, running
from echo_exp.configuration import exits
from echo_exp.running import provenance
from echo_exp.running.descriptions import experiment
from echo_exp.running.resume import REPEATS
from echo_exp.settings import redacted
from echo_exp.sweeps import launch, more_seeds, plan
from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.plan import TAG, Again, Sweep
from echo_exp.sweeps.progress import SweepProgress
from echo_exp.sweeps.results import REPORT, tell
from echo_exp.sweeps.rounds import Launch, run_jobs
from echo_exp.sweeps.table import best_of
from echo_exp.sweeps.watch import watching
from echo_exp.tracking import DeletedError, Run, Store, StoredRun, TrackingError
from echo_exp.tracking.ui.view import (
    MEMBER,
    NOTE_TAG,
    SWEPT_TAG,
    member,
    sweep_view,
    view,
)


def run_sweep(sweep: Sweep, config: DictConfig, launching: Callable[[Path], Launch]) -> None:
    """Runs a sweep, prints its results, and ends the program with 1 if a job failed.

    Args:
        sweep: The sweep.
        config: The configuration that all jobs share.
        launching: Returns what launches the jobs of a folder.

    Raises:
        SettingError: The tracking store cannot be used.
        Interrupted: A signal asked to stop; the same command continues the sweep.
    """
    store = running.open_store(config)
    found = _found(sweep, store, config)
    sweep = more_seeds.divided(sweep, found)
    finished = more_seeds.finished(sweep, found)
    if finished:
        print(more_seeds.told(sweep, finished))
    with parent_run(sweep, store, config) as parent:
        best = functools.partial(best_of, sweep.jobs, sweep.axes)
        replicas = {job.number: int(job.varied.get("replicas", 1)) for job in sweep.jobs}
        progress = SweepProgress(parent, int(config.replicas), replicas)
        total = len(sweep.jobs)
        with watching("sweep", "job", sweep.folder, total, best, progress.tell) as watch:
            earlier = _earlier(sweep, store, parent) | _taken_over(finished, store, parent)
            results = run_jobs(sweep, store, parent, launching(sweep.folder), watch, earlier)
        progress.tell(results, last=True)
        tell(sweep, results, store, parent, report_folder(sweep, config, parent))
        if not all(result.succeeded for result in results.values()):
            sys.exit(exits.FAILED)


def report_folder(sweep: Sweep, config: DictConfig, parent: Run | None) -> Path | None:
    """Returns the folder for the report of a sweep; None if the sweep writes no report.

    The report of a study is written by `echo-exp-report study=...` instead.

    Args:
        sweep: The sweep.
        config: The configuration that all jobs share.
        parent: The parent run; None if nothing is tracked.
    """
    if parent is None or not sweep.settings.report or configuration.STUDY in sweep.tags:
        return None
    return plan.report_folder(config, parent.run_id)


@contextlib.contextmanager
def parent_run(sweep: Sweep, store: Store | None, config: DictConfig) -> Iterator[Run | None]:
    """Opens the parent run of the jobs, and ends it when the ``with`` block ends.

    Args:
        sweep: The sweep.
        store: The tracking store; None if nothing is tracked.
        config: The configuration that all jobs share.

    Yields:
        The parent run; None if nothing is tracked.

    Raises:
        SettingError: The tracking store cannot be used.
        SystemExit: The store did not receive the end of the run; it waits in a file.
    """
    launch.prepare(config)  # while the writer imports MLflow
    with running.reached(config):
        parent = open_parent(sweep, store)
    status, reason = "KILLED", None
    try:
        if parent is not None and report_folder(sweep, config, parent) is not None:
            parent.expect_report(REPORT)
        yield parent
        status = "FINISHED"
    except Exception as error:
        status, reason = "FAILED", exits.explain(error)[0].splitlines()[0]
        raise
    except SystemExit as end:
        # A signal that stops a job in this process also raises SystemExit.
        if end.code == exits.FAILED:
            status = "FAILED"
        raise
    finally:
        if store is not None and parent is not None and status != "FINISHED":
            with contextlib.suppress(TrackingError):  # the same command resumes such runs too
                store.end_lost(parent.run_id)
        waiting = None if parent is None else parent.finish(status, reason)
        if waiting is not None:
            print(f"echo-exp: {running.undelivered(waiting, sweep.command)}", file=sys.stderr)
    if waiting is not None:
        sys.exit(exits.FAILED)


def open_parent(sweep: Sweep, store: Store | None) -> Run | None:
    """Opens the parent run of the jobs: the one from an earlier start, or a new one.

    Args:
        sweep: The sweep.
        store: The tracking store; None if nothing is tracked.

    Returns:
        The parent run; None if nothing is tracked.
    """
    if store is None:
        return None
    store.describe(sweep.experiment or {NOTE_TAG: experiment(), **view()})
    parent = store.open_parent(
        name=redacted(sweep.name)[: plan.LONGEST_NAME],
        tags=provenance.tags(sweep.command)
        | {"kind": TAG, TAG: sweep.identity, NOTE_TAG: sweep.note(), **sweep.tags}
        | {SWEPT_TAG: ", ".join(sweep.axes)},
        params=sweep.parameters,
        files={"plan.json": sweep.table()} if sweep.jobs else {},
        key=TAG,
    )
    name = redacted(sweep.name)
    store.save_view(
        sweep_view(parent.run_id, name, sweep.axes, sweep.numbers, sweep.goals, sweep.lowest)
    )
    return parent


def _found(sweep: Sweep, store: Store | None, config: DictConfig) -> more_seeds.Found[StoredRun]:
    """Returns the finished runs with the cells of a study and any seeds; none for other sweeps."""
    if store is None or not more_seeds.continues(sweep):
        return {}
    launch.prepare(config)  # while the writer imports MLflow
    with running.reached(config):
        repeats = dict.fromkeys(job.repeats for job in sweep.jobs)
        trained = store.find_trained(REPEATS, list(repeats))
    return more_seeds.grouped((each.run.tags, each.seeds, each.run) for each in trained)


def _taken_over(
    finished: Mapping[int, StoredRun], store: Store | None, parent: Run | None
) -> dict[int, JobResult]:
    """Returns the results of finished runs, by their jobs, and adds the runs to the sweep."""
    if store is None or parent is None:
        return {}
    tag, found = member(parent.run_id), {}
    for number, run in finished.items():
        with contextlib.suppress(DeletedError):  # just now, by somebody in the UI: it runs again
            if tag not in run.tags:
                store.mark(run.run_id, {tag: MEMBER})
            found[number] = JobResult(Status.EARLIER, metrics=run.metrics)
    return found


def _earlier(sweep: Sweep, store: Store | None, parent: Run | None) -> dict[int, JobResult]:
    """Returns the results of jobs from earlier starts of the sweep."""
    if store is None or parent is None or sweep.settings.again == Again.ALL:
        return {}
    earlier: dict[str, JobResult] = {}
    for child in store.children(parent.run_id):
        mark = child.tags.get("fingerprint")
        if mark is None:  # somebody may have deleted the tag
            continue
        if child.status == "FINISHED":
            earlier[mark] = JobResult(Status.EARLIER, metrics=child.metrics)
        elif sweep.settings.again == Again.NEW and child.status != "RUNNING":
            reason = child.tags.get("error", child.status.lower())
            earlier.setdefault(mark, JobResult(Status.FAILED, f"earlier: {reason}"))
    found = {job.number: earlier.get(job.fingerprint) for job in sweep.jobs}
    return {number: result for number, result in found.items() if result is not None}
