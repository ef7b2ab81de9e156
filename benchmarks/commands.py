"""Runs `echo-exp` and its peers as commands, and compares their time and memory.

Peers run in turn, so that a slow minute affects all of them; a ratio compares runs that followed
each other.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.tracking import MlflowClient

HERE = Path(__file__).parent
RESULTS = HERE / "results"
FIGURES = HERE.parent / "docs" / "figures"
ONE_CORE = "trainer.threads=1"
"""The setting for a comparison with a peer that computes on one core."""
BASELINES = ("seq2seq", "encoder_decoder")


@dataclass(frozen=True)
class Measured:
    """One run of a command: seconds of the fit and of the whole process, and its peak memory."""

    fit: float
    process: float
    megabytes: float


def execute(command: Sequence[str], folder: Path) -> tuple[str, float, float]:
    """Runs a command; returns what it printed, its seconds and its peak memory in MB."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        output.seek(0)
        printed = output.read()
    if status != 0:
        raise RuntimeError(f"{' '.join(command)} failed")
    return printed, seconds, usage.ru_maxrss / 1024


def ours(net: str, folder: Path, *overrides: str) -> Measured:
    """Runs `echo-exp` with its defaults: it logs and validates, tracks in MLflow and exports.

    Args:
        net: A baseline, or the `model=` that replaces seq2seq.
        folder: The working directory.
        overrides: Further arguments.
    """
    named = f"experiment={net}_baseline" if net in BASELINES else f"model={net}"
    command = [sys.executable, "-m", "echo_exp", named, *overrides]
    _, seconds, megabytes = execute(command, folder)
    client = MlflowClient(f"sqlite:///{folder}/outputs/mlflow.db")
    experiment = client.get_experiment_by_name("echo")
    assert experiment is not None
    run = client.search_runs([experiment.experiment_id])[0]
    return Measured(run.data.metrics["fit_seconds"], seconds, megabytes)


def peer(module: str, *arguments: str) -> tuple[Measured, dict[str, float]]:
    """Runs one of the peers in this folder; also returns all that it measured itself."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    printed, seconds, megabytes = execute(command, HERE.parent)
    told = json.loads(printed.splitlines()[-1])
    return Measured(told["fit_seconds"], seconds, megabytes), told


def ratio(above: Sequence[float], below: Sequence[float]) -> str:
    """Returns the ratios of runs that followed each other: their median and range."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
