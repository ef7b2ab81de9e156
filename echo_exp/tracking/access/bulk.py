"""Reads many runs at once, as columns: their settings, their status and all their curves."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from echo_exp.settings import SettingError, redacted
from echo_exp.tracking.access import database, server
from echo_exp.tracking.access.connection import Access, mends
from echo_exp.tracking.access.rows import Info, Tagged, chunks, pages
from echo_exp.tracking.access.selection import ELSEWHERE, Selection, queries
from echo_exp.tracking.settings import served

Floats = NDArray[np.float64]
INFINITE = sys.float_info.max
"""MLflow stores infinity as this value."""


@dataclass(frozen=True)
class StoredRuns:
    """N runs of a store.

    Attributes:
        infos: Name, status and times of each run, [N].
        params: For each setting, its value in each run as a string, [N]; None if a run lacks it.
        scores: For each metric, its last value in each run, [N]; NaN if a run lacks it.
    """

    infos: Sequence[Info]
    params: Mapping[str, Sequence[str | None]]
    scores: Mapping[str, Floats]


@dataclass(frozen=True)
class Points:
    """P points of curves, ordered by run, metric and epoch.

    Attributes:
        runs: The index of each point's run among the runs asked for, [P].
        metrics: The index of its metric among the metrics asked for, [P].
        epochs: Its epoch, [P].
        values: Its value, [P].
    """

    runs: NDArray[np.int64]
    metrics: NDArray[np.int64]
    epochs: NDArray[np.int64]
    values: Floats


def read(access: Access, selection: Selection) -> StoredRuns:
    """Reads the runs of a selection, in the order in which they began.

    Args:
        access: The store.
        selection: The selection.

    Raises:
        SettingError: The selection names something that does not exist, or MLflow refuses its
            filter.
    """
    search = server.search if served(access.uri) else database.search
    infos: list[Info] = []
    params: dict[str, list[str | None]] = {}
    scores: dict[str, list[float | None]] = {}
    for query in queries(access, selection):
        with _refused(selection.filter), search(query) as rows:
            known = {info.run_id for info in infos}  # a run may belong to several sweeps
            new = [info for info in rows.infos if info.run_id not in known]
            place = {info.run_id: n for n, info in enumerate(new, start=len(infos))}
            infos += new
            _fill(params, rows.params, place, len(infos))
            _fill(scores, rows.scores, place, len(infos))
    if selection.filter is None:
        _check_all_there(access, selection.runs or (), infos)
    return StoredRuns(infos, params, {name: _floats(column) for name, column in scores.items()})


def histories(access: Access, ids: Sequence[str], metrics: Sequence[str]) -> Points:
    """Reads every point of some metrics of some runs.

    Args:
        access: The store.
        ids: The ids of the runs.
        metrics: The names of the metrics.
    """
    if served(access.uri):
        found = server.histories(access, ids, metrics)
    else:
        found = database.histories(access.uri, ids, metrics)
    place = {run_id: n for n, run_id in enumerate(ids)}
    number = {name: n for n, name in enumerate(metrics)}
    none: NDArray[Any] = np.empty(0, dtype=np.int64)
    runs, names, epochs, values = [none], [none], [none], [none.astype(float)]
    for run_id, keys, steps, numbers in found:
        runs.append(np.full(len(steps), place[run_id]))
        names.append(np.array([number[name] for name in keys]))
        epochs.append(np.array(steps))
        values.append(_floats(numbers))
    columns = [np.concatenate(parts) for parts in (runs, names, epochs, values)]
    order = np.lexsort(columns[-2::-1])
    return Points(*(column[order] for column in columns))


def tagged(access: Access, experiment: str, tag: str, values: Sequence[str]) -> list[Tagged]:
    """Finds the trainings whose tag has one of the given values, the newest first.

    Args:
        access: The store.
        experiment: The id of their experiment.
        tag: The tag.
        values: The values, which are hashes or names.
    """
    if served(access.uri):
        found = server.tagged(access.client, experiment, tag, values)
    else:
        found = database.tagged(access.uri, experiment, tag, values)
    return sorted(found, key=lambda run: (-(run.start or 0), run.run_id))


def finished(access: Access, experiment: str, found: Sequence[Tagged]) -> list[Run]:
    """Reads the finished ones of trainings that `tagged` has found, in their order."""
    ids = [each.run_id for each in found if each.status == "FINISHED"]
    whole = runs(access, experiment, ids)
    return [whole[run_id] for run_id in ids if run_id in whole]


def seeds(run: Run) -> range:
    """Returns the seeds of a training; none if it was killed before its settings were stored."""
    if not {"seed", "replicas"} <= run.data.params.keys():
        return range(0)
    first = int(run.data.params["seed"])
    return range(first, first + int(run.data.params["replicas"]))


def runs(access: Access, experiment: str, ids: Sequence[str]) -> dict[str, Run]:
    """Reads whole runs of an experiment by their ids; missing ones are left out."""
    found: list[Run] = []
    for some in chunks(ids, server.IDS):
        named = ", ".join(f"'{run_id}'" for run_id in some)
        asked = f"attributes.run_id IN ({named})"
        found += pages(partial(access.client.search_runs, [experiment], asked))
    return {run.info.run_id: run for run in found}


@contextmanager
def _refused(text: str | None) -> Iterator[None]:
    """Raises MLflow's refusal of a filter as a `SettingError`."""
    try:
        yield
    except MlflowException as error:
        if text is None or mends(error):
            raise
        message = str(error.message).removeprefix(f"{error.error_code}: ")
        raise SettingError("filter", text, message.strip().splitlines()[0]) from error


def _fill(
    columns: dict[str, list[Any]],
    rows: Iterable[tuple[str, str, Any]],
    place: Mapping[str, int],
    count: int,
) -> None:
    """Adds values of new runs to the columns; the new runs are the last of all ``count`` runs.

    Values of runs without a place among them are left out.
    """
    for column in columns.values():
        column.extend([None] * (count - len(column)))
    for run_id, name, value in rows:
        if run_id not in place:
            continue
        if name not in columns:
            columns[name] = [None] * count
        columns[name][place[run_id]] = value


def _floats(values: Sequence[float | None]) -> Floats:
    found = np.array(values, dtype=float)
    return np.where(np.abs(found) >= INFINITE, np.copysign(np.inf, found), found)


def _check_all_there(access: Access, ids: Iterable[str], infos: Iterable[Info]) -> None:
    there = {info.run_id for info in infos}
    missing = [run_id for run_id in ids if run_id not in there]
    if missing:
        reason = f"{redacted(access.uri)} has no such training, or it was deleted; {ELSEWHERE}"
        raise SettingError("runs", missing[0], reason)
