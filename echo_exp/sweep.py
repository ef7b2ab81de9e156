"""A sweep: jobs, each known by its settings, run by a launcher until none is missing.

The same sweep, started again or on a second machine, runs only what nobody has finished. One job
that loses its process may stop a launcher, so jobs are launched in rounds: what is left of one is
launched again in the next.
"""

import contextlib
import dataclasses
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from echo_exp import composition, descriptions, failures, job, mistakes, resume, run
from echo_exp import config as configuration
from echo_exp.job import JobResult, Status
from echo_exp.settings import SettingError, choice, integer, redacted
from echo_exp.study import quoted
from echo_exp.table import best, columns, ranking, summary, table
from echo_exp.tracking import Run, Store, TrackingError, UnreachableError
from echo_exp.tracking.view import NOTE_TAG, view
from echo_exp.watch import Watch, watching

TAG = "sweep"
FAILED_TAG = "failed."
"""A tag of a parent with a job's fingerprint behind it says why the job failed."""
ANOTHER_LOOK_SECONDS = 1.0
"""How often is looked whether another process has done what it has claimed."""

Launch = Callable[[list[list[str]]], Sequence[JobReturn]]
"""Runs jobs, given as their overrides, to their ends."""


class Again(StrEnum):
    """What a sweep runs that has been run before."""

    UNFINISHED = "unfinished"
    NEW = "new"
    ALL = "all"


@dataclass(frozen=True)
class SweepSettings:
    """The settings of a sweep.

    Args:
        again: What the same sweep runs when it is started again, an `Again`: what is not finished,
            only what has not been tried, or everything.
        attempts: How often a job is started whose process is lost.

    Raises:
        SettingError: A value is not allowed.
    """

    again: str
    attempts: int

    def __post_init__(self) -> None:
        choice("sweep.again", self.again, tuple(Again))
        integer("sweep.attempts", self.attempts, 1, 1000)


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        number: Its place in the sweep.
        overrides: What it changes in the default configuration.
        fingerprint: What tells it from jobs with other settings.
        code: The version of the code that decides its result.
        error: What is wrong with its settings, if anything.
    """

    number: int
    overrides: Sequence[str]
    fingerprint: str = ""
    code: str = ""
    error: SettingError | None = None

    @property
    def problem(self) -> str:
        """What is wrong with its settings, in words."""
        return "" if self.error is None else mistakes.explain(self.error)[0]

    @property
    def named(self) -> str:
        """The settings that may change its result, as on a command line."""
        return " ".join(configuration.measured(self.overrides))


@dataclass(frozen=True)
class Sweep:
    """What is to be run.

    Attributes:
        name: What the parent run is called.
        command: The arguments of `echo-exp` that make it.
        jobs: Its jobs.
        settings: How it is run.
        folder: Where the jobs leave their results.
        about: What it is, in Markdown; None says which settings differ.
        tags: More tags of the parent run.
        experiment: Tags of its MLflow experiment, where that is its own.
        told: More overrides of all jobs, that change nothing of what is measured.
        known_as: What tells it from others where its jobs are not known beforehand.
    """

    name: str
    command: Sequence[str]
    jobs: Sequence[Job]
    settings: SweepSettings
    folder: Path
    about: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    experiment: Mapping[str, str] = field(default_factory=dict)
    told: Sequence[str] = ()
    known_as: str = ""

    @property
    def identity(self) -> str:
        """What tells this sweep from others: a hash of the jobs and the code, unless given."""
        if self.known_as:
            return self.known_as
        text = "\n".join(job.fingerprint + job.code + job.problem for job in self.jobs)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def problems(self) -> dict[int, JobResult]:
        """The results of the jobs whose settings are wrong, by the jobs' numbers."""
        wrong = {job.number: job.problem for job in self.jobs if job.problem}
        return {number: JobResult(Status.FAILED, problem) for number, problem in wrong.items()}

    def note(
        self,
        best: Sequence[Sequence[str]] = (),
        summary: str = "",
        failed: Sequence[str] | None = None,
    ) -> str:
        """Returns the parent run's description.

        Args:
            best: The lines of the table of the best jobs.
            summary: How many jobs succeeded, and how many did not.
            failed: Why some failed; of a sweep that has not ended, what is known beforehand.
        """
        if failed is None:
            failed = failures.lines(job.reasons(self.problems), "job")
        about = self.about or descriptions.varied(
            configuration.measured(j.overrides) for j in self.jobs
        )
        return descriptions.sweep(about, self.command, best, summary, failed)


def make_jobs(overrides: Iterable[Sequence[str]]) -> list[Job]:
    """Returns the jobs of some overrides; what is wrong with one job is known before the first.

    Raises:
        Exception: What Hydra raises where settings cannot be composed at all.
    """
    jobs = []
    for number, (arguments, composed) in enumerate(composition.compose_all(overrides)):
        try:
            configuration.read(composed)
            fingerprint, code = configuration.fingerprint(composed), resume.code_of(composed)
            jobs.append(Job(number, arguments, fingerprint, code))
        except SettingError as error:
            jobs.append(Job(number, arguments, error=error))
    return jobs


def settings(config: DictConfig) -> SweepSettings:
    """Returns the settings of a sweep.

    Raises:
        SettingError: One is unknown or not allowed.
    """
    given = dict(config.sweep)
    for key, value in given.items():
        if key not in ("again", "attempts"):
            known = ("sweep.again", "sweep.attempts")
            raise configuration.unknown(f"sweep.{key}", value, known)
    if config.resume not in (None, "auto"):
        reason = "a sweep goes on by itself when the same command is given again"
        raise SettingError("resume", config.resume, reason)
    return SweepSettings(**{str(key): value for key, value in given.items()})


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
    store = run.open_store(config)
    with parent_run(asked, store, config) as parent:
        with watching("sweep", "job", asked.folder, len(asked.jobs)) as watch:
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
    with run.reached(config):
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
            print(f"echo-exp: {run.undelivered(waiting, asked.command)}", file=sys.stderr)
    if waiting is not None:
        sys.exit(mistakes.FAILED)


def open_parent(asked: Sweep, store: Store | None) -> Run | None:
    """Opens the run that the jobs are nested under: that of an earlier start, or a new one."""
    if store is None:
        return None
    jobs = redacted("\n".join(job.named for job in asked.jobs))
    store.describe(asked.experiment or {NOTE_TAG: descriptions.experiment(), **view()})
    return store.open_parent(
        name=redacted(asked.name)[:250],
        tags=run.tags(asked.command)
        | {"kind": TAG, TAG: asked.identity, NOTE_TAG: asked.note(), **asked.tags},
        files={"jobs.txt": jobs} if asked.jobs else {},
        key=TAG,
    )


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
        found = _round(asked, free, parent, launch)
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


def _free(waiting: Sequence[Job], store: Store | None) -> list[Job]:
    """Returns the jobs that no other process is doing, one of each fingerprint."""
    one = list({job.fingerprint: job for job in reversed(waiting)}.values())[::-1]
    if store is None:
        return one
    things = {run.claim(job.fingerprint): job for job in one}
    try:
        taken = store.claimed(list(things))
    except UnreachableError:  # the jobs wait for it, and say so where that is in vain
        return one
    return [job for thing, job in things.items() if thing not in taken]


def _round(
    asked: Sweep, jobs: Sequence[Job], parent: Run | None, launch: Launch
) -> dict[int, JobResult | None]:
    """Launches jobs once and returns what they left; of one that was lost that it is running."""
    files = {each.number: job.file(asked.folder, each.number) for each in jobs}
    for path in files.values():
        path.unlink(missing_ok=True)
    try:
        returned = launch([_told(asked, each, parent) for each in jobs])
    except Exception as error:
        # Of a job whose process was lost some launchers make the end of all.
        if not any(path.exists() for path in files.values()):
            raise
        said = mistakes.explain(error)[0]
        print(f"the launcher stopped: {said}", file=sys.stderr)
        found = {number: job.read(path) for number, path in files.items()}
        return {number: _with(result, said) for number, result in found.items()}
    said_of = dict(zip(files, map(_said, returned), strict=False))
    return {
        number: _with(job.read(path) or JobResult(Status.RUNNING), said_of.get(number, ""))
        for number, path in files.items()
    }


def _said(returned: JobReturn) -> str:
    """Returns why a job failed, as its launcher has it."""
    failed = returned.status == JobStatus.FAILED
    return mistakes.explain(returned._return_value)[0] if failed else ""


def _with(result: JobResult | None, said: str) -> JobResult | None:
    """Returns what a job left, with what its launcher says where it does not say itself."""
    if result is None or result.status != Status.RUNNING:
        return result
    return dataclasses.replace(result, message=said)


def _told(asked: Sweep, each: Job, parent: Run | None) -> list[str]:
    """Returns a job's overrides with what else it must know."""
    again = "null" if asked.settings.again == Again.ALL else "auto"
    return [
        *each.overrides,
        f"resume={again}",
        f"+sweep.job={each.number}",
        f"+sweep.parent={parent.run_id if parent else 'null'}",
        f"hydra.sweep.dir={quoted(str(asked.folder))}",
        "hydra.sweep.subdir=.",
        "hydra.mode=MULTIRUN",
        *asked.told,
    ]


def tell(
    asked: Sweep, results: Mapping[int, JobResult], store: Store | None, parent: Run | None
) -> None:
    """Prints the table of a sweep, its best settings and why jobs failed; records all of it."""
    rows = [(each.number, each.named, results[each.number]) for each in asked.jobs]
    failed = failures.lines(job.reasons(results), "job")
    print(table(rows))
    print(best(rows), end="")
    print("\n".join([summary(rows), *failed]))
    if store is not None and parent is not None:
        parent.log_table(columns(rows), "jobs.json")
        parent.set_tag(NOTE_TAG, asked.note(ranking(rows), summary(rows), failed))
        if configuration.STUDY in asked.tags:
            for each in asked.jobs:
                if results[each.number].failed:
                    parent.set_tag(FAILED_TAG + each.fingerprint, results[each.number].line)
        print(run.directions(store, parent.stored, asked.command, "them"))
