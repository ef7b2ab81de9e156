"""The launchers of a sweep (`launch=...`): checked, made, and asked how many jobs they run."""

import copy
import os
import shutil
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from echo_exp.configuration import LAUNCH, build
from echo_exp.settings import SettingError
from echo_exp.training.settings import AUTO

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that the numerical libraries of NumPy and torch read once, when they are loaded."""


def make_launcher(
    config: DictConfig, context: HydraContext, task_function: TaskFunction, folder: Path
) -> Launcher:
    """Returns the launcher of a sweep; `ready` has to be called before.

    Args:
        config: The sweep's configuration.
        context: Hydra's context, which composes the configurations of the jobs.
        task_function: The function that runs a job.
        folder: The sweep's folder.
    """
    placed = copy.deepcopy(config)
    with read_write(placed), open_dict(placed):
        placed.hydra.sweep.dir = str(folder)
    return Plugins.instance().instantiate_launcher(
        config=placed, hydra_context=context, task_function=task_function
    )


def limit_threads(config: DictConfig) -> None:
    """Limits the threads of the processes that the launcher starts to the cores of their job.

    If the threads are chosen automatically, jobs in this process have all cores, and joblib divides
    these among its processes itself.

    Args:
        config: The sweep's configuration.
    """
    launcher, threads = config.hydra.launcher, OmegaConf.select(config, "trainer.threads")
    cores = launcher.get("cpus", launcher.get("cpus_per_task")) if threads == AUTO else threads
    if _is_count(cores):  # each job rejects any other value
        os.environ.update(dict.fromkeys(POOLS, str(cores)))


def workers(config: DictConfig) -> int:
    """Returns how many processes the launcher runs at the same time; 1 if that is not known here.

    Args:
        config: The sweep's configuration.
    """
    launcher = config.hydra.launcher
    if launcher._target_.endswith(".JoblibLauncher"):
        from joblib import effective_n_jobs

        return int(effective_n_jobs(launcher.n_jobs))
    if launcher._target_.endswith(".RayLauncher") and launcher.get("address") is None:
        return _jobs_at_once(launcher.get("cpus"))
    return 1


def in_this_process(launcher: DictConfig) -> bool:
    """Returns whether a launcher runs jobs in this process, one after the other.

    Args:
        launcher: The node `hydra.launcher`.
    """
    # By name: Hydra loads its plugins again, after which there are two classes of that name.
    names = [base.__name__ for base in get_class(launcher._target_).__mro__]
    return "BasicLauncher" in names


def prepare(config: DictConfig) -> None:
    """Imports early what takes seconds to import.

    If jobs run in this process, that is everything that trains. Otherwise a sweep with stacks needs
    only torch, to compute the sizes of the stacks.

    Args:
        config: The sweep's configuration.
    """
    if in_this_process(config.hydra.launcher):
        import echo_exp.running.stacked_runs
    elif config.sweep.fused:
        import echo_exp.configuration.shapes  # noqa: F401


def ready(config: DictConfig) -> None:
    """Checks the settings of a sweep's launcher, and limits the threads of its jobs.

    It comes before the imports that read the number of threads.

    Args:
        config: The sweep's configuration.

    Raises:
        SettingError: One of them is not allowed, or this machine cannot launch.
    """
    launcher = config.hydra.launcher
    if launcher._target_.endswith(".SlurmLauncher") and shutil.which("sbatch") is None:
        reason = "it needs Slurm, but this machine has no sbatch"
        raise SettingError(LAUNCH, "slurm", reason)
    if launcher._target_.endswith(".RayLauncher"):
        build(launcher, "hydra.launcher")
    limit_threads(config)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _cpus(threads: Any) -> Any:
    """Returns how many cores a job is given on a cluster, where `auto` is a single one."""
    return 1 if threads == AUTO else threads


def _jobs_at_once(threads: Any) -> int:
    """Returns how many jobs, each with this many threads, fit on the cores of this process."""
    from joblib import cpu_count  # it respects containers and CPU affinities

    threads = _cpus(threads)
    return max(1, cpu_count() // threads) if _is_count(threads) else 1


def _gpus(accelerator: Any) -> int | None:
    return 1 if accelerator == "gpu" else None


OmegaConf.register_new_resolver("cpus", _cpus, replace=True)
OmegaConf.register_new_resolver("jobs_at_once", _jobs_at_once, replace=True)
OmegaConf.register_new_resolver("gpus", _gpus, replace=True)
