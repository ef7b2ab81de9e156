"""Measures runs per minute, what a job costs beyond its training, and queries of large stores.

    python -m benchmarks.throughput runs [--jobs 24]
    python -m benchmarks.throughput stacks [--rounds 3] [--only "64 jobs" ...]
    python -m benchmarks.throughput store [--sizes 100 10000 100000]

`runs` does the same short trainings in several ways, one after the other: as separate commands (the
peer, a loop in a shell), as a sweep with each launcher, and as replicas of one run. `stacks` runs
sweeps whose jobs are trained together and, in turn, the same sweeps with `sweep.fused=false` (the
peer). Both use the program's defaults. `store` copies one real run many times into an SQLite store,
by SQL, and then times the queries that the program and its users make. Prints Markdown. Run nothing
else at the same time.
"""

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from mlflow.tracking import MlflowClient

from benchmarks.commands import execute, ratio
from echo_exp.reports import records
from echo_exp.tracking import Store

PROGRAM = [sys.executable, "-m", "echo_exp"]
EPOCHS = "epochs=500"
LAUNCHERS = ("basic", "joblib", "ray")
RATES = "optimizer.learning_rate=1e-3,2e-3,3e-3,5e-3"
STACKS = {
    "64 jobs": ("-m", "seed=range(16)", RATES, EPOCHS),
    "64 jobs, joblib": ("-m", "seed=range(16)", RATES, EPOCHS, "launch=joblib"),
    "256 jobs": ("-m", "seed=range(64)", RATES, EPOCHS),
    "18 jobs of three sizes": (
        *("-m", "seed=1,2,3", "model.units=10,20,40", "optimizer.learning_rate=1e-3,2e-3", EPOCHS),
    ),
    "24 encoder-decoders": (
        *("-m", "experiment=encoder_decoder_baseline", "seed=range(6)", RATES, EPOCHS),
    ),
    "study=ignore_state": ("study=ignore_state",),
    "search=cheapest": ("search=cheapest",),
}
TABLES = ("params", "tags", "latest_metrics", "metrics")
ROUNDS = 5


def runs(jobs: int) -> None:
    """Prints a table of ways to do the same runs, with the runs per minute of each."""
    seeds = f"seed=range({jobs})"
    rows = [
        ("separate commands", _commands(jobs)),
        *((f"sweep, {name}", _one("-m", seeds, f"launch={name}")) for name in LAUNCHERS),
        (f"replicas={jobs}", _one(f"replicas={jobs}")),
    ]
    base = jobs / rows[0][1][0]
    print("| | seconds | runs a minute | over separate commands | beyond the training, s a run |")
    print("|---|---|---|---|---|")
    for name, (seconds, fit) in rows:
        rate = jobs / seconds
        beyond = "" if fit is None else f"{(seconds - fit) / jobs:.2f}"
        print(f"| {name} | {seconds:.1f} | {60 * rate:.0f} | {rate / base:.1f} | {beyond} |")


def _commands(jobs: int) -> tuple[float, float | None]:
    with tempfile.TemporaryDirectory() as folder:
        spent = [
            execute([*PROGRAM, EPOCHS, f"seed={seed}"], Path(folder))[1] for seed in range(jobs)
        ]
        return sum(spent), _fit(Path(folder))


def _one(*arguments: str) -> tuple[float, float | None]:
    with tempfile.TemporaryDirectory() as folder:
        _, seconds, _ = execute([*PROGRAM, *arguments, EPOCHS], Path(folder))
        side_by_side = "launch=joblib" in arguments or "launch=ray" in arguments
        return seconds, None if side_by_side else _fit(Path(folder))


def stacks(names: list[str], rounds: int) -> None:
    """Prints a table of sweeps whose jobs are trained together, compared with one by one."""
    print("| | one by one, s | together, s | times the runs a minute | of the training alone |")
    print("|---|---|---|---|---|")
    for name in names:
        found: dict[str, list[tuple[float, float]]] = {"false": [], "true": []}
        for number in range(rounds):
            for fused in sorted(found, reverse=number % 2 == 1):
                found[fused].append(_sweep(*STACKS[name], f"sweep.fused={fused}"))
        (alone, alone_fit), (together, fit) = (zip(*found[f], strict=True) for f in found)
        print(
            f"| {name} | {statistics.median(alone):.0f} | {statistics.median(together):.0f} "
            f"| {ratio(alone, together)} | {ratio(alone_fit, fit)} |",
            flush=True,
        )


def _sweep(*arguments: str) -> tuple[float, float]:
    """Runs a sweep; returns its seconds, and the seconds of its trainings."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, seconds, _ = execute([*PROGRAM, *arguments], folder)
        return seconds, _fit(folder)


def _fit(folder: Path) -> float:
    """Returns the seconds of all trainings in a store."""
    client = MlflowClient(f"sqlite:///{folder}/outputs/mlflow.db")
    ids = [each.experiment_id for each in client.search_experiments()]
    found = client.search_runs(ids, max_results=1000)
    return sum(run.data.metrics.get("fit_seconds", 0.0) for run in found)


def store(sizes: list[int]) -> None:
    """Prints a table of queries that the program and its users make, with the time of each."""
    answers = {size: _answers(size) for size in sizes}
    print("| ms | " + " | ".join(f"{size:,} runs" for size in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    for question in answers[sizes[0]]:
        times = " | ".join(f"{1000 * answers[size][question]:,.0f}" for size in sizes)
        print(f"| {question} | {times} |")


def _answers(size: int) -> dict[str, float]:
    """Makes a store of that many runs and returns the seconds of each query."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        execute([*PROGRAM, "-m", "seed=1,2", EPOCHS], folder)
        database = folder / "outputs" / "mlflow.db"
        _fill(database, size)
        megabytes = database.stat().st_size / 1e6
        print(f"{size:,} runs: {megabytes:,.0f} MB", file=sys.stderr)
        return _asked(folder / "outputs")


def _asked(outputs: Path) -> dict[str, float]:
    uri = f"sqlite:///{outputs}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("echo")
    assert experiment is not None
    ids = [experiment.experiment_id]
    (parent,) = client.search_runs(ids, "tags.kind = 'sweep'", max_results=1)
    (child, *_) = client.search_runs(ids, "tags.kind = 'run'", max_results=1)
    mark = {key: child.data.tags[key] for key in ("fingerprint", "code")}
    newest = client.search_runs(ids, max_results=20)
    ours = Store(uri, str(outputs / "artifacts"), spool=str(outputs / "spool"))
    ours.find_same(mark)  # the writer process has started

    def log() -> None:
        run = ours.create_run("a run", {"kind": "benchmark"}, {"seed": 1}, {})
        run.log_metrics(list(range(1000)), {"train/loss": [0.5] * 1000})
        run.finish()

    def compare() -> None:
        for run in newest:
            client.get_run(run.info.run_id)
            for key in ("train/loss", "val/accuracy"):
                client.get_metric_history(run.info.run_id, key)

    def cells() -> None:
        sweeps = client.search_runs(ids, "tags.kind = 'sweep'", max_results=100)
        records.runs_of(client, sweeps[0])

    questions: dict[str, Callable[[], object]] = {
        "log a run of 1,000 points": log,
        "has this job been done?": lambda: ours.find_same(mark),
        "the jobs of a sweep": lambda: ours.children(parent.info.run_id),
        "the run table, 100 newest": lambda: client.search_runs(ids, max_results=100),
        "the same by accuracy": lambda: client.search_runs(
            ids, max_results=100, order_by=["metrics.`test/accuracy` DESC"]
        ),
        "compare 20 runs, two curves each": compare,
        "the runs of a study's report": cells,
    }
    answers = {question: _median(ask) for question, ask in questions.items()}
    ours.close()
    return answers


def _median(ask: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
        if times[-1] > 20:  # too slow to be repeated
            break
    return statistics.median(times)


def _fill(path: Path, size: int) -> None:
    """Copies a run of a store until there are ``size`` of them; every copy has its own settings."""
    database = sqlite3.connect(path)
    query = "select run_uuid from tags where key = 'kind' and value = 'run'"
    (original,) = database.execute(query).fetchone()
    count = database.execute("select count(*) from runs").fetchone()[0]
    copies = [uuid.uuid4().hex for _ in range(max(0, size - count))]
    database.execute("create temporary table copies (id text)")
    database.executemany("insert into copies values (?)", [(copy,) for copy in copies])
    for table, key in (("runs", "run_uuid"), *((table, "run_uuid") for table in TABLES)):
        columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
        values = ["copies.id" if column == key else column for column in columns]
        # Only a few points of each curve: they fill the disk, but do not change the queries.
        few = " and step % 250 = 0" if table == "metrics" else ""
        database.execute(
            f"insert into {table} select {', '.join(values)} from {table}, copies "
            f"where {key} = '{original}'{few}"
        )
    copied = "(select id from copies)"
    database.execute(
        "update tags set value = substr(run_uuid, 1, 16) "
        f"where key = 'fingerprint' and run_uuid in {copied}"
    )
    of_sweeps = "(key = 'mlflow.parentRunId' or key like 'sweep.%')"
    database.execute(f"delete from tags where {of_sweeps} and run_uuid in {copied}")
    database.execute(
        f"update params set value = run_uuid where key = 'seed' and run_uuid in {copied}"
    )
    database.commit()
    database.execute("analyze")
    database.close()


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("runs").add_argument("--jobs", type=int, default=24)
    fused = commands.add_parser("stacks")
    fused.add_argument("--rounds", type=int, default=3)
    fused.add_argument("--only", nargs="+", choices=STACKS, default=list(STACKS))
    sizes = commands.add_parser("store")
    sizes.add_argument("--sizes", type=int, nargs="+", default=[100, 10_000, 100_000])
    arguments = parser.parse_args()
    if arguments.what == "runs":
        runs(arguments.jobs)
    elif arguments.what == "stacks":
        stacks(arguments.only, arguments.rounds)
    else:
        store(arguments.sizes)


if __name__ == "__main__":
    main()
