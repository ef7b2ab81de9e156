"""Times `echo_exp.runs`, `echo_exp.curves` and a report, beside `mlflow.search_runs`.

    python -m benchmarks.frames [--runs 10000] [--rounds 3] [--epochs 0] [--report] [--no-peer]

They read the runs of a sweep from a store that is filled without training: each has 28 settings and
15 metrics. Each call is a process of its own, in turn with the others; its imports do not count.
With `--epochs` each run has a curve of that many points, and the curves are read, too. With
`--report` the report of the sweep is written, with figures and 8 seeds per setting. Prints
Markdown. Run nothing else at the same time.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd

import echo_exp
from benchmarks.commands import HERE, execute, ratio
from echo_exp.reports import sweep_page
from echo_exp.tracking.access import reader
from echo_exp.tracking.access.connection import reach
from tests.reports import stored

OURS, CURVES, PEER = "echo_exp.runs", "echo_exp.curves", "mlflow.search_runs"
REPORT = "the report"


def call(name: str, uri: str) -> Callable[[], pd.DataFrame]:
    """Returns the call that is timed."""
    if name == OURS:
        return lambda: echo_exp.runs(sweep="last", tracking_uri=uri)
    if name == CURVES:
        runs = echo_exp.runs(sweep="last", tracking_uri=uri)
        return lambda: echo_exp.curves(runs, tracking_uri=uri)
    if name == REPORT:
        return lambda: _report(uri)
    mlflow.set_tracking_uri(uri)
    return lambda: mlflow.search_runs(
        experiment_names=["echo"], filter_string="tags.kind = 'run'", output_format="pandas"
    )


def _report(uri: str) -> pd.DataFrame:
    access = reach(uri, None)
    with tempfile.TemporaryDirectory() as folder:
        parent = reader.sweep(access, "echo", "last")
        sweep_page.write(*sweep_page.gather(access, parent), Path(folder))
        return pd.read_csv(Path(folder) / "jobs.csv")


def child(name: str, uri: str) -> None:
    """Times one call in this process, after another call has opened the store."""
    echo_exp.runs(runs=[], tracking_uri=uri)
    timed = call(name, uri)
    began, used = time.perf_counter(), time.process_time()
    rows = len(timed())
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "cpu": time.process_time() - used, "rows": rows}))


def report(uri: str, names: list[str], rounds: int) -> None:
    columns = ("seconds", "cpu", "megabytes", "rows")
    found: dict[str, dict[str, list[float]]] = {n: {c: [] for c in columns} for n in names}
    for _ in range(rounds):
        for name in names:
            command = [sys.executable, "-m", "benchmarks.frames", "--child", name, uri]
            printed, _, megabytes = execute(command, HERE.parent)
            told = json.loads(printed.splitlines()[-1]) | {"megabytes": megabytes}
            for column in columns:
                found[name][column].append(told[column])
    print("| | rows | seconds | of them computing | peak memory, MB | over `echo_exp.runs` |")
    print("|---|---|---|---|---|---|")
    for name, measured in found.items():
        median = {column: statistics.median(values) for column, values in measured.items()}
        beside = ratio(measured["seconds"], found[OURS]["seconds"]) if name == PEER else ""
        print(
            f"| `{name}` | {median['rows']:,.0f} | {median['seconds']:.2f} | {median['cpu']:.2f} "
            f"| {median['megabytes']:.0f} | {beside} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0, help="points of the curve of each run")
    parser.add_argument("--report", action="store_true", help="the report of the sweep too")
    parser.add_argument("--no-peer", action="store_true", help="without MLflow's own")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "URI"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(*asked.child)
        return
    settings = (
        {
            "seed": n % 8 if asked.report else n,
            "replicas": 1,
            "model.units": 10 + n // 8 % 25 if asked.report else 10 + n % 4,
            "optimizer.learning_rate": (1 + n // 200) / 1000 if asked.report else 10.0 ** -(n % 3),
        }
        for n in range(asked.runs)
    )
    with tempfile.TemporaryDirectory() as folder:
        uri = stored.make(Path(folder))
        stored.sweep(uri, settings, asked.epochs)
        names = [OURS, *([CURVES] if asked.epochs else [])]
        names += [*([REPORT] if asked.report else []), *([] if asked.no_peer else [PEER])]
        report(uri, names, asked.rounds)


if __name__ == "__main__":
    main()
