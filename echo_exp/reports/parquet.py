"""A study's runs as one Parquet file, from which its report can be made without the store.

A row is a seed of a cell: the cell, how its run ended, the seed's scores (``test/accuracy``, ...),
and the accuracy of its validations (``curve/epochs`` and ``curve/val/accuracy``, lists of E
numbers). A cell that has not finished is one row without a seed. A score that a cell does not have
is null; one that a diverged seed does not have is NaN.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from echo_exp import configuration
from echo_exp.reports import FROM, records
from echo_exp.reports.records import Record
from echo_exp.settings import SettingError
from echo_exp.sweeps.study import Cell, Study

NAME = "runs.parquet"
CURVE = "val/accuracy"
"""The only curve that a report needs."""
EPOCHS, VALUES = "curve/epochs", f"curve/{CURVE}"
COLUMNS = {
    "cell": pa.string(),
    "status": pa.string(),
    "run": pa.string(),
    "epochs": pa.int64(),
    "seconds": pa.float64(),
    "parameters": pa.int64(),
    "error": pa.string(),
    "seed": pa.int64(),
    "epochs_to_solve": pa.float64(),
    EPOCHS: pa.list_(pa.float64()),
    VALUES: pa.list_(pa.float64()),
}
"""The columns of every file; the other columns are scores."""


def write(study: Study, found: Sequence[Record], file: Path) -> None:
    """Writes the records of a study's cells into a file.

    Args:
        study: The study.
        found: The records.
        file: The file.
    """
    rows = [row for record in found for row in _rows(record)]
    scores = sorted({name for row in rows for name in row} - COLUMNS.keys())
    columns = COLUMNS | dict.fromkeys(scores, pa.float64())
    metadata = {"study": study.name, "scale": study.scale}
    schema = pa.schema(list(columns.items()), metadata=metadata)
    pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")


def scale(study: Study, file: Path) -> str:
    """Returns the scale whose runs a file holds.

    Args:
        study: The study.
        file: The file.

    Raises:
        SettingError: There is no such file, it cannot be read, or it is of another study.
    """
    try:
        metadata = pq.read_schema(file).metadata or {}
    except FileNotFoundError as error:
        raise SettingError(FROM, str(file), "there is no such file") from error
    except (OSError, pa.ArrowException) as error:
        raise SettingError(FROM, str(file), "it cannot be read as a Parquet file") from error
    name, which = (str(metadata.get(key, b""), "utf-8") for key in (b"study", b"scale"))
    if not name:
        raise SettingError(FROM, str(file), f"it must be the {NAME} of a report")
    if name != study.name:
        raise SettingError(FROM, str(file), f"it has the runs of study={name}, not of {study.name}")
    return which


def read(study: Study, file: Path) -> list[Record]:
    """Reads the records of a study's cells from a file.

    Args:
        study: The study, at the file's `scale`.
        file: The file.

    Returns:
        A record of each cell, in the order of the cells; one that the file lacks was never run.

    Raises:
        SettingError: The file lacks a column, or it has no finished cell.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    try:
        for row in pq.read_table(file).to_pylist():
            rows.setdefault(row["cell"], []).append(row)
        found = [_record(cell, rows.get(_mark(cell), [])) for cell in study.cells]
    except (OSError, pa.ArrowException, KeyError) as error:
        reason = f"it must be the {NAME} of a report, as it was written"
        raise SettingError(FROM, str(file), reason) from error
    if not any(record.finished for record in found):
        reason = f"it has no finished run of `echo-exp {study.command}`"
        raise SettingError(FROM, str(file), reason)
    return found


def _mark(cell: Cell) -> str:
    """Returns what identifies a cell within its study."""
    settings = configuration.measured(cell.overrides)
    return json.dumps({"labels": dict(cell.labels), "settings": settings}, ensure_ascii=False)


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    cell = {
        "cell": _mark(record.cell),
        "status": record.status,
        "run": " ".join(record.runs) or None,
        "epochs": record.epochs,
        "seconds": record.seconds,
        "parameters": record.parameters,
        "error": record.error,
    }
    if not record.seeds:
        yield cell
    for number, seed in enumerate(record.seeds):
        epochs, values = record.curves[CURVE]
        yield {
            **cell,
            "seed": seed,
            "epochs_to_solve": float(record.epochs_to_solve[number]),
            EPOCHS: epochs.tolist(),
            VALUES: values[:, number].tolist(),
            **{name: float(scores[number]) for name, scores in record.scores.items()},
        }


def _record(cell: Cell, rows: Sequence[Mapping[str, Any]]) -> Record:
    """Returns the record of a cell from its rows; without rows, that of a cell never run."""
    first: Mapping[str, Any] = rows[0] if rows else {"status": records.NEVER_RUN}
    seeds = [row for row in rows if row["seed"] is not None]
    scores = [name for name in first if name not in COLUMNS and first[name] is not None]
    curves = {}
    if seeds:
        values = np.array([row[VALUES] for row in seeds], dtype=float).T  # [E, R]
        curves[CURVE] = np.array(first[EPOCHS], dtype=float), values
    return Record(
        cell=cell,
        status=first["status"],
        runs=(first.get("run") or "").split(),
        epochs=first.get("epochs", 0),
        seeds=[row["seed"] for row in seeds],
        scores={name: np.array([row[name] for row in seeds]) for name in scores},
        epochs_to_solve=np.array([row["epochs_to_solve"] for row in seeds], dtype=float),
        curves=curves,
        seconds=first.get("seconds", 0.0),
        parameters=first.get("parameters", 0),
        error=first.get("error", ""),
    )
