"""Decides which jobs of a sweep are trained together as one stack, and writes the stack's file.

Hydra passes the configuration of a single job to a process. The other jobs of the stack differ from
it in a few settings, which are in the file.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from echo_exp import configuration
from echo_exp.settings import SettingError
from echo_exp.sweeps.plan import Job

Stack = list[Job]


def make_stacks(jobs: Sequence[Job], workers: int) -> list[Stack]:
    """Groups jobs into stacks; the jobs of a stack have tensors of equal shapes.

    A stack holds at most as many networks as are best trained together, unless a single job has
    more replicas. If that gives fewer stacks than workers, the jobs are divided so that each worker
    gets a stack.

    Args:
        jobs: The jobs.
        workers: Processes that run at the same time.

    Returns:
        The stacks, in the order of their first jobs; a single job stands alone.
    """
    together: dict[str, Stack] = defaultdict(list)
    for job in jobs:
        together[job.stack.key if job.stack else f"alone {job.number}"].append(job)
    apart = [group for same in together.values() for group in _apart(same)]
    stacks = [part for same in apart for part in _split(same, workers)]
    return sorted(stacks, key=lambda stack: min(job.number for job in stack))


def _apart(jobs: Stack) -> list[Stack]:
    """Separates jobs that differ only in epochs, because the longer job continues the shorter."""
    first = jobs[0].stack
    if first and not configuration.can_grow(first.config):
        return [jobs]
    kin = {tuple(sorted((k, v) for k, v in j.varied.items() if k != "epochs")) for j in jobs}
    if len(kin) == len(jobs):
        return [jobs]
    groups: dict[int, Stack] = defaultdict(list)
    for job in jobs:
        groups[job.varied["epochs"]].append(job)
    return list(groups.values())


def _split(jobs: Stack, workers: int) -> list[Stack]:
    """Cuts jobs that could be one stack into parts with about equally many networks."""
    if len(jobs) == 1:
        return [jobs]
    most = networks_together(jobs[0])
    left = sum(job.varied["replicas"] for job in jobs)
    parts: list[Stack] = []
    held, goal = 0, 0.0  # networks in the last part, and how many it is to have
    for job in jobs:
        many = job.varied["replicas"]
        if not held or held + many > most or held + many / 2 > goal:
            goal = left / max(-(-left // most), workers - len(parts))
            held = 0
            parts.append([])
        parts[-1].append(job)
        held, left = held + many, left - many
    return parts


def networks_together(job: Job) -> int:
    """Returns how many networks of a job's shapes are best trained together.

    Args:
        job: The job.

    Returns:
        The number; 1 if the job's settings are wrong.
    """
    from echo_exp.configuration.shapes import stack_size

    if job.stack is None:
        return 1
    try:
        return stack_size(job.stack.config)
    except SettingError:  # the job itself will raise it
        return 1


def write_stack(stack: Stack, folder: Path, axes: Sequence[str]) -> Path:
    """Writes into the sweep's folder what a process must know to train a stack.

    Args:
        stack: The jobs of the stack.
        folder: The sweep's folder.
        axes: The parameters in which the sweep's jobs differ.

    Returns:
        The file.
    """
    content = [
        {
            "job": job.number,
            "name": job.title(axes),
            # Without the settings of tracking: they may contain a password.
            "overrides": configuration.measured(job.overrides),
            "settings": dict(job.varied),
        }
        for job in stack
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"stack-{stack[0].number}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def read_stack(path: Path) -> list[dict[str, Any]]:
    """Reads the file of a stack.

    Args:
        path: The file that `write_stack` wrote.

    Returns:
        The number, name, overrides and settings of each job.
    """
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
