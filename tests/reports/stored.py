"""Stores full of runs without a training, written directly into MLflow's tables."""

import itertools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy
from mlflow.store.tracking.dbmodels.models import (
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from mlflow.tracking import MlflowClient
from sqlalchemy import insert, literal, select, true
from sqlalchemy.orm import Session

from echo_exp.tracking.access.connection import reach

START = 1_500_000_000_000
"""When the first run began, in milliseconds since 1970; each begins a second after the other."""
SHARED = {
    "model": "Seq2Seq",
    "epochs": "500",
    "model.stateful": "True",
    "model.padding": "None",
    "optimizer.epsilon": "1e-07",
} | {f"trainer.shared_{number}": f"{number}" for number in range(20)}
"""As many settings as a run has."""
SCORES = (
    *("test/accuracy", "test/accuracy_low", "test/accuracy_high", "test/loss"),
    *("val/accuracy", "val/loss", "train/loss", "train/accuracy", "epochs_to_solve", "parameters"),
    *(f"val/gradient_norm_{number}" for number in range(5)),
)
"""As many metrics; each is a number from 0 to 1."""


def make(folder: Path) -> str:
    """Makes an empty store and returns its URI."""
    uri = f"sqlite:///{folder}/mlflow.db"
    reach(uri, str(folder / "artifacts"))
    return uri


def experiment(uri: str, name: str = "echo") -> int:
    """Returns the number of an experiment, and creates it if it is missing."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(name)
    return int(found.experiment_id if found else client.create_experiment(name, "/artifacts"))


def sweep(
    uri: str,
    settings: Iterable[Mapping[str, Any]],
    epochs: int = 0,
    name: str = "echo",
    tags: Mapping[str, str] | None = None,
) -> str:
    """Adds a sweep with a finished run for each of some settings, and returns its id.

    Args:
        uri: The store.
        settings: Of each run what it has beside `SHARED`.
        epochs: How many points its curve ``train/loss`` has.
        name: The experiment.
        tags: Further tags of the sweep's parent.
    """
    parent = uuid.uuid4().hex
    number = experiment(uri, name)
    with Session(sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)) as session:
        already = session.query(SqlRun).count()
        _insert(session, SqlRun, [_run(parent, number, already, "a sweep")])
        _tag(session, {parent: {"kind": "sweep", "sweep": parent} | dict(tags or {})})
        for batch in _batches(enumerate(settings, start=already + 1), 1000):
            ids = {uuid.uuid4().hex: own for own in batch}
            _insert(
                session, SqlRun, [_run(run, number, n, f"run {n}") for run, (n, _) in ids.items()]
            )
            _tag(session, {run: {"kind": "run", "mlflow.parentRunId": parent} for run in ids})
            _insert(
                session,
                SqlParam,
                [row for run, (_, own) in ids.items() for row in _params(run, own)],
            )
            _insert(session, SqlLatestMetric, [row for run in ids for row in _scores(run)])
            _curves(session, list(ids), epochs)
        session.commit()
    return parent


def _batches(items: Iterable[Any], size: int) -> Iterable[list[Any]]:
    iterator = iter(items)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


def _insert(session: Session, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        session.execute(insert(table), [dict(row) for row in rows])


def _run(run: str, number: int, place: int, name: str) -> dict[str, Any]:
    began = START + 1000 * place
    return {
        "run_uuid": run,
        "name": name,
        "status": "FINISHED",
        "start_time": began,
        "end_time": began + 2500,
        "lifecycle_stage": "active",
        "experiment_id": number,
        "artifact_uri": f"/artifacts/{run}/artifacts",
        "source_type": "LOCAL",
        "user_id": "nobody",
    }


def _tag(session: Session, tags: Mapping[str, Mapping[str, str]]) -> None:
    rows = [
        {"run_uuid": run, "key": key, "value": value}
        for run, own in tags.items()
        for key, value in own.items()
    ]
    _insert(session, SqlTag, rows)


def _params(run: str, own: Mapping[str, Any]) -> list[dict[str, Any]]:
    every = SHARED | {key: str(value) for key, value in own.items()}
    return [{"run_uuid": run, "key": key, "value": value} for key, value in every.items()]


def _scores(run: str) -> list[dict[str, Any]]:
    return [_point(run, name, n / len(SCORES), 0) for n, name in enumerate(SCORES)]


def _curves(session: Session, runs: Sequence[str], epochs: int) -> None:
    """Gives runs their curves, which the database generates."""
    if epochs:
        first = select(literal(1).label("epoch")).cte(recursive=True)
        steps = first.union_all(select(first.c.epoch + 1).where(first.c.epoch < epochs))
        run: Any = SqlRun  # MLflow's tables have no types
        point = (literal("train/loss"), literal(1.0) / steps.c.epoch, steps.c.epoch)
        points = select(run.run_uuid, *point, literal(START), literal(False)).join(steps, true())
        ordered = points.where(run.run_uuid.in_(runs)).order_by(run.run_uuid, steps.c.epoch)
        columns = ("run_uuid", "key", "value", "step", "timestamp", "is_nan")
        session.execute(insert(SqlMetric).from_select(columns, ordered))


def _point(run: str, name: str, value: float, step: int) -> dict[str, Any]:
    point = {"run_uuid": run, "key": name, "value": value, "step": step}
    return point | {"timestamp": START, "is_nan": False}
