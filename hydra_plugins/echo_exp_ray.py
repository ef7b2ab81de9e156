"""The launcher of `launch=ray`: runs the jobs of a sweep on a Ray cluster.

Hydra imports this module at every start, so Ray is imported only when there are jobs.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig

from echo_exp.settings import integer


@dataclass
class RayConfig:
    """The settings ``hydra.launcher.…``; their values are in ``conf/launch/ray.yaml``."""

    _target_: str = "hydra_plugins.echo_exp_ray.RayLauncher"
    address: str | None = None
    cpus: int = MISSING
    gpus: int | None = None
    attempts: int = MISSING


if find_spec("ray") is not None:  # else Hydra does not know the launcher, and a message says why
    ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayConfig)


class RayLauncher(Launcher):
    """Runs jobs as tasks of a Ray cluster.

    Args:
        address: Address of a running cluster, or ``auto`` to find it; None starts one here.
        cpus: Cores for each job.
        gpus: GPUs for each job.
        attempts: How often a job is tried if its machine or process is lost.

    Raises:
        SettingError: A value is not allowed.
    """

    def __init__(self, address: str | None, cpus: int, gpus: int | None, attempts: int) -> None:
        self.address = address
        self.cpus = integer("hydra.launcher.cpus", cpus, 1)
        self.gpus = integer("hydra.launcher.gpus", gpus or 0, 0)
        self.attempts = integer("hydra.launcher.attempts", attempts, 1)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keeps what the jobs need."""
        self.context, self.task_function, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        """Runs the jobs and returns the result of each, in their order."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        self._set_environment()
        from echo_exp.sweeps import cluster

        jobs = [
            cluster.Job(number, overrides, self.context, self.config, self.task_function)
            for number, overrides in enumerate(job_overrides, initial_job_idx)
        ]
        verbose = bool(self.config.hydra.verbose)
        with cluster.joined(self.address, self.cpus, self.gpus, verbose):
            return cluster.run(jobs, self.cpus, self.gpus, self.attempts)

    def _set_environment(self) -> None:
        """Sets the variables that Ray reads when it is imported, unless the user has set them."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if self.address is None:
            # A cluster of this machine alone listens on 127.0.0.1 only: the first variable says so,
            # not just on the systems in its name. The second keeps the key out of the home folder.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex())
