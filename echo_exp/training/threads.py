"""How many threads of the CPU a training uses: no more than its arithmetic is worth."""

import os

from echo_exp.training.module import EchoModule
from echo_exp.training.settings import AUTO, TrainerSettings

SHARE = 10_000_000
"""The work that each thread must have.

A second thread pays from less than twice as much `work` on (`python -m benchmarks.threads`), but
only where the writer process, which records the training, leaves it a core.
"""
LIMIT = "OMP_NUM_THREADS"
"""The variable by which launchers and users limit the threads of a process."""


def count_threads(settings: TrainerSettings, module: EchoModule) -> int:
    """Returns how many threads torch should use.

    Args:
        settings: The trainer's settings.
        module: The networks that will be trained or tested.
    """
    if settings.threads != AUTO:
        return int(settings.threads)
    if settings.accelerator != "cpu":
        return 1
    worth = work(module) // SHARE
    return 1 if worth < 2 else min(worth, cores())


def work(module: EchoModule) -> int:
    """Returns the number of weights of all replicas, times the windows of a batch.

    Args:
        module: The networks.
    """
    return sum(weights.numel() for weights in module.parameters()) * module.batch_size


def cores() -> int:
    """Returns how many cores this process may use: within a container, an affinity, and `LIMIT`."""
    from joblib import cpu_count  # it is slow to import, and small networks need no second thread

    limit = os.environ.get(LIMIT, "").split(",")[0]
    found: int = cpu_count(only_physical_cores=True)
    return min(found, int(limit)) if limit.isdecimal() and int(limit) > 0 else found
