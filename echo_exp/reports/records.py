"""The finished runs of a study, read back from the tracking store."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from echo_exp.metrics import definition
from echo_exp.sweeps import plan
from echo_exp.sweeps.study import Cell
from echo_exp.tracking.access import bulk, reader
from echo_exp.tracking.access.connection import Access, mends
from echo_exp.tracking.access.rows import pages
from echo_exp.tracking.access.selection import of_sweep
from echo_exp.training.replicas import Floats

RUNNING, FINISHED, FAILED, NEVER_RUN = "RUNNING", "FINISHED", "FAILED", "never run"
UNREADABLE = "finished, but its artifacts are gone"
PAGE = 100
SWEEPS = 3
"""The cells of a study are first looked for in this many of its latest sweeps."""


@dataclass(frozen=True)
class Record:
    """What is known of a cell.

    Attributes:
        cell: The cell.
        status: FINISHED, `NEVER_RUN`, `UNREADABLE`, or how its newest run ended.
        run_id: That run, if there is one.
        epochs: How many epochs each seed was trained for.
        seeds: The seeds (R of them). If the cell has not finished, there are none, and all that
            follows except `error` is empty or 0.
        scores: The scores of each seed, [R], by their names in MLflow: those of the test, and those
            of the last validation. For a seed that diverged, the share of right answers is 0, and
            other scores are NaN.
        epochs_to_solve: The first validated epoch with an accuracy of at least 0.99, [R]; NaN if
            there is none.
        curves: The epochs [E] and the values [E, R] of each metric of the validations.
        seconds: The time that the training of all seeds took.
        parameters: The number of trainable parameters of a network.
        error: Why it did not finish, in one line, if that is known.
    """

    cell: Cell
    status: str
    run_id: str | None
    epochs: int
    seeds: Sequence[int]
    scores: Mapping[str, Floats]
    epochs_to_solve: Floats
    curves: Mapping[str, tuple[Floats, Floats]]
    seconds: float
    parameters: int
    error: str = ""

    @property
    def finished(self) -> bool:
        """Whether the cell has been measured."""
        return self.status == FINISHED

    @property
    def diverged(self) -> int:
        """Seeds whose loss became NaN or infinite."""
        return int(np.isnan(self.scores["test/loss"]).sum())


def read(access: Access, experiment: str, cells: Sequence[tuple[Cell, int, str]]) -> list[Record]:
    """Reads the newest finished run of each cell.

    Args:
        access: The tracking store.
        experiment: MLflow experiment of the study.
        cells: The cells, each with its epochs and the fingerprint of its runs.

    Returns:
        A record of each cell, in the order of the cells.

    Raises:
        SettingError: The experiment was deleted in MLflow.
    """
    found = reader.experiment(access.client, experiment)
    if found is None:
        return [_unfinished(cell, epochs, None, "") for cell, epochs, _ in cells]
    client = access.client
    sweeps = client.search_runs(
        [found.experiment_id],
        f"tags.kind = '{plan.TAG}'",
        max_results=PAGE,
        order_by=["attributes.start_time DESC"],
    )
    marks = list(dict.fromkeys(mark for *_, mark in cells))
    without_run, runs = _failed(sweeps), _latest(client, sweeps, set(marks))
    runs |= _others(access, found, [mark for mark in marks if mark not in runs])
    return [
        _record(access, cell, epochs, runs.get(mark), without_run.get(mark, ""))
        for cell, epochs, mark in cells
    ]


def runs_of(client: MlflowClient, sweep: Run) -> list[Run]:
    """Returns the runs of a sweep, the oldest first.

    Args:
        client: A client of the tracking store.
        sweep: The sweep's parent run.
    """
    query, order = f"{of_sweep(sweep)} and tags.kind = 'run'", ["attributes.start_time ASC"]
    search = partial(client.search_runs, [sweep.info.experiment_id], query, order_by=order)
    return list(pages(search))


def newest(runs: Sequence[Run]) -> dict[str, Run]:
    """Returns the newest finished run of each fingerprint; if none has finished, the newest run.

    Args:
        runs: The runs, the oldest first.
    """
    found: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: run.info.status == FINISHED):
        found[run.data.tags.get("fingerprint", run.info.run_id)] = run
    return found


def _latest(client: MlflowClient, sweeps: Sequence[Run], marks: set[str]) -> dict[str, Run]:
    """Returns the finished runs of some fingerprints that the latest sweeps have.

    A sweep takes one query, whatever else the experiment holds. On a server, each fingerprint that
    is looked up by itself takes a query too.
    """
    latest: dict[str, Run] = {}
    for sweep in sweeps[:SWEEPS]:
        if latest.keys() >= marks:
            break
        runs = newest(runs_of(client, sweep))
        finished = {mark: run for mark, run in runs.items() if run.info.status == FINISHED}
        latest = {mark: run for mark, run in finished.items() if mark in marks} | latest
    return latest


def _failed(sweeps: Sequence[Run]) -> dict[str, str]:
    """Returns why jobs failed, by fingerprint, according to the latest sweep that knows it."""
    tags = [item for sweep in reversed(sweeps) for item in sweep.data.tags.items()]
    prefix = plan.FAILED_TAG
    return {name.removeprefix(prefix): why for name, why in tags if name.startswith(prefix)}


def _others(access: Access, experiment: Experiment, marks: Sequence[str]) -> dict[str, Run]:
    """Returns the newest finished run of some fingerprints in the whole experiment.

    If no run of a fingerprint has finished, its newest run is returned.
    """
    number, chosen = experiment.experiment_id, dict[str, str]()
    found = bulk.tagged(access, number, "fingerprint", marks)
    for each in sorted(found, key=lambda each: each.status != FINISHED):
        chosen.setdefault(each.value, each.run_id)
    runs = bulk.runs(access, number, list(chosen.values()))
    return {mark: runs[run_id] for mark, run_id in chosen.items() if run_id in runs}


def error_of(run: Run) -> str:
    """Returns why a run failed, in one line; empty if that is not known.

    Args:
        run: The run.
    """
    return "".join(run.data.tags.get("error", "").strip().splitlines()[:1])


def _unfinished(cell: Cell, epochs: int, run: Run | None, error: str) -> Record:
    """Returns the record of a cell without scores; its job may have failed before it had a run."""
    status, run_id = (FAILED if error else NEVER_RUN), None
    if run is not None:
        status, run_id = run.info.status, run.info.run_id
        error = error_of(run) if status != RUNNING else ""
    return Record(cell, status, run_id, epochs, (), {}, np.empty(0), {}, 0.0, 0, error)


def _record(access: Access, cell: Cell, epochs: int, run: Run | None, error: str) -> Record:
    """Returns the record of a cell; ``error`` says why it may have no run."""
    if run is None or run.info.status != FINISHED:
        return _unfinished(cell, epochs, run, error)
    try:
        table, curves = (
            _many(access, run) if int(run.data.params["replicas"]) > 1 else _one(access.client, run)
        )
    except (MlflowException, OSError, ValueError, KeyError) as caught:
        if isinstance(caught, MlflowException) and mends(caught):
            raise
        return dataclasses.replace(_unfinished(cell, epochs, run, ""), status=UNREADABLE)
    curves = {name: (steps, _of_all(name, values)) for name, (steps, values) in curves.items()}
    last = {name: values[-1] for name, (_, values) in curves.items()}
    tested = {k: _of_all(k, values) for k, values in table.items() if k.startswith("test/")}
    seeds = table["seed"].astype(int).tolist()
    return Record(
        cell=cell,
        status=FINISHED,
        run_id=run.info.run_id,
        epochs=epochs,
        seeds=seeds,
        scores={**tested, **last},
        epochs_to_solve=table["epochs_to_solve"],
        curves=curves,
        seconds=run.data.metrics["fit_seconds"],
        parameters=int(run.data.metrics["parameters"]),
    )


def _of_all(name: str, values: Floats) -> Floats:
    """Returns a metric of all seeds, with the value that a diverged seed has in place of NaN."""
    return np.where(np.isnan(values), definition(name).diverged, values)


Curve = tuple[Floats, Floats]
"""Epochs [E] and the values of some seeds [E, n]."""
Curves = dict[str, Curve]


def _many(access: Access, run: Run) -> tuple[dict[str, Floats], Curves]:
    """Returns the table of seeds of a run with replicas, each column [R], and its curves."""
    return seeds_of(access, run), curves_of(access, run)


def seeds_of(access: Access, run: Run) -> dict[str, Floats]:
    """Reads the table of seeds of a run with replicas.

    Args:
        access: The tracking store.
        run: The run.

    Returns:
        The columns, each [R], by their names.
    """
    with reader.artifact(access, run, "replicas.json") as path:
        stored = json.loads(path.read_text(encoding="utf-8"))
    rows = pd.DataFrame(stored["data"], columns=stored["columns"]).astype(float)
    return {str(name): rows[name].to_numpy() for name in rows}


def curves_of(access: Access, run: Run) -> Curves:
    """Reads the curves of the validations of a run with replicas.

    Args:
        access: The tracking store.
        run: The run.

    Returns:
        The curve of each metric, by its name.
    """
    with reader.artifact(access, run, "curves.parquet") as path:
        frame = pd.read_parquet(path)
    replicas = frame["seed"].nunique()
    measured = np.flatnonzero(frame["val/loss"].notna().to_numpy().reshape(replicas, -1).any(0))
    values = {
        str(name): frame[name].to_numpy(float).reshape(replicas, -1).T  # [epochs, R]
        for name in frame
        if str(name).startswith("val/")
    }
    epochs = measured.astype(np.float64) + 1
    return {name: (epochs, every[measured]) for name, every in values.items()}


def _one(client: MlflowClient, run: Run) -> tuple[dict[str, Floats], Curves]:
    """Returns the same for a run with a single seed, read from its metrics."""
    metrics: dict[str, Any] = run.data.metrics
    table = {name: np.array([value]) for name, value in metrics.items()}
    table["seed"] = np.array([float(run.data.params["seed"])])
    table["epochs_to_solve"] = np.array([metrics.get("epochs_to_solve", np.nan)])
    curves: Curves = {}
    for name in metrics:
        if name.startswith("val/"):
            history = client.get_metric_history(run.info.run_id, name)
            points: Floats = np.array(sorted((point.step, point.value) for point in history))
            curves[name] = (points[:, 0], points[:, 1:])
    return table, curves
