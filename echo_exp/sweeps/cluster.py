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
"""Bytes; the minimum that Ray accepts, because jobs pass only their configuration."""

SHORT = "/tmp" if Path("/tmp").is_dir() else None
"""The folder for the files of a cluster on this machine; paths of sockets must be short."""

WAIT_SECONDS = 0.5
"""The time between two checks for signals."""

STOP_SECONDS = 60
"""How long interrupted jobs may take to write their last checkpoint."""

LOST = (
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.OutOfMemoryError,
    exceptions.ObjectLostError,
)
"""What Ray raises for a task whose process or machine is gone."""


class JobLostError(RuntimeError):
    """A job was lost every time it was started."""


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs to run one job.

    Attributes:
        number: The job's number in the sweep.
        overrides: The overrides of the job.
        context: Hydra's context, which composes its configuration.
        config: The sweep's configuration.
        task_function: The function that is called with the job's configuration.
        singletons: Hydra's global state in the launching process.
        folder: The working folder of the launching process.
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
    """Joins a Ray cluster, or starts one on this machine, until the ``with`` block ends.

    Args:
        address: The cluster's address; None starts one.
        cpus: CPU cores of each job.
        gpus: GPUs of each job.
        verbose: Whether Ray's messages are shown.

    Raises:
        SettingError: There is no cluster at the address, or no machine of it is large enough.
    """
    with tempfile.TemporaryDirectory(
        prefix="ray-", dir=SHORT, ignore_cleanup_errors=True
    ) as folder:
        local: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
        try:
            ray.init(
                address or "local",
                log_to_driver=verbose,
                logging_level=logging.INFO if verbose else logging.ERROR,
                **({} if address else {**local, "_temp_dir": folder}),
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
    """Refuses more than any machine has, because Ray would wait for such a machine."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = max(int(machine.get(resource, 0)) for machine in machines)
    if needed > most:
        raise SettingError(
            key, needed, f"no machine of the cluster has enough: the largest has {most}"
        )


def run(jobs: Sequence[Job], cpus: int, gpus: int, attempts: int) -> list[JobReturn]:
    """Runs jobs on the cluster.

    Args:
        jobs: The jobs.
        cpus: CPU cores of each job.
        gpus: GPUs of each job.
        attempts: How often a job is started if its machine or process is lost.

    Returns:
        What each job returned, in the order of the jobs.

    Raises:
        Interrupted: A signal asked to stop; the jobs have stopped.
    """
    with Interrupts() as interrupts:
        interrupts.put_off()  # Ray swallows exceptions that a signal raises while Ray waits
        return _run(jobs, cpus, gpus, attempts, interrupts)


def _run(
    jobs: Sequence[Job], cpus: int, gpus: int, attempts: int, interrupts: Interrupts
) -> list[JobReturn]:
    # By default Ray starts a task up to four times if its process ends, whatever the reason.
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(Job.run)
    returned: dict[int, JobReturn] = {}
    started = {job.number: 1 for job in jobs}
    running = {task.remote(job): job for job in jobs}
    try:
        while running:
            if interrupts.pending is not None:
                raise Interrupted(interrupts.pending)
            ready, _ = ray.wait(list(running), num_returns=1, timeout=WAIT_SECONDS)
            for ended in ready:
                job = running.pop(ended)
                try:
                    returned[job.number] = ray.get(ended)
                except LOST as error:
                    message = f"a job was lost: {type(error).__name__}"
                    print(message, file=sys.stderr, flush=True)
                    if started[job.number] < attempts:
                        started[job.number] += 1
                        running[task.remote(job)] = job
                    else:
                        returned[job.number] = _given_up(job, error)
    finally:
        _stop(list(running))
    return [returned[job.number] for job in jobs]


def _given_up(job: Job, error: Exception) -> JobReturn:
    returned = JobReturn(overrides=job.overrides, status=JobStatus.FAILED)
    returned.return_value = JobLostError(f"Ray lost it, the last time with {type(error).__name__}")
    return returned


def _stop(running: list[Any]) -> None:
    """Interrupts jobs and waits until they have written their checkpoints."""
    if not running:
        return
    for task in running:
        ray.cancel(task, force=False)
    ray.wait(running, num_returns=len(running), timeout=STOP_SECONDS)
