"""The plan of a sweep: its jobs, each identified by its settings, and how they are run."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
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
"""The prefix of a parent run's tags that say why a job failed; the job's fingerprint follows."""


LONGEST_NAME = 250
"""The most characters that MLflow accepts in the name of a run."""
LONGEST_VALUE = 6000
"""The most characters that MLflow accepts in a parameter."""


class Again(StrEnum):
    """Which jobs a sweep runs when it is started again."""

    UNFINISHED = "unfinished"
    NEW = "new"
    ALL = "all"


@dataclass(frozen=True)
class SweepSettings:
    """The settings of a sweep.

    Args:
        again: Which jobs the same sweep runs when it is started again, an `Again`: those that have
            not finished, only those that have never been started, or all.
        attempts: How often a job is started if its process is lost.
        fused: Whether jobs are trained together, as one stack, where that is possible.
        report: Whether a report is written at the end.
        dry_run: Whether the jobs are only listed, with an estimate of their time.

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
    """What the jobs of one stack share.

    Attributes:
        key: Equal for jobs that can be trained together.
        config: The configuration of one of them.
    """

    key: str
    config: DictConfig = field(repr=False, compare=False)


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        number: Its place in the sweep, counted from 0.
        overrides: What it changes in the default configuration.
        fingerprint: A hash of the settings that may change its result.
        repeats: A hash of the same without the seeds: equal for jobs that repeat each other.
        code: The version of the code that decides its result.
        parameters: Those of its settings that are worth comparing, by dotted keys.
        stack: What it shares with jobs that can be trained in one stack with it; None if none can.
        varied: The settings in which jobs of one stack may differ, by dotted keys.
        error: What is wrong with its settings; None if they are right.
    """

    number: int
    overrides: Sequence[str]
    fingerprint: str = ""
    repeats: str = ""
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
    def seeds(self) -> range:
        """Its seeds."""
        first = int(self.varied["seed"])
        return range(first, first + int(self.varied["replicas"]))

    @property
    def named(self) -> str:
        """The settings that may change its result, as on a command line."""
        return " ".join(configuration.measured(self.overrides))

    def title(self, axes: Sequence[str]) -> str:
        """Returns the name of its run: the settings in which it differs from the other jobs.

        Args:
            axes: The parameters in which the sweep's jobs differ.
        """
        named = configuration.words(self.parameters, axes, configuration.FEW_DIGITS)
        return named[:LONGEST_NAME]


@dataclass(frozen=True)
class Sweep:
    """A sweep, as it is to be run.

    Attributes:
        name: The name of the parent run.
        command: The arguments of `echo-exp` that start it.
        jobs: Its jobs.
        settings: How it is run.
        folder: Where the jobs write their results.
        axes: The parameters in which its jobs differ.
        parameters: Parameters of the parent run: what all jobs share, and the values that vary.
        about: Its description, in Markdown; None describes the settings that differ.
        tags: Further tags of the parent run.
        experiment: Tags of its MLflow experiment; none if it shares the experiment with others.
        told: Further overrides of all jobs, which change nothing that is measured.
        known_as: Its identity; empty if that follows from the jobs.
        workers: How many processes run at the same time, as far as is known.
        goals: The metrics that it optimises, the most important first; none: the test accuracy.
        lowest: Whether the first of them is best when it is lowest.
        numeric: The axes that are numbers, if the jobs are not known beforehand; otherwise None.
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
        """What identifies this sweep: `known_as`, or else a hash of its jobs and the code."""
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
        """The axes whose values are numbers in all jobs, without `seed` and `replicas`."""
        numeric = self.numeric
        if numeric is None:
            every = [job.parameters for job in self.jobs if job.parameters]
            numeric = [axis for axis in self.axes if all(is_number(run.get(axis)) for run in every)]
        return tuple(axis for axis in numeric if axis not in configuration.REPETITIONS)

    def table(self) -> str:
        """Returns its jobs as an MLflow table, in JSON."""
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
            best: The lines of the table of the best settings.
            summary: How many jobs succeeded, and how many did not.
            failed: Why jobs failed, one line per reason; None, as long as the sweep runs, lists
                only the jobs with wrong settings.
            answer: Which settings did best, in a sentence.
        """
        if failed is None:
            failed = failures.lines(job.reasons(self.problems), "job")
        about = self.about or descriptions.varied(
            configuration.measured(j.overrides) for j in self.jobs
        )
        return descriptions.sweep(about, self.command, best, summary, failed, answer)


def report_folder(config: DictConfig, run_id: str) -> Path:
    """Returns the folder for the report of a sweep.

    Args:
        config: The sweep's configuration.
        run_id: The id of its parent run.
    """
    return Path(str(config.output_dir)) / "reports" / "sweeps" / run_id


def make_jobs(
    overrides: Iterable[Sequence[str]],
    check: Callable[[configuration.Settings], None] | None = None,
) -> list[Job]:
    """Makes a job of each list of overrides, so that wrong settings are known before any job runs.

    Args:
        overrides: The overrides of each job.
        check: Raises a SettingError for settings that are not allowed in this sweep.

    Returns:
        The jobs; one with wrong settings has an `error`.

    Raises:
        Exception: Hydra's, if the settings cannot be composed at all.
    """
    jobs = []
    stacks: dict[str, Stackable] = {}
    for number, (arguments, composed) in enumerate(composition.compose_all(overrides)):
        try:
            read = configuration.read(composed)
            if check is not None:
                check(read)
            marks = resume.marks(composed)
            prints = marks.fingerprints
            key = configuration.stack_key(composed)
            stack = stacks.setdefault(key, Stackable(key, composed)) if key else None
            parameters = configuration.parameters(composed)
            varied = configuration.stack_settings(composed)
            named = prints.whole, prints.repeats, marks.code
            jobs.append(Job(number, arguments, *named, parameters, stack, varied))
        except SettingError as error:
            jobs.append(Job(number, arguments, error=error))
    return jobs


def axes(jobs: Sequence[Job]) -> tuple[str, ...]:
    """Returns the parameters in which jobs differ; `seed` and `replicas` come last.

    Args:
        jobs: The jobs of a sweep.
    """
    named = configuration.varied(job.overrides for job in jobs)
    return configuration.swept([job.parameters for job in jobs if job.parameters], named.keys())


def parameters(jobs: Sequence[Job], axes: Sequence[str]) -> dict[str, str]:
    """Returns the parameters of a parent run: what all jobs share, and the values that vary.

    Args:
        jobs: The jobs of the sweep.
        axes: The parameters in which they differ.
    """
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
    """Reads the settings of a sweep.

    Args:
        config: The sweep's configuration.

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
