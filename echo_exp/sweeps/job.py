"""One job of a sweep, in whatever process a launcher runs it.

It leaves what became of it in a file of the sweep's folder, where the sweep looks: a launcher may
lose what a job returns, and a job may lose its process.
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
from echo_exp.configuration import mistakes
from echo_exp.training.interrupts import Interrupted

if TYPE_CHECKING:
    import pytorch_lightning as pl


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
    """What a job leaves.

    Attributes:
        status: What became of it.
        message: Why it failed, was stopped or is claimed.
        metrics: Its final metrics, by their names in MLflow, where it came to that.
    """

    status: Status
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

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
    """Returns why jobs failed, by their numbers."""
    return {number: result.line for number, result in results.items() if result.failed}


def counted(results: Iterable[JobResult]) -> list[str]:
    """Returns how many jobs did not succeed, of each kind of end that there was."""
    counts = Counter(result.status for result in results)
    told = (Status.FAILED, Status.STOPPED, Status.PRUNED)
    return [f"{counts[status]} {status}" for status in told if counts[status]]


def run_job(config: DictConfig, overrides: list[str], folder: Path, sweeper: DictConfig) -> None:
    """Runs a job; where it fails, that is its result and the sweep goes on.

    Args:
        config: Its configuration; ``sweep.parent`` and ``sweep.job`` say whose job it is.
        overrides: What it changes.
        folder: The sweep's folder.
        sweeper: What a job of a search is told of the search.

    Raises:
        Interrupted: A signal asked to stop; this ends the sweep.
    """
    path, parent = file(folder, config.sweep.job), config.sweep.parent
    if config.trainer.get("progress") == "auto":
        OmegaConf.update(config, "trainer.progress", "none")  # the sweep shows its own
    _leave(JobResult(Status.RUNNING), path)
    try:
        measured = configuration.measured(overrides)
        callbacks = functools.partial(_pruning, sweeper, config.sweep.job)
        done = running.execute(config, measured, parent, callbacks)
        metrics = done.outcome.validation() | done.outcome.metrics()
        result = JobResult(Status.FINISHED, metrics=metrics)
        if done.waiting is not None:
            result = JobResult(Status.FAILED, str(done.waiting), metrics)
    except running.AlreadyFinishedError as done:
        result = JobResult(Status.EARLIER, metrics=dict(done.stored.metrics))
    except running.ClaimedError as claimed:
        result = JobResult(Status.CLAIMED, str(claimed))
    except running.PrunedError as pruned:
        result = JobResult(Status.PRUNED, str(pruned))
    except Interrupted as error:
        _leave(JobResult(Status.STOPPED, str(error)), path)
        raise
    except Exception as error:
        message, _ = mistakes.explain(error)
        result = JobResult(Status.FAILED, message)
    _leave(result, path)


def _pruning(sweeper: DictConfig, number: int) -> "Sequence[pl.Callback]":
    """Returns what reports the validations of a trial to its search, where that prunes."""
    if sweeper.get("pruner") is None:
        return []
    from echo_exp.sweeps.search.pruning import Pruning

    return [Pruning.of(sweeper, number)]


def file(folder: Path, number: int) -> Path:
    """Returns where a job leaves its result."""
    return folder / f"job-{number}.json"


def read(path: Path) -> JobResult | None:
    """Returns the result in a file, if there is one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return JobResult(Status(content["status"]), content["message"], content["metrics"])


def _leave(result: JobResult, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(asdict(result)), encoding="utf-8")
    partial.replace(path)
