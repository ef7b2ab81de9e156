"""How long the studies took, and how long one Keras process per seed would have taken.

    python -m benchmarks.studies [--store outputs/mlflow.db] [--scale full]

Our time is read from the store: the time from start to end of each cell's run, however many of them
ran side by side. The time of Keras is estimated from one process for each different network of the
cells, all measured here: the time from its start to the end of the first epoch (it compiles), and
the median of the epochs that follow. It validates and logs nothing. A process per seed would take
that start and all epochs of the cell. Prints Markdown and writes `benchmarks/results/studies.json`.
Run nothing else at the same time.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig

from benchmarks.cells import keras_net, of_study
from benchmarks.commands import HERE, RESULTS
from echo_exp import configuration
from tests.parity.keras_nets import Net, Peer

JSON = RESULTS / "studies.json"
EPOCHS = 15
NAMES = [
    "ignore_state",
    "linear_representation",
    "longer_echoes",
    "missing_values",
    "topologies",
]
"""The studies whose networks and problems can be built in Keras."""


def ours(client: MlflowClient, name: str, cells: list[DictConfig]) -> float:
    """Returns the seconds that the finished runs of these cells took."""
    experiment = client.get_experiment_by_name(f"study/{name}")
    assert experiment is not None, f"the store has no study {name}"
    wanted = {configuration.fingerprint(cell) for cell in cells}
    query = "tags.kind = 'run' and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment.experiment_id], query, max_results=1000)
    spans = {
        run.data.tags["fingerprint"]: (run.info.end_time - run.info.start_time) / 1000
        for run in runs
    }
    missing = wanted - spans.keys()
    assert not missing, f"{len(missing)} cells of {name} have not finished"
    return float(sum(spans[mark] for mark in wanted))


def measure(net: Net) -> None:
    """Trains a network in Keras for a few epochs; prints the time at which each ended."""
    peer = Peer(net)
    random = np.random.default_rng(0)
    for _ in range(EPOCHS + 1):
        peer.train_epoch(random.integers(0, net.problem.n_values, net.problem.length))
        print(time.time(), flush=True)


def in_keras(name: str, scale: str, cell: int) -> tuple[float, float]:
    """Runs one Keras process; returns the seconds to the end of its first epoch, and of another."""
    command = [sys.executable, "-m", "benchmarks.studies", "--measure", name, scale, str(cell)]
    began = time.time()
    done = subprocess.run(
        command, cwd=HERE.parent, capture_output=True, encoding="utf-8", check=True
    )
    ends = [float(line) for line in done.stdout.split()]
    return ends[0] - began, float(np.median(np.diff(ends)))


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", default="outputs/mlflow.db")
    parser.add_argument("--scale", default="full")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, scale, cell = arguments.measure
        measure(keras_net(of_study(name, scale)[int(cell)]))
        return
    client = MlflowClient(f"sqlite:///{Path(arguments.store).absolute()}")
    measured: dict[object, tuple[float, float]] = {}
    results: dict[str, dict[str, float]] = {}
    print("| study | cells | seeds | minutes | runs a minute | Keras, hours | Keras / ours |")
    print("|---|---|---|---|---|---|---|")
    for name in NAMES:
        cells = of_study(name, arguments.scale)
        theirs = 0.0
        for number, cell in enumerate(cells):
            net = keras_net(cell)
            costs = str(net), net.problem, net.batch, net.units  # what an epoch's time depends on
            if costs not in measured:
                measured[costs] = in_keras(name, arguments.scale, number)
            start, epoch = measured[costs]
            theirs += cell.replicas * (start + epoch * (cell.epochs - 1))
        results[name] = {
            "cells": len(cells),
            "seeds": sum(cell.replicas for cell in cells),
            "seconds": ours(client, name, cells),
            "keras_seconds": theirs,
        }
        _print(name, results[name])
    _print("together", {key: sum(r[key] for r in results.values()) for key in results[NAMES[0]]})
    start = statistics.median(start for start, _ in measured.values())
    print(f"\n{len(measured)} networks in Keras; their start took {start:.1f} s (median)")
    JSON.write_text(json.dumps(results, indent=1), encoding="utf-8")


def _print(name: str, result: dict[str, float]) -> None:
    cells, seeds, seconds, keras = result.values()
    print(
        f"| {name} | {cells:.0f} | {seeds:,.0f} | {seconds / 60:.1f} "
        f"| {60 * seeds / seconds:.0f} | {keras / 3600:.1f} | {keras / seconds:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
