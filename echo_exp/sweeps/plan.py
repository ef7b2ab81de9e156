"""What a sweep is to run: its jobs, each known by its settings, and how they are run."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from echo_exp import configuration
from echo_exp.configuration import exits
from echo_exp.running import resume
from echo_exp.settings import SettingError, choice, integer, is_number, redacted
from echo_exp.sweeps import composition, descriptions, failures, job
from echo_exp.sweeps.job import JobResult, Status

TAG = "sweep"
FAILED_TAG = "failed."
"""A tag of a parent with a job's fingerprint behind it says why the job failed."""


LONGEST_NAME = 250
"""Letters of a run's name that MLflow takes."""
LONGEST_VALUE = 6000
"""Letters of a parameter that MLflow takes."""


class Again(StrEnum):
    """What a sweep runs that has been run before."""

    UNFINISHED = "unfinished"
    NEW = "new"
    ALL = "all"


@dataclass(frozen=True)
class SweepSettings:
    """The settings of a sweep.

    Args:
        again: Which jobs the same sweep runs when it is started again, an `Again`: those
            that are not finished, only those that have not been tried, or all.
        attempts: How often a job is started if its process is lost.
        fused: Whether jobs are trained together, as one stack, where that is possible.
        report: Whether a report is written at the end.
        dry_run: Whether the jobs are only listed, with what is known of their time.

    Raises:
        SettingError: A value is not allowed.
    """

    again: str
    attempts: int
    fused: bool
    report: bool
    dry_run: bool

    def __post_init__(self) -> None:
        choice("sweep.report", self.report, (True, False))
        choice("sweep.fused", self.fused, (True, False))
        choice("sweep.dry_run", self.dry_run, (True, False))
        choice("sweep.again", self.again, tuple(Again))
        integer("sweep.attempts", self.attempts, 1, 1000)


@dataclass(frozen=True)
class Stackable:
    """The properties that jobs of one stack share.

    Attributes:
        key: What tells it from others.
        config: The configuration of one of them.
    """

    key: str
    config: DictConfig = field(repr=False, compare=False)


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        number: Its place in the sweep.
        overrides: What it changes in the default configuration.
        fingerprint: What tells it from jobs with other settings.
        code: The version of the code that decides its result.
        parameters: What is worth comparing of its settings, by dotted keys.
        stack: What it shares with the jobs that it can be trained together with.
        varied: The settings in which it may differ from them, by dotted keys.
        error: What is wrong with its settings, if anything.
    """

    number: int
    overrides: Sequence[str]
    fingerprint: str = ""
    code: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stack: Stackable | None = None
    varied: Mapping[str, Any] = field(default_factory=dict)
    error: SettingError | None = None

    @property
    def problem(self) -> str:
        """What is wrong with its settings, in words."""
        return "" if self.error is None else exits.explain(self.error)[0]

    @property
    def named(self) -> str:
        """The settings that may change its result, as on a command line."""
        return " ".join(configuration.measured(self.overrides))

    def title(self, axes: Sequence[str]) -> str:
        """Returns what its run is called: what tells it from the other jobs of its sweep."""
        named = configuration.words(self.parameters, axes, configuration.FEW_DIGITS)
        return named[:LONGEST_NAME]


@dataclass(frozen=True)
class Sweep:
    """What is to be run.

    Attributes:
        name: What the parent run is called.
        command: The arguments of `echo-exp` that make it.
        jobs: Its jobs.
        settings: How it is run.
        folder: Where the jobs leave their results.
        axes: The parameters that tell its jobs apart.
        parameters: Those of its parent run: what all jobs share, and what is varied.
        about: What it is, in Markdown; None says which settings differ.
        tags: More tags of the parent run.
        experiment: Tags of its MLflow experiment, where that is its own.
        told: More overrides of all jobs, that change nothing of what is measured.
        known_as: What tells it from others where its jobs are not known beforehand.
        workers: Processes that run at the same time, as far as is known.
        goals: The metrics that it is about, the most important first; none: the test accuracy.
        lowest: Whether the first of them is best where it is lowest.
        numeric: The axes that are numbers, where its jobs are not known beforehand; None: see them.
    """

    name: str
    command: Sequence[str]
    jobs: Sequence[Job]
    settings: SweepSettings
    folder: Path
    axes: Sequence[str] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    about: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    experiment: Mapping[str, str] = field(default_factory=dict)
    told: Sequence[str] = ()
    known_as: str = ""
    workers: int = 1
    goals: Sequence[str] = ()
    lowest: bool = False
    numeric: Sequence[str] | None = None

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

    @property
    def numbers(self) -> tuple[str, ...]:
        """The settings among the axes that are numbers in all jobs, but for seeds."""
        numeric = self.numeric
        if numeric is None:
            every = [job.parameters for job in self.jobs if job.parameters]
            numeric = [axis for axis in self.axes if all(is_number(run.get(axis)) for run in every)]
        return tuple(axis for axis in numeric if axis not in configuration.REPETITIONS)

    def table(self) -> str:
        """Returns its jobs as a table of MLflow, in JSON."""
        columns = ("job", "settings", "fingerprint", "code", "problem")
        rows = [(j.number, j.named, j.fingerprint, j.code, j.problem) for j in self.jobs]
        return redacted(json.dumps({"columns": columns, "data": rows}))

    def note(
        self,
        best: Sequence[Sequence[str]] = (),
        summary: str = "",
        failed: Sequence[str] | None = None,
        answer: str = "",
    ) -> str:
        """Returns the parent run's description.

        Args:
            best: The lines of the table of the best jobs.
            summary: How many jobs succeeded, and how many did not.
            failed: Why some failed; of a sweep that has not ended, what is known beforehand.
            answer: Which settings did best, in a sentence.
        """
        if failed is None:
            failed = failures.lines(job.reasons(self.problems), "job")
        about = self.about or descriptions.varied(
            configuration.measured(j.overrides) for j in self.jobs
        )
        return descriptions.sweep(about, self.command, best, summary, failed, answer)


def report_folder(config: DictConfig, run_id: str) -> Path:
    """Returns where the report of a sweep is written, whose parent run has an id."""
    return Path(str(config.output_dir)) / "reports" / "sweeps" / run_id


def make_jobs(overrides: Iterable[Sequence[str]]) -> list[Job]:
    """Returns the jobs of some overrides; what is wrong with one job is known before the first.

    Raises:
        Exception: What Hydra raises where settings cannot be composed at all.
    """
    jobs = []
    stacks: dict[str, Stackable] = {}
    for number, (arguments, composed) in enumerate(composition.compose_all(overrides)):
        try:
            configuration.read(composed)
            fingerprint, code = configuration.fingerprint(composed), resume.code_of(composed)
            key = configuration.stack_key(composed)
            stack = stacks.setdefault(key, Stackable(key, composed)) if key else None
            parameters = configuration.parameters(composed)
            varied = configuration.stack_settings(composed)
            jobs.append(Job(number, arguments, fingerprint, code, parameters, stack, varied))
        except SettingError as error:
            jobs.append(Job(number, arguments, error=error))
    return jobs


def axes(jobs: Sequence[Job]) -> tuple[str, ...]:
    """Returns the parameters that tell jobs apart, those that repeat the same last."""
    named = configuration.varied(job.overrides for job in jobs)
    return configuration.swept([job.parameters for job in jobs if job.parameters], named.keys())


def parameters(jobs: Sequence[Job], axes: Sequence[str]) -> dict[str, str]:
    """Returns the parameters that all jobs share, and of those that tell them apart the values."""
    every = [job.parameters for job in jobs if job.parameters]
    values = {
        key: list(dict.fromkeys(str(run[key]) for run in every if key in run))
        for key in dict.fromkeys(key for run in every for key in run)
    }
    shared = {key: found[0] for key, found in values.items() if len(found) == 1}
    return {key: ", ".join(values[key])[:LONGEST_VALUE] for key in axes if key in values} | {
        key: value for key, value in shared.items() if all(key in run for run in every)
    }


def settings(config: DictConfig) -> SweepSettings:
    """Returns the settings of a sweep.

    Raises:
        SettingError: One is unknown or not allowed.
    """
    given = dict(config.sweep)
    known = [field.name for field in dataclasses.fields(SweepSettings)]
    for key, value in given.items():
        if key not in known:
            raise configuration.unknown(f"sweep.{key}", value, [f"sweep.{k}" for k in known])
    if config.resume not in (None, "auto"):
        reason = "to continue a sweep, give the same command again"
        raise SettingError("resume", config.resume, reason)
    return SweepSettings(**{str(key): value for key, value in given.items()})
