"""One job of a sweep, in whatever process a launcher runs it.

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
    """A search has given it up."""
    CLAIMED = "claimed"
    """Another process is doing the same."""


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Attributes:
        status: What became of it.
        message: Why it failed, was stopped or is claimed.
        metrics: Its final metrics, by their names in MLflow, where it came to that.
        share: While it is running: how much of its training is done, where that is told.
    """

    status: Status
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether its metrics are there."""
        return self.status in (Status.FINISHED, Status.EARLIER)

    @property
    def failed(self) -> bool:
        """Whether it ended without them, and no search has given it up."""
        return self.status in (Status.FAILED, Status.STOPPED)

    @property
    def line(self) -> str:
        """What became of the job, in one line."""
        return (self.message.strip() or self.status.value).splitlines()[0]


def reasons(results: Mapping[int, JobResult]) -> dict[int, str]:
    """Returns the reasons why jobs failed, by their numbers."""
    return {number: result.line for number, result in results.items() if result.failed}


def counted(results: Iterable[JobResult]) -> list[str]:
    """Returns how many jobs did not succeed, by status."""
    counts = Counter(result.status for result in results)
    told = (Status.FAILED, Status.STOPPED, Status.PRUNED)
    return [f"{counts[status]} {status}" for status in told if counts[status]]


def run_job(config: DictConfig, overrides: list[str], folder: Path, sweeper: DictConfig) -> None:
    """Runs a job; if it fails, the failure is its result and the sweep continues.

    Args:
        config: Its configuration; ``sweep.parent`` and ``sweep.job`` say whose job it is.
        overrides: The overrides of the job.
        folder: The sweep's folder.
        sweeper: What a job of a search is told of the search.

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
    """Turns off a job's own progress display; the sweep shows the progress."""
    if config.trainer.get("progress") == "auto":
        OmegaConf.update(config, "trainer.progress", "none")


def result_of(end: "running.Result | Exception") -> JobResult:
    """Returns the result of a run for the sweep, whether it ended or not."""
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
    """Returns the callback that reports a trial's validations to its search, if that prunes."""
    if sweeper.get("pruner") is None:
        return []
    from echo_exp.sweeps.search.pruning import Pruning

    return [Pruning.of(sweeper, number)]


def file(folder: Path, number: int) -> Path:
    """Returns the file for a job's result."""
    return folder / f"job-{number}.json"


def read(path: Path) -> JobResult | None:
    """Returns the result in a file, if there is one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return JobResult(**{**content, "status": Status(content["status"])})


def leave(result: JobResult, path: Path) -> None:
    """Writes a result where the sweep looks for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(asdict(result)), encoding="utf-8")
    partial.replace(path)
