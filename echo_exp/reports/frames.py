"""Runs and their curves as pandas data frames, for notebooks and other programs."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echo_exp.settings import SettingError
from echo_exp.tracking.access import bulk, reader
from echo_exp.tracking.access.bulk import StoredRuns
from echo_exp.tracking.access.connection import Access
from echo_exp.tracking.access.rows import Info, typed
from echo_exp.tracking.access.selection import Selection
from echo_exp.tracking.settings import LOCAL, TrackingSettings

SHARED = "shared"
"""The attribute of a frame that holds the settings that all its runs share."""
SCORES = ("test/accuracy", "test/", "val/accuracy", "val/loss", "epochs_to_solve", "fit_seconds")
"""The metrics that come first, by the beginnings of their names."""
ENDS = ("_low", "_high", "/std", "/min", "/max")
"""The columns that follow right after a metric, by the ends of their names."""
CURVES = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
LARGEST = 2**63 - 1
"""The largest integer in a column of integers."""


def runs(
    *,
    sweep: str | None = None,
    study: str | None = None,
    scale: str | None = None,
    experiment: str | None = None,
    runs: Iterable[str] | None = None,
    filter: str | None = None,  # noqa: A002 - MLflow's own word for it
    tracking_uri: str | None = None,
) -> pd.DataFrame:
    """Returns runs as a table, one row per run, in the order in which they started.

    The first columns are the settings in which the runs differ, by their names on the command line,
    as integers, floats, booleans or texts; a missing value stays missing. Then follow the last
    values of all metrics, by their names in MLflow, ``test/accuracy`` with its interval first; then
    ``name``, ``status``, ``start_time`` (UTC), ``duration`` and ``run_id``. The dictionary
    ``frame.attrs["shared"]`` has the settings that all runs share.

    Args:
        sweep: The runs of a sweep: its id, or ``last`` for the newest of the store.
        study: The runs of a study, by its name.
        scale: The scale of the study; None returns the runs of all scales.
        experiment: The runs of an MLflow experiment, by its name, including those of sweeps.
        runs: The runs with these ids.
        filter: A filter in the syntax of MLflow's search, such as
            ``"params.model = 'Seq2Seq' and metrics.`test/accuracy` > 0.9"``; alone, or together
            with one of the arguments above.
        tracking_uri: The tracking store; by default the one that `echo-exp` writes to.

    Returns:
        The table.

    Raises:
        SettingError: No argument, or more than one, selects the runs; what it names does not
            exist; MLflow refuses the filter; or the store cannot be used.
    """
    ids = None if runs is None else _ids(runs)
    asked = Selection(sweep, study, scale, experiment, ids, filter)
    access = _opened(tracking_uri)
    with reader.reached(access.uri):
        return _frame(bulk.read(access, asked))


def curves(
    runs: pd.DataFrame | Iterable[str],
    metrics: Sequence[str] | None = None,
    tracking_uri: str | None = None,
) -> pd.DataFrame:
    """Returns the curves of runs as a long table, one row per run, metric and epoch.

    Its columns are ``run_id``, the settings in which the runs differ, ``metric``, ``epoch`` and
    ``value``; texts are categories. A metric that was measured only once has epoch 0.

    Args:
        runs: A table with a column ``run_id``, such as that of `runs` or a part of it, or ids.
        metrics: The metrics, by their names in MLflow; by default the loss and accuracy of training
            and validation, as far as the runs have them.
        tracking_uri: The tracking store; by default the one that `echo-exp` writes to.

    Returns:
        The table.

    Raises:
        SettingError: A run or a metric does not exist, or the store cannot be used.
    """
    asked = Selection(runs=_ids(runs))
    access = _opened(tracking_uri)
    with reader.reached(access.uri):
        stored = bulk.read(access, asked)
        chosen = _metrics(stored, metrics)
        ids = [info.run_id for info in stored.infos]
        points = bulk.histories(access, ids, chosen)
    differing, _ = _settings(stored)
    columns: dict[str, Any] = {"run_id": pd.Categorical.from_codes(points.runs, pd.Index(ids))}
    for name, column in differing.items():
        number = pd.api.types.is_numeric_dtype(column)
        columns[name] = (column if number else column.astype("category")).array.take(points.runs)
    columns["metric"] = pd.Categorical.from_codes(points.metrics, pd.Index(chosen))
    return pd.DataFrame(columns | {"epoch": points.epochs, "value": points.values})


def _opened(uri: str | None) -> Access:
    return reader.opened(LOCAL if uri is None else TrackingSettings(uri))


def _ids(runs: pd.DataFrame | Iterable[str]) -> Sequence[str]:
    if not isinstance(runs, pd.DataFrame):
        return runs if isinstance(runs, str) else list(runs)
    if "run_id" not in runs:
        raise SettingError(
            "runs", f"columns {', '.join(map(str, runs))}", "it must have a column run_id"
        )
    return list(dict.fromkeys(runs["run_id"]))


def _metrics(stored: StoredRuns, asked: Sequence[str] | None) -> list[str]:
    """Returns the metrics whose curves are read."""
    if asked is None:
        return [name for name in CURVES if name in stored.scores]
    if isinstance(asked, str):
        raise SettingError("metrics", asked, "it must be a list of names")
    for name in asked:
        if name not in stored.scores:
            there = ", ".join(sorted(stored.scores, key=_place)) or "none"
            raise SettingError("metrics", name, f"the runs have: {there}")
    return list(dict.fromkeys(asked))


def _frame(stored: StoredRuns) -> pd.DataFrame:
    differing, shared = _settings(stored)
    scores = {name: stored.scores[name] for name in sorted(stored.scores, key=_place)}
    infos = {name: [getattr(info, name) for info in stored.infos] for name in Info._fields}
    start, end = (pd.to_datetime(infos[name], unit="ms", utc=True) for name in ("start", "end"))
    about = {
        "name": infos["name"],
        "status": infos["status"],
        "start_time": start,
        "duration": end - start,
        "run_id": infos["run_id"],
    }
    frame = pd.DataFrame({**differing, **scores, **about})
    frame.attrs[SHARED] = shared
    return frame


def _place(metric: str) -> tuple[int, str, int]:
    """Returns the key by which metrics are sorted."""
    first = next((n for n, start in enumerate(SCORES) if metric.startswith(start)), len(SCORES))
    end = next((n for n, end in enumerate(ENDS) if metric.endswith(end)), -1)
    return first, metric.removesuffix(ENDS[end]) if end >= 0 else metric, end


def _settings(stored: StoredRuns) -> tuple[dict[str, pd.Series], dict[str, Any]]:
    """Returns the settings in which runs differ, as columns, and those that all runs share."""
    differing: dict[str, pd.Series] = {}
    shared: dict[str, Any] = {}
    for name in sorted(stored.params):
        codes, words = pd.factorize(np.array(stored.params[name], dtype=object))
        values = [typed(word) for word in words]
        several = len(values) > 1 or (-1 in codes and values != [None])
        if several:
            differing[name] = _column(codes, values)
        else:
            shared[name] = values[0]
    return differing, shared


def _column(codes: NDArray[np.intp], values: Sequence[Any]) -> pd.Series:
    """Returns a column, of one type if possible.

    Args:
        codes: The index of each run's value in `values`, [N]; -1 if the run has none.
        values: The values, without repetition.
    """
    missing = -1 in codes or None in values
    kinds = {type(value) for value in values} - {type(None)}
    dtype = "object"
    if kinds == {int}:
        if all(abs(value) <= LARGEST for value in values if value is not None):
            dtype = "Int64" if missing else "int64"
    elif kinds == {bool}:
        dtype = "boolean" if missing else "bool"
    elif kinds == {str}:
        dtype = "str"
    elif kinds <= {int, float}:
        dtype = "float64"
    known = pd.Series([*values, *([None] if missing else [])], dtype=dtype)  # -1 takes the last
    return known.take(codes).reset_index(drop=True)
