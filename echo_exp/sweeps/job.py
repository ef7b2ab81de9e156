"""Runs one job of a sweep, in whatever process the launcher has started for it.

It writes its result to a file in the sweep's folder, because a launcher may lose what a job
returns, and a job may lose its process.
"""

import functools
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration, running
from echo_exp.configuration import exits
from echo_exp.training.interrupts import Interrupted

if TYPE_CHECKING:
    from echo_exp.sweeps.search.pruning import Pruning


class Status(StrEnum):
    """What became of a job."""

    RUNNING = "running"
    FINISHED = "ok"
    EARLIER = "ok, finished earlier"
    FAILED = "failed"
    STOPPED = "stopped"
    PRUNED = "pruned"
    """Its search has stopped it early."""
    CLAIMED = "claimed"
    """Another process is running the same job."""


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Attributes:
        status: What became of it.
        message: Why it failed, was stopped or is claimed.
        metrics: Its final metrics, by their names in MLflow; empty if it did not get that far.
        share: The share of its training that is done, from 0 to 1, while it is running; 0 if that
            is not known.
    """

    status: Status
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether it has finished, so that its metrics are known."""
        return self.status in (Status.FINISHED, Status.EARLIER)

    @property
    def failed(self) -> bool:
        """Whether it failed or was stopped; a pruned job has not failed."""
        return self.status in (Status.FAILED, Status.STOPPED)

    @property
    def line(self) -> str:
        """Why it failed, was stopped or is claimed, in one line; else its status."""
        return (self.message.strip() or self.status.value).splitlines()[0]


def reasons(results: Mapping[int, JobResult]) -> dict[int, str]:
    """Returns why jobs failed, by their numbers.

    Args:
        results: The results of jobs, by their numbers.
    """
    return {number: result.line for number, result in results.items() if result.failed}


def counted(results: Iterable[JobResult]) -> list[str]:
    """Returns how many jobs failed, were stopped and were pruned, in words.

    Args:
        results: The results of the jobs.
    """
    counts = Counter(result.status for result in results)
    ends = (Status.FAILED, Status.STOPPED, Status.PRUNED)
    return [f"{counts[status]} {status}" for status in ends if counts[status]]


def run_job(config: DictConfig, overrides: list[str], folder: Path, sweeper: DictConfig) -> None:
    """Runs a job; if it fails, the failure is its result and the sweep continues.

    Args:
        config: Its configuration; ``sweep.parent`` is the parent run and ``sweep.job`` its number.
        overrides: The overrides of the job.
        folder: The sweep's folder.
        sweeper: The node `hydra.sweeper`, which tells a job of a search about the search.

    Raises:
        Interrupted: A signal asked to stop; this ends the sweep.
    """
    path, parent = file(folder, config.sweep.job), config.sweep.parent
    quieten(config)
    leave(JobResult(Status.RUNNING), path)
    try:
        callbacks = functools.partial(pruning, sweeper, config.sweep.job)
        done = running.execute(config, configuration.measured(overrides), parent, callbacks)
        result = result_of(done)
    except Interrupted as error:
        leave(JobResult(Status.STOPPED, str(error)), path)
        raise
    except Exception as error:
        result = result_of(error)
    leave(result, path)


def quieten(config: DictConfig) -> None:
    """Turns off a job's own progress display; the sweep shows the progress.

    Args:
        config: The job's configuration, which is changed.
    """
    if config.trainer.get("progress") == "auto":
        OmegaConf.update(config, "trainer.progress", "none")


def result_of(end: "running.Result | Exception") -> JobResult:
    """Returns the result of a job from the way in which its run ended.

    Args:
        end: What the run returned or raised.
    """
    match end:
        case running.Result():
            metrics = end.outcome.validation() | end.outcome.metrics()
            if end.waiting is not None:
                return JobResult(Status.FAILED, str(end.waiting), metrics)
            return JobResult(Status.FINISHED, metrics=metrics)
        case running.AlreadyFinishedError():
            return JobResult(Status.EARLIER, metrics=dict(end.stored.metrics))
        case running.ClaimedError():
            return JobResult(Status.CLAIMED, str(end))
        case running.PrunedError():
            return JobResult(Status.PRUNED, str(end))
    return JobResult(Status.FAILED, exits.explain(end)[0])


def pruning(sweeper: DictConfig, number: int) -> "Sequence[Pruning]":
    """Returns the callback that reports a trial's validations to its search.

    Args:
        sweeper: The node `hydra.sweeper` of the job.
        number: The trial's number.

    Returns:
        The callback; none if the search does not prune.
    """
    if sweeper.get("pruner") is None:
        return []
    from echo_exp.sweeps.search.pruning import Pruning

    return [Pruning.of(sweeper, number)]


def file(folder: Path, number: int) -> Path:
    """Returns the file for a job's result.

    Args:
        folder: The sweep's folder.
        number: The job's number.
    """
    return folder / f"job-{number}.json"


def read(path: Path) -> JobResult | None:
    """Reads a job's result; None if it has not written one.

    Args:
        path: The job's `file`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return JobResult(**{**content, "status": Status(content["status"])})


def leave(result: JobResult, path: Path) -> None:
    """Writes a job's result; whoever reads the file finds it whole.

    Args:
        result: The result.
        path: The job's `file`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(asdict(result)), encoding="utf-8")
    partial.replace(path)
