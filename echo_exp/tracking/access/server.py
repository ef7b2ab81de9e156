"""Runs of an MLflow server, requested page by page."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request_safe

from echo_exp.tracking.access.connection import Access
from echo_exp.tracking.access.rows import (
    KIND,
    RUN,
    History,
    Info,
    Query,
    Rows,
    Tagged,
    chunks,
    pages,
)

IDS = 100
"""Runs that one request names."""
CURVES, CURVES_AT_ONCE, MOST_POINTS = "/api/2.0/mlflow/metrics/get-history-bulk-interval", 50, 2500
"""The request for curves, the runs in one request, and the points of a curve in its answer.

Of a longer curve the server returns only so many points, evenly spaced.
"""


@contextmanager
def search(query: Query) -> Iterator[Rows]:
    """Provides the rows of a query, all requested on entering the ``with`` block.

    Raises:
        MlflowException: The server refuses the filter, or could not answer.
    """
    runs = [run for asked in _filters(query) for run in _found(query, asked) if _training(run)]
    infos = [
        Info(i.run_id, i.run_name, i.status, i.start_time, i.end_time)
        for i in (run.info for run in runs)
    ]
    params = ((r.info.run_id, *item) for r in runs for item in r.data.params.items())
    scores = ((r.info.run_id, *item) for r in runs for item in r.data.metrics.items())
    yield Rows(infos, params, scores)


def histories(access: Access, ids: Sequence[str], metrics: Sequence[str]) -> Iterator[History]:
    """Yields all points of some metrics."""
    for metric in metrics:
        for some in chunks(ids, CURVES_AT_ONCE):
            found = _curves(access.uri, some, metric)
            for run_id, points in found.items():
                cut = len(points) >= MOST_POINTS
                every = _whole(access.client, run_id, metric) if cut else points
                steps, values = zip(*every, strict=True)
                yield History(run_id, [metric] * len(steps), steps, values)


def tagged(
    client: MlflowClient, experiment: str, tag: str, values: Sequence[str]
) -> Iterator[Tagged]:
    """Yields the trainings of an experiment whose tag has one of these values.

    It makes one request for each value, because a filter of MLflow cannot name several.
    """
    for value in values:
        asked = f"tags.`{tag}` = '{value}' and tags.{KIND} = '{RUN}'"
        for run in pages(partial(client.search_runs, [experiment], asked)):
            yield Tagged(value, run.info.run_id, run.info.status, run.info.start_time)


def _filters(query: Query) -> Iterator[str]:
    if query.ids is None:
        yield query.filter
        return
    for some in chunks(query.ids, IDS):
        named = ", ".join(f"'{run_id}'" for run_id in some)
        yield " and ".join(filter(None, [f"attributes.run_id IN ({named})", query.filter]))


def _found(query: Query, asked: str) -> Iterator[Run]:
    order = ["attributes.start_time ASC"]
    search = query.access.client.search_runs
    return pages(partial(search, list(query.experiments), asked, order_by=order))


def _training(run: Run) -> bool:
    return bool(run.data.tags.get(KIND, RUN) == RUN)


def _curves(uri: str, ids: Sequence[str], metric: str) -> dict[str, list[tuple[int, float]]]:
    """Returns the steps and values of a metric, by the run's id."""
    answer = http_request_safe(
        get_default_host_creds(uri),
        CURVES,
        "GET",
        params={"run_ids": list(ids), "metric_key": metric, "max_results": MOST_POINTS},
    )
    found: dict[str, list[tuple[int, float]]] = {}
    points: list[dict[str, Any]] = answer.json().get("metrics", [])
    for point in points:
        found.setdefault(point["run_id"], []).append((int(point["step"]), float(point["value"])))
    return found


def _whole(client: MlflowClient, run_id: str, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, metric)]
