"""How MLflow's UI shows an experiment: its description, and which columns and charts come first.

MLflow 3.17 stores such a view as JSON. In a tag of the experiment, it is an entry of the menu
`Views` that an address can name; in a browser's local storage, it is the view that opens first.
"""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode

NOTE_TAG = "mlflow.note.content"
"""The tag with the description that MLflow's UI shows, in Markdown."""
VIEWS = "mlflow.sharedViewState."
"""Prefix of the tags that hold views."""
VIEW = "echo"
VIEW_TAG = VIEWS + VIEW
VIEW_NAME = "Scores and curves"
LONGEST_NAME = 80
"""Letters of a view's name that fit in the menu."""
MOST_VIEWS = 40
"""Views of sweeps that an experiment keeps."""
MOST_AXES = 12
"""Settings of a sweep that fit in its view."""
OURS = "echo_exp"
SWEPT_TAG = "swept"
"""The tag of a sweep's parent run that names the parameters in which its runs differ."""
MEMBER = "1"

METRICS = ("test/accuracy", "test/sequence_accuracy", "val/accuracy", "epochs_to_solve")
PARAMETERS = ("problem", "model", "representation", "model.units", "epochs", "seed", "replicas")

WIDTHS = {"attributes.`Run Name`": 275, "runDateAndNestInfo": 145, "duration": 80}
"""Widths in pixels of the columns that are always shown: name, time of creation, duration."""
CHARTS = {
    "test": ("test/accuracy", "test/sequence_accuracy", "test/loss"),
    "train": ("train/accuracy", "train/loss"),
    "val": ("val/accuracy", "val/sequence_accuracy", "val/loss"),
    "Model metrics": ("epochs_to_solve", "fit_seconds", "parameters"),
}
"""The sections of the page of charts, by MLflow's names, and the charts that come first in each."""
INTERVALS = [
    f"test/{name}_{end}" for name in ("accuracy", "sequence_accuracy") for end in ("low", "high")
]
SPREAD = [f"{part}/{name}" for part in ("test", "train", "val") for name in ("accuracy", "loss")]
SWEPT = "over what was swept"
"""The section of a sweep's view that shows the score over the settings."""
NONE: Mapping[str, Sequence[dict[str, Any]]] = {}
CLOSED = {"intervals": INTERVALS, **dict.fromkeys([*SPREAD, "sweep"], ())}
"""Sections that are collapsed at first: the ends of intervals, the spread of replicas, and the
progress of a sweep."""


def view(
    metrics: Sequence[str] = METRICS, parameters: Sequence[str] = PARAMETERS
) -> dict[str, str]:
    """Returns the tag of an experiment that holds its view.

    Args:
        metrics: The columns of the table of runs, in this order.
        parameters: The columns that follow them.
    """
    columns = [*map(_metric, metrics), *map(_parameter, parameters)]
    return _saved(VIEW, VIEW_NAME, _state(columns))


def sweep_view(
    run_id: str,
    name: str,
    axes: Sequence[str],
    numbers: Sequence[str],
    goals: Sequence[str] = (),
    lowest: bool = False,
) -> dict[str, str]:
    """Returns the tag of an experiment that holds the view of a sweep: its runs, and no others.

    Args:
        run_id: The id of the sweep's parent run.
        name: The view's name in the menu.
        axes: The parameters in which the runs differ: the first columns, before the scores.
        numbers: The numeric parameters among them, over which the score is drawn.
        goals: The metrics that matter, before those of every view; the first is the score.
        lowest: Whether the lowest score is the best.
    """
    axes = axes[:MOST_AXES]
    metrics = tuple(dict.fromkeys([*goals, *METRICS]))
    columns = [*map(_parameter, axes), *map(_metric, metrics)]
    score = metrics[0]
    swept = [_parallel(axes, score)] if len(axes) > 1 else []
    drawn = enumerate(numbers[:MOST_AXES], len(swept))
    swept += [_scatter(place, axis, score) for place, axis in drawn]
    state = _state(columns, {SWEPT: swept} if swept else {})
    only = {
        "searchFilter": f"tags.`{member(run_id)}` = '{MEMBER}'",
        "orderByKey": _metric(score),  # the best first
        "orderByAsc": lowest,
        "runsExpanded": {run_id: True},
    }
    now = int(1000 * time.time())
    return _saved(run_id, name[:LONGEST_NAME], state | only, createdAt=now, createdBy=OURS)


def member(run_id: str) -> str:
    """Returns the tag of all runs of a sweep, given its parent run; its value is `MEMBER`.

    A run may belong to several sweeps, while MLflow nests it under one.
    """
    return f"sweep.{run_id}"


def outdated(tags: Mapping[str, str]) -> list[str]:
    """Returns the tags of an experiment that hold views of sweeps, except the newest `MOST_VIEWS`.

    Every page of the experiment loads all its views.
    """
    made: dict[str, int] = {}
    for key, value in tags.items():
        if key.startswith(VIEWS):
            with suppress(KeyError, TypeError, ValueError):  # people may have edited the tag
                found = json.loads(value)
                if found["createdBy"] == OURS:
                    made[key] = int(found["createdAt"])
    return sorted(made, key=lambda key: made[key])[:-MOST_VIEWS]


def _saved(key: str, name: str, state: Mapping[str, Any], **more: Any) -> dict[str, str]:
    envelope = {"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
    return {f"{VIEWS}{key}": json.dumps(envelope | more)}


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _parameter(name: str) -> str:
    return f"params.`{name}`"


def state(tags: dict[str, str]) -> str | None:
    """Returns the view in the tags of an experiment, as JSON, if it has one that can be read."""
    try:
        found = json.loads(tags[VIEW_TAG])["state"]
        return str(found) if isinstance(json.loads(found), dict) else None
    except (KeyError, TypeError, ValueError, RecursionError):  # people may have edited the tag
        return None


def page(experiment_id: str, run_id: str | None = None, shown: str | None = None) -> str:
    """Returns the part of an address that opens the table of runs, or the page of one run.

    Args:
        experiment_id: The id of the experiment.
        run_id: The id of the run; None for the table.
        shown: The view of the table to open; None for the browser's own.
    """
    query = {"workflowType": "machine_learning"}  # otherwise it shows traces
    if shown is not None and run_id is None:
        query["viewStateShareKey"] = shown
    runs = f"#/experiments/{quote(experiment_id)}/runs"
    return f"{runs}/{quote(run_id)}?{urlencode(query)}" if run_id else f"{runs}?{urlencode(query)}"


def _state(
    columns: Sequence[str], first: Mapping[str, Sequence[dict[str, Any]]] = NONE
) -> dict[str, Any]:
    """Returns the JSON that MLflow stores for a view.

    Args:
        columns: The columns of the table of runs, in this order.
        first: Further sections of charts, shown before the others.
    """
    widths = {
        column: WIDTHS.get(column, max(80, 7 * len(column) - 46)) for column in [*WIDTHS, *columns]
    }
    charts = [chart for cards in first.values() for chart in cards]
    charts += [
        _chart(section, position, name)
        for section, names in {**CHARTS, **CLOSED}.items()
        for position, name in enumerate(names)
    ]
    sections = [_section(name, shown=True) for name in (*first, *CHARTS)]
    sections += [_section(name, shown=False) for name in CLOSED]
    return {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": list(widths),
        "columnWidths": widths,
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
    }


def _section(name: str, shown: bool) -> dict[str, Any]:
    # "isReordered" makes MLflow put other charts of the section after the given ones.
    return {"uuid": name, "name": name, "display": shown, "isReordered": True, "deleted": False}


def _chart(section: str, position: int, name: str) -> dict[str, Any]:
    """Returns a chart: a curve for a metric with steps, otherwise a bar for each run."""
    line = section in ("train", "val")
    curve = {
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisScaleType": "linear",
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "range": {},
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }
    shown = {"type": "LINE", "metricKey": name, **curve} if line else {"metricKey": name}
    return {**_card(section, position, name), "type": "BAR", **shown}


def _parallel(axes: Sequence[str], score: str) -> dict[str, Any]:
    card = _card(SWEPT, 0, f"{score} and what was swept")
    chosen = {"selectedParams": list(axes), "selectedMetrics": [score], "showAllRuns": True}
    return {**card, "type": "PARALLEL", **chosen}


def _scatter(position: int, axis: str, score: str) -> dict[str, Any]:
    card = _card(SWEPT, position, f"{score} over {axis}")
    x, y = {"key": axis, "type": "PARAM"}, {"key": score, "type": "METRIC"}
    return {**card, "type": "SCATTER", "xaxis": x, "yaxis": y, "runsCountToCompare": 100}


def _card(section: str, position: int, name: str) -> dict[str, Any]:
    return {
        "uuid": f"{section} {position}",
        "metricSectionId": section,
        "displayName": name,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": True,
    }
