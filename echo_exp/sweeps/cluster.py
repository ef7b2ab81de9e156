"""The jobs of a sweep as tasks of a Ray cluster.

If the machine or process of a job is lost, only that job starts again; the others continue.
"""

import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from ray import exceptions

from echo_exp.configuration import exits
from echo_exp.running.provenance import RAY_NODE
from echo_exp.settings import SettingError
from echo_exp.training.interrupts import Interrupted, Interrupts

OBJECT_STORE = 80 * 2**20
"""Bytes, the least that Ray takes: jobs pass nothing but their configuration."""

SHORT = "/tmp" if Path("/tmp").is_dir() else None
"""Where a cluster of this machine has its files while it runs; names of sockets must be short."""

WAIT_SECONDS = 0.5
"""Signals are heeded between two waits."""

STOP_SECONDS = 60
"""How long jobs that are asked to stop may take for their last checkpoint."""

LOST = (
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.OutOfMemoryError,
    exceptions.ObjectLostError,
)
"""What Ray raises for a task whose process or machine has gone."""


class JobLostError(RuntimeError):
    """A job was lost each time that it was started."""


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs to run one job.

    Attributes:
        number: The job's number in the sweep.
        overrides: The overrides of the job.
        context: Hydra's means to compose its configuration.
        config: The sweep's configuration.
        task_function: What is run with the job's configuration.
        singletons: The state of Hydra here.
        folder: The working folder here.
    """

    number: int
    overrides: Sequence[str]
    context: HydraContext
    config: DictConfig
    task_function: TaskFunction
    singletons: Any = field(default_factory=Singleton.get_state)
    folder: Path = field(default_factory=Path.cwd)

    def run(self) -> JobReturn:
        """Runs the job in this process as Hydra would."""
        os.environ[RAY_NODE] = ray.get_runtime_context().get_node_id()
        os.chdir(self.folder)
        setup_globals()
        Singleton.set_state(self.singletons)
        config = self.context.config_loader.load_sweep_config(self.config, list(self.overrides))
        with open_dict(config):
            config.hydra.job.id = f"{config.hydra.job.name}_{self.number}"
            config.hydra.job.num = self.number
        HydraConfig.instance().set_config(config)
        try:
            return run_job(
                hydra_context=self.context,
                task_function=self.task_function,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        except SystemExit as end:
            if end.code == exits.SIGNALLED + signal.SIGINT:  # this is how Ray cancels
                raise KeyboardInterrupt from None
            raise


@contextlib.contextmanager
def joined(address: str | None, cpus: int, gpus: int, verbose: bool) -> Iterator[None]:
    """Joins a cluster that can take jobs of so many CPUs and GPUs, or starts one here.

    Raises:
        SettingError: There is no cluster at the address, or no machine of it is large enough.
    """
    with tempfile.TemporaryDirectory(
        prefix="ray-", dir=SHORT, ignore_cleanup_errors=True
    ) as folder:
        own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
        try:
            ray.init(
                address or "local",
                log_to_driver=verbose,
                logging_level=logging.INFO if verbose else logging.ERROR,
                **({} if address else {**own, "_temp_dir": folder}),
            )
        except (ConnectionError, ValueError) as error:
            reason = f"there is no Ray cluster to join ({str(error).splitlines()[0]})"
            raise SettingError("hydra.launcher.address", address, reason) from error
        try:
            _check_size("hydra.launcher.cpus", cpus, "CPU")
            _check_size("hydra.launcher.gpus", gpus, "GPU")
            yield
        finally:
            ray.shutdown()


def _check_size(key: str, needed: int, resource: str) -> None:
    """Refuses what no machine has, because Ray would wait for such a machine."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = max(int(machine.get(resource, 0)) for machine in machines)
    if needed > most:
        raise SettingError(
            key, needed, f"no machine of the cluster has enough: the largest has {most}"
        )


def run(jobs: Sequence[Job], cpus: int, gpus: int, attempts: int) -> list[JobReturn]:
    """Runs jobs and returns what each left, in their order.

    Args:
        jobs: The jobs.
        cpus: Cores of each.
        gpus: GPUs of each.
        attempts: How often a job is started if its machine or process is lost.

    Raises:
        Interrupted: A signal asked to stop; the jobs have stopped.
    """
    with Interrupts() as interrupts:
        interrupts.put_off()  # what a signal raises while Ray waits is lost in Ray
        return _run(jobs, cpus, gpus, attempts, interrupts)


def _run(
    jobs: Sequence[Job], cpus: int, gpus: int, attempts: int, interrupts: Interrupts
) -> list[JobReturn]:
    # Ray by itself begins a task four times whose process ends, whatever the reason.
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(Job.run)
    left: dict[int, JobReturn] = {}
    begun = {job.number: 1 for job in jobs}
    running = {task.remote(job): job for job in jobs}
    try:
        while running:
            if interrupts.pending is not None:
                raise Interrupted(interrupts.pending)
            ready, _ = ray.wait(list(running), num_returns=1, timeout=WAIT_SECONDS)
            for ended in ready:
                job = running.pop(ended)
                try:
                    left[job.number] = ray.get(ended)
                except LOST as error:
                    what = f"a job was lost: {type(error).__name__}"
                    print(what, file=sys.stderr, flush=True)
                    if begun[job.number] < attempts:
                        begun[job.number] += 1
                        running[task.remote(job)] = job
                    else:
                        left[job.number] = _given_up(job, error)
    finally:
        _stop(list(running))
    return [left[job.number] for job in jobs]


def _given_up(job: Job, error: Exception) -> JobReturn:
    left = JobReturn(overrides=job.overrides, status=JobStatus.FAILED)
    left.return_value = JobLostError(f"Ray lost it, the last time with {type(error).__name__}")
    return left


def _stop(running: list[Any]) -> None:
    """Interrupts jobs and waits until they have written their checkpoints."""
    if not running:
        return
    for task in running:
        ray.cancel(task, force=False)
    ray.wait(running, num_returns=len(running), timeout=STOP_SECONDS)
