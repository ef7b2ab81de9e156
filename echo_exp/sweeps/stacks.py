"""Which jobs of a sweep train together as one stack, and the file that describes them.

What Hydra gives to a process is the configuration of one job. That of the others differs in a few
settings, which stand in the file.
"""

import itertools
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
    """Groups jobs whose differences change no tensor's shape into stacks.

    A stack holds at most as many networks as are best trained together; if that makes fewer
    stacks than there are workers, each worker gets one.

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
    """Separates jobs that differ only in their epochs: the longer continues the shorter."""
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
    """Cuts jobs that could be one stack into equal parts."""
    if len(jobs) == 1:
        return [jobs]
    size = networks_together(jobs[0])
    networks = sum(job.varied["replicas"] for job in jobs)
    count = min(len(jobs), max(workers, -(-networks // size)))
    bounds = [len(jobs) * part // count for part in range(count + 1)]
    return [jobs[first:last] for first, last in itertools.pairwise(bounds)]


def networks_together(job: Job) -> int:
    """Returns how many networks of a job's shapes are best trained together; 1 of a wrong one."""
    from echo_exp.configuration.shapes import stack_size

    if job.stack is None:
        return 1
    try:
        return stack_size(job.stack.config)
    except SettingError:  # the job itself says what is wrong
        return 1


def write_stack(stack: Stack, folder: Path, axes: Sequence[str]) -> Path:
    """Leaves in the sweep's folder what a process must know to train a stack.

    Args:
        stack: Its jobs.
        folder: The sweep's folder.
        axes: The parameters that tell its jobs apart.
    """
    content = [
        {
            "job": job.number,
            "name": job.title(axes),
            # Nothing of where it is tracked: a password may stand there.
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
    """Returns of each job of a stack its number, name, overrides and settings."""
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
