"""Runs a stack of jobs, in whatever process the launcher has started for it."""

import contextlib
import copy
import functools
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration, running
from echo_exp.configuration import exits
from echo_exp.running import stacked_runs
from echo_exp.sweeps import job
from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.stacks import read_stack
from echo_exp.training.interrupts import Interrupted
from echo_exp.training.stack import NotStackableError

PROGRESS_SECONDS = 1.0


def run_stack(config: DictConfig, folder: Path, sweeper: DictConfig) -> None:
    """Runs the jobs of a stack; a job that fails does not stop the others.

    Args:
        config: The configuration of one of them; ``sweep.stack`` names the file on all of them.
        folder: The sweep's folder.
        sweeper: The node `hydra.sweeper`, which tells a job of a search about the search.

    Raises:
        Interrupted: A signal asked to stop; this ends the sweep.
    """
    job.quieten(config)
    jobs = read_stack(Path(config.sweep.stack))
    paths = [job.file(folder, each["job"]) for each in jobs]
    for path in paths:
        job.leave(JobResult(Status.RUNNING), path)
    asked = [
        stacked_runs.Asked(
            _config(config, each),
            configuration.measured(each["overrides"]),
            functools.partial(job.pruning, sweeper, each["job"]),
        )
        for each in jobs
    ]
    ended = set()

    def leave(place: int, end: "running.Result | Exception") -> None:
        ended.add(place)
        job.leave(job.result_of(end), paths[place])

    progress = _Progress(paths)
    try:
        stacked_runs.execute_stack(asked, config.sweep.parent, leave, progress.tell)
    except stacked_runs.StackError as error:
        known = isinstance(error.cause, NotStackableError)
        reason = str(error.cause) if known else exits.explain(error.cause)[0]
        print(f"echo-exp: {len(error.left)} jobs are trained one by one: {reason}", file=sys.stderr)
        for place, run_id in error.left.items():
            alone = asked[place].config
            alone.resume = run_id or alone.resume
            job.run_job(alone, jobs[place]["overrides"], folder, sweeper)
    except Interrupted as error:
        for place in set(range(len(jobs))) - ended:
            job.leave(JobResult(Status.STOPPED, str(error)), paths[place])
        raise


class _Progress:
    """Writes the progress of the jobs into the files of their results, now and then.

    Args:
        paths: The file of each job.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._left = time.monotonic()

    def tell(self, shares: Mapping[int, float]) -> None:
        """Writes how far the training of each job is, unless it was just done.

        Args:
            shares: The share of its training that each job has done, by its place in the stack.
        """
        if time.monotonic() - self._left < PROGRESS_SECONDS:
            return
        self._left = time.monotonic()
        with contextlib.suppress(OSError):  # a full disk must not end a training
            for place, share in shares.items():
                job.leave(JobResult(Status.RUNNING, share=share), self._paths[place])


def _config(config: DictConfig, entry: Mapping[str, Any]) -> DictConfig:
    """Returns the configuration of a job from its entry in the file of the stack."""
    changed = copy.deepcopy(config)
    changed.sweep.job, changed.sweep.name = entry["job"], entry["name"]
    for key, value in entry["settings"].items():
        OmegaConf.update(changed, key, value)
    return changed
