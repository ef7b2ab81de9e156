"""The finished runs of a study, read back from the tracking store.

A cell has one run, or several if seeds were added to it later.
"""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from echo_exp.metrics import definition
from echo_exp.running.resume import REPEATS
from echo_exp.sweeps import more_seeds, plan
from echo_exp.sweeps.study import Cell, Wanted
from echo_exp.tracking.access import bulk, reader
from echo_exp.tracking.access.connection import Access, mends
from echo_exp.tracking.access.rows import pages
from echo_exp.tracking.access.selection import of_sweep
from echo_exp.training.replicas import Floats

RUNNING, FINISHED, FAILED, NEVER_RUN = "RUNNING", "FINISHED", "FAILED", "never run"
INCOMPLETE = "incomplete"
"""Some of its seeds have finished, and there is no run of the others."""
UNREADABLE = "finished, but its artifacts are gone"
PAGE = 100
SWEEPS = 3
"""The cells of a study are first looked for in this many of its latest sweeps."""
Curve = tuple[Floats, Floats]
"""Epochs [E] and the values of some seeds [E, n]."""
Curves = dict[str, Curve]


@dataclass(frozen=True)
class Record:
    """What is known of a cell.

    Attributes:
        cell: The cell.
        status: FINISHED, `NEVER_RUN`, `INCOMPLETE`, `UNREADABLE`, or how its newest run ended.
        runs: The ids of the runs that trained its seeds, or else of that newest run.
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
        further: How many of its seeds are known to have finished that the study does not ask for.
    """

    cell: Cell
    status: str
    runs: Sequence[str]
    epochs: int
    seeds: Sequence[int]
    scores: Mapping[str, Floats]
    epochs_to_solve: Floats
    curves: Mapping[str, tuple[Floats, Floats]]
    seconds: float
    parameters: int
    error: str = ""
    further: int = 0

    @property
    def finished(self) -> bool:
        """Whether the cell has been measured."""
        return self.status == FINISHED

    @property
    def diverged(self) -> int:
        """Seeds whose loss became NaN or infinite."""
        return int(np.isnan(self.scores["test/loss"]).sum())


@dataclass(frozen=True)
class _Runs:
    """Runs of an experiment, by their fingerprints with and without the seeds."""

    marked: dict[str, dict[str, Run]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, runs: Iterable[Run]) -> None:
        for run in runs:
            for tag in {"fingerprint", REPEATS} & run.data.tags.keys():
                self.marked[run.data.tags[tag]][run.info.run_id] = run

    def of(self, wanted: Wanted) -> list[Run]:
        """Returns the runs that train a cell, with all or some of its seeds, newest first."""
        whole = self.marked.get(wanted.fingerprint, {})
        others = self.marked.get(wanted.repeats, {}).items()
        some = {k: run for k, run in others if more_seeds.within(bulk.seeds(run), wanted.seeds)}
        return sorted((whole | some).values(), key=lambda run: -(run.info.start_time or 0))

    def finished(self, wanted: Wanted) -> list[Run]:
        """Returns finished runs that together have as many seeds of a cell as there are.

        They are of one version of the code: the newest with all seeds, or else with most of them.
        """
        found = [run for run in self.of(wanted) if run.info.status == FINISHED]
        best: list[Run] = []
        for code in dict.fromkeys(run.data.tags.get("code") for run in found):
            of_code = [run for run in found[::-1] if run.data.tags.get("code") == code]
            newest = {_seeds(run, wanted): run for run in of_code}
            runs = [newest[seeds] for seeds in more_seeds.chosen(wanted.seeds, newest)]
            best = max(best, runs, key=lambda runs: len(_all_seeds(runs, wanted)))
        return best

    def parts(self, wanted: Wanted) -> list[Run]:
        """Returns finished runs that together have all seeds of a cell; none if seeds lack."""
        finished = self.finished(wanted)
        return finished if _all_seeds(finished, wanted) == {*wanted.seeds} else []

    def further(self, wanted: Wanted, cells: Iterable[Wanted]) -> int:
        """Returns how many seeds of a cell have finished that none of the cells asks for."""
        runs = self.marked.get(wanted.repeats, {}).values()
        finished = [bulk.seeds(run) for run in runs if run.info.status == FINISHED]
        asked = [each.seeds for each in cells if each.repeats == wanted.repeats]
        return len({*chain(*finished)} - {*chain(*asked)})

    def incomplete(self, cells: Iterable[Wanted]) -> list[Wanted]:
        """Returns the cells of which not all seeds have finished."""
        return [wanted for wanted in cells if not self.parts(wanted)]


def read(access: Access, experiment: str, cells: Sequence[Wanted]) -> list[Record]:
    """Reads the newest finished runs of each cell.

    Args:
        access: The tracking store.
        experiment: MLflow experiment of the study.
        cells: The cells.

    Returns:
        A record of each cell, in the order of the cells.

    Raises:
        SettingError: The experiment was deleted in MLflow.
    """
    found = reader.experiment(access.client, experiment)
    if found is None:
        return [_unfinished(wanted, NEVER_RUN) for wanted in cells]
    client = access.client
    sweeps = client.search_runs(
        [found.experiment_id],
        f"tags.kind = '{plan.TAG}'",
        max_results=PAGE,
        order_by=["attributes.start_time DESC"],
    )
    without_run, runs = _failed(sweeps), _latest(client, sweeps, cells)
    runs.add(_others(access, found, runs.incomplete(cells)))
    return [
        dataclasses.replace(
            _record(access, wanted, runs, without_run),
            further=runs.further(wanted, cells),
        )
        for wanted in cells
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


def _latest(client: MlflowClient, sweeps: Sequence[Run], cells: Sequence[Wanted]) -> _Runs:
    """Returns the runs of the latest sweeps, as many of these as it takes to complete the cells.

    A sweep takes one query, whatever else the experiment holds. On a server, each cell that is
    looked up by itself takes two.
    """
    latest = _Runs()
    for sweep in sweeps[:SWEEPS]:
        if not latest.incomplete(cells):
            break
        latest.add(runs_of(client, sweep))
    return latest


def _failed(sweeps: Sequence[Run]) -> dict[str, str]:
    """Returns why jobs failed, by fingerprint, according to the latest sweep that knows it."""
    tags = [item for sweep in reversed(sweeps) for item in sweep.data.tags.items()]
    prefix = plan.FAILED_TAG
    return {name.removeprefix(prefix): why for name, why in tags if name.startswith(prefix)}


def _others(access: Access, experiment: Experiment, cells: Sequence[Wanted]) -> Iterable[Run]:
    """Returns the runs of some cells in the whole experiment."""
    number = experiment.experiment_id
    marks = {
        "fingerprint": [wanted.fingerprint for wanted in cells],
        REPEATS: [wanted.repeats for wanted in cells],
    }
    found = [
        each.run_id
        for tag, values in marks.items()
        for each in bulk.tagged(access, number, tag, list(dict.fromkeys(values)))
    ]
    return bulk.runs(access, number, list(dict.fromkeys(found))).values()


def error_of(run: Run) -> str:
    """Returns why a run failed, in one line; empty if that is not known.

    Args:
        run: The run.
    """
    return "".join(run.data.tags.get("error", "").strip().splitlines()[:1])


def _unfinished(wanted: Wanted, status: str, runs: Sequence[Run] = (), error: str = "") -> Record:
    """Returns the record of a cell without scores."""
    ids = [run.info.run_id for run in runs]
    return Record(wanted.cell, status, ids, wanted.epochs, (), {}, np.empty(0), {}, 0.0, 0, error)


def _record(access: Access, wanted: Wanted, runs: _Runs, without_run: Mapping[str, str]) -> Record:
    """Returns the record of a cell; ``without_run`` says why jobs failed before they had a run."""
    parts = runs.parts(wanted)
    if not parts:
        return _left(wanted, runs, without_run)
    try:
        table, curves = _joined([_measured(access, run) for run in parts])
    except (MlflowException, OSError, ValueError, KeyError) as caught:
        if isinstance(caught, MlflowException) and mends(caught):
            raise
        return _unfinished(wanted, UNREADABLE, parts)
    curves = {name: (steps, _of_all(name, values)) for name, (steps, values) in curves.items()}
    last = {name: values[-1] for name, (_, values) in curves.items()}
    tested = {k: _of_all(k, values) for k, values in table.items() if k.startswith("test/")}
    return Record(
        cell=wanted.cell,
        status=FINISHED,
        runs=[run.info.run_id for run in parts],
        epochs=wanted.epochs,
        seeds=table["seed"].astype(int).tolist(),
        scores={**tested, **last},
        epochs_to_solve=table["epochs_to_solve"],
        curves=curves,
        seconds=sum(run.data.metrics["fit_seconds"] for run in parts),
        parameters=int(parts[0].data.metrics["parameters"]),
    )


def _left(wanted: Wanted, runs: _Runs, without_run: Mapping[str, str]) -> Record:
    """Returns the record of a cell that has not finished."""
    done = _all_seeds(runs.finished(wanted), wanted)
    counted = f"{len(done)} of {len(wanted.seeds)} seeds finished" if done else ""
    for run in runs.of(wanted):
        if run.info.status != FINISHED and not done.issuperset(_seeds(run, wanted)):
            why = error_of(run) if run.info.status != RUNNING else ""
            both = "; ".join(filter(None, [why, counted]))
            return _unfinished(wanted, run.info.status, [run], both)
    job = wanted.repeats if done else wanted.fingerprint  # that of the seeds that were added
    if error := without_run.get(job, ""):
        return _unfinished(wanted, FAILED, error=error)
    return _unfinished(wanted, INCOMPLETE if done else NEVER_RUN, error=counted)


def _measured(access: Access, run: Run) -> tuple[dict[str, Floats], Curves]:
    """Returns the table of the seeds of a run, each column [R], and its curves."""
    several = int(run.data.params["replicas"]) > 1
    return _many(access, run) if several else _one(access.client, run)


def _seeds(run: Run, wanted: Wanted) -> range:
    """Returns the seeds of a run of a cell; a run with its fingerprint has all of them."""
    whole = run.data.tags.get("fingerprint") == wanted.fingerprint
    return wanted.seeds if whole else bulk.seeds(run)


def _all_seeds(runs: Iterable[Run], wanted: Wanted) -> set[int]:
    return {seed for run in runs for seed in _seeds(run, wanted)}


def _joined(
    parts: Sequence[tuple[Mapping[str, Floats], Curves]],
) -> tuple[dict[str, Floats], Curves]:
    """Joins what all of several runs have: the columns of their tables, and their curves."""
    tables, curves = zip(*parts, strict=True)
    return (
        {name: np.concatenate([table[name] for table in tables]) for name in _common(tables)},
        {name: joined([each[name] for each in curves]) for name in _common(curves)},
    )


def _common(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the keys that all mappings have, in the order of the first."""
    return [name for name in parts[0] if all(name in part for part in parts)]


def joined(parts: Sequence[Curve]) -> Curve:
    """Joins the curves of several runs; where one was not measured, its values are NaN.

    Args:
        parts: The curves.
    """
    epochs = np.unique(np.concatenate([steps for steps, _ in parts]))
    columns = [np.full((len(epochs), values.shape[1]), np.nan) for _, values in parts]
    for column, (steps, values) in zip(columns, parts, strict=True):
        column[np.searchsorted(epochs, steps)] = values
    return epochs, np.concatenate(columns, axis=1)


def _of_all(name: str, values: Floats) -> Floats:
    """Returns a metric of all seeds, with the value that a diverged seed has in place of NaN."""
    return np.where(np.isnan(values), definition(name).diverged, values)


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
