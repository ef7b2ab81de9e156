"""Where a run comes from: the command, its user, the code, versions, the machine."""

import contextlib
import functools
import getpass
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from echo_exp import configuration
from echo_exp.settings import redacted

RAY_NODE = "ECHO_EXP_RAY_NODE"
PLACES = {"ray.node": RAY_NODE, "slurm.node": "SLURMD_NODENAME", "slurm.job": "SLURM_JOB_ID"}
"""Tags that tell where a job ran, and the variables that its launcher sets there."""


def tags(overrides: Sequence[str]) -> dict[str, str]:
    """Returns where a run comes from: the command, its user, the code, versions, the machine."""
    flags = [flag for flag in configuration.flags() if flag not in overrides]
    found = {
        "mlflow.source.name": redacted(shlex.join(["echo-exp", *flags, *overrides])),
        "mlflow.source.type": "LOCAL",
    }
    with contextlib.suppress(OSError, KeyError):  # a user without a name
        found["mlflow.user"] = getpass.getuser()
    found["machine"] = f"{platform.node()} ({platform.machine()}, {os.cpu_count()} cores)"
    return found | _place() | _code()


def _place() -> dict[str, str]:
    """Returns where in a cluster this process runs, as tags."""
    return {tag: os.environ[name] for tag, name in PLACES.items() if name in os.environ}


@functools.cache
def _code() -> dict[str, str]:
    """Returns what code this process runs, as tags."""
    found = {"version.python": platform.python_version()}
    for name in ("echo_exp", "torch", "pytorch-lightning", "hydra-core", "mlflow", "numpy"):
        with contextlib.suppress(PackageNotFoundError):  # a checkout that was not installed
            found[f"version.{name}"] = version(name)
    commit = _git_commit()
    return found | ({"mlflow.source.git.commit": commit} if commit else {})


def _git_commit() -> str | None:
    checkout = configuration.FOLDER.parent
    if not (checkout / ".git").exists():
        return None
    describe = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        return subprocess.run(
            describe, capture_output=True, encoding="utf-8", check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
