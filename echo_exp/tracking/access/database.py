"""Runs of a database, read from MLflow's tables.

MLflow's client makes an object of each run, setting and point, which takes many times as long.
Filters are still interpreted by MLflow.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from mlflow.entities import LifecycleStage
from mlflow.store.tracking.dbmodels.models import (
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from mlflow.store.tracking.sqlalchemy_store import _get_sqlalchemy_filter_clauses
from mlflow.utils.search_utils import SearchUtils
from sqlalchemy import Connection, and_, bindparam, case, func, select
from sqlalchemy.orm import Session, aliased

from echo_exp.tracking.access.rows import KIND, RUN, History, Info, Query, Rows, Tagged, chunks

# MLflow's tables have no types.
RUNS: Any = SqlRun
PARAMS: Any = SqlParam
TAGS: Any = SqlTag
LATEST: Any = SqlLatestMetric
METRICS: Any = SqlMetric

CHUNK = 2000
"""Runs in one statement: while it runs, nobody else can write to an SQLite file."""


@contextmanager
def search(query: Query) -> Iterator[Rows]:
    """Provides the rows of a query inside the ``with`` block.

    Raises:
        MlflowException: MLflow refuses the filter.
    """
    with _opened(query.access.uri) as session:
        database = session.connection()  # returns rows, not objects
        infos = [Info(*row) for found in _runs(session, query) for row in database.execute(found)]
        ids = [info.run_id for info in infos]
        params = _of(database, ids, PARAMS, PARAMS.value)
        yield Rows(infos, params, _of(database, ids, LATEST, _number(LATEST)))


def histories(uri: str, ids: Sequence[str], metrics: Sequence[str]) -> Iterator[History]:
    """Yields all points of some metrics, one run after the other.

    The names are compared inside a function call: otherwise SQLite would go through the points with
    these names of all runs in the store.
    """
    points = select(METRICS.key, METRICS.step, _number(METRICS)).where(
        METRICS.run_uuid == bindparam("run"), func.coalesce(METRICS.key, "").in_(metrics)
    )
    with _opened(uri) as session:
        database = session.connection()
        for run_id in ids:
            found = database.execute(points, {"run": run_id}).all()
            if found:
                yield History(run_id, *zip(*found, strict=True))


def tagged(uri: str, experiment: str, tag: str, values: Sequence[str]) -> Iterator[Tagged]:
    """Yields the trainings of an experiment whose tag has one of these values."""
    kind: Any = aliased(SqlTag)
    found = (
        select(TAGS.value, RUNS.run_uuid, RUNS.status, RUNS.start_time)
        .join(RUNS, RUNS.run_uuid == TAGS.run_uuid)
        .join(kind, and_(kind.run_uuid == TAGS.run_uuid, kind.key == KIND, kind.value == RUN))
        .where(
            TAGS.key == tag,
            RUNS.experiment_id == int(experiment),
            RUNS.lifecycle_stage == LifecycleStage.ACTIVE,
        )
    )
    with _opened(uri) as session:
        for some in chunks(values, CHUNK):
            rows = session.connection().execute(found.where(TAGS.value.in_(some)))
            yield from (Tagged(*row) for row in rows)


@contextmanager
def _opened(uri: str) -> Iterator[Session]:
    with Session(sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)) as session:
        yield session


def _runs(session: Session, query: Query) -> Iterator[Any]:
    """Yields the statements that find the runs."""
    attributes, others, datasets = _get_sqlalchemy_filter_clauses(
        SearchUtils.parse_search_filter(query.filter), session, session.get_bind().dialect.name
    )
    parents = select(TAGS.run_uuid).where(TAGS.key == KIND, TAGS.value != RUN)
    found = select(RUNS.run_uuid, RUNS.name, RUNS.status, RUNS.start_time, RUNS.end_time)
    for other in others:
        found = found.join(other, other.c.run_uuid == RUNS.run_uuid)
    for dataset in datasets:
        found = found.join(dataset, dataset.c.destination_id == RUNS.run_uuid)
    found = (
        found.distinct()
        .where(
            RUNS.experiment_id.in_([int(number) for number in query.experiments]),
            RUNS.lifecycle_stage == LifecycleStage.ACTIVE,
            RUNS.run_uuid.not_in(parents),
            *attributes,
        )
        .order_by(RUNS.start_time, RUNS.run_uuid)
    )
    if query.ids is None:
        yield found
    else:
        yield from (found.where(RUNS.run_uuid.in_(ids)) for ids in chunks(query.ids, CHUNK))


def _of(database: Connection, ids: Sequence[str], table: Any, value: Any) -> Iterator[Any]:
    """Yields a table's rows for some runs: the run, the key, and a value."""
    for some in chunks(ids, CHUNK):
        rows = select(table.run_uuid, table.key, value).where(table.run_uuid.in_(some))
        yield from database.execute(rows)


def _number(table: Any) -> Any:
    """Returns the expression for a metric's value; MLflow stores NaN as 0 with a mark."""
    return case((table.is_nan, None), else_=table.value)
