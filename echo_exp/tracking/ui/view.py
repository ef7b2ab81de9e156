"""How MLflow's UI shows an experiment: its description, and which columns and charts come first.

MLflow 3.17 keeps such a view as JSON: in a tag of the experiment it is an entry of the menu `Views`
and can be named in an address; in a browser's local storage it is what an experiment opens with.
"""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

NOTE_TAG = "mlflow.note.content"
"""Where MLflow's UI has its descriptions, in Markdown."""
VIEW = "echo"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
VIEW_NAME = "Scores and curves"

METRICS = ("test/accuracy", "test/sequence_accuracy", "val/accuracy", "epochs_to_solve")
PARAMETERS = ("model", "representation", "model.units", "epochs", "seed", "replicas")

WIDTHS = {"attributes.`Run Name`": 275, "runDateAndNestInfo": 145, "duration": 80}
"""The columns that are always there: name, time of creation and duration; widths in pixels."""
CHARTS = {
    "test": ("test/accuracy", "test/sequence_accuracy", "test/loss"),
    "train": ("train/accuracy", "train/loss"),
    "val": ("val/accuracy", "val/sequence_accuracy", "val/loss"),
    "Model metrics": ("epochs_to_solve", "fit_seconds", "parameters"),
}
"""The sections of the page of charts, as MLflow names them, and the charts that come first."""
INTERVALS = [
    f"test/{name}_{end}" for name in ("accuracy", "sequence_accuracy") for end in ("low", "high")
]
SPREAD = [f"{part}/{name}" for part in ("test", "train", "val") for name in ("accuracy", "loss")]
CLOSED = {"intervals": INTERVALS, **dict.fromkeys(SPREAD, ())}
"""Sections that are there, but closed: the ends of intervals, and how replicas are spread."""


def view(
    metrics: Sequence[str] = METRICS, parameters: Sequence[str] = PARAMETERS
) -> dict[str, str]:
    """Returns the tag of an experiment that holds its view.

    Args:
        metrics: The columns of the table of runs, in this order.
        parameters: The columns that follow them.
    """
    state = json.dumps(_state(metrics, parameters))
    envelope = {"name": VIEW_NAME, "createdAt": 0, "updatedAt": 0, "state": state}
    return {VIEW_TAG: json.dumps(envelope)}


def state(tags: dict[str, str]) -> str | None:
    """Returns the view in the tags of an experiment, as JSON, if it has one that can be read."""
    try:
        found = json.loads(tags[VIEW_TAG])["state"]
        return str(found) if isinstance(json.loads(found), dict) else None
    except (KeyError, TypeError, ValueError, RecursionError):  # people may have edited it
        return None


def page(experiment_id: str, run_id: str | None = None, shared: bool = False) -> str:
    """Returns the part of an address that opens the table of runs, or the page of one.

    Args:
        experiment_id: MLflow's name of the experiment.
        run_id: MLflow's name of the run.
        shared: Whether the browser has to be told of the experiment's view.
    """
    query = {"workflowType": "machine_learning"}  # else it would show traces
    if shared and run_id is None:
        query["viewStateShareKey"] = VIEW
    runs = f"#/experiments/{quote(experiment_id)}/runs"
    return f"{runs}/{quote(run_id)}?{urlencode(query)}" if run_id else f"{runs}?{urlencode(query)}"


def _state(metrics: Sequence[str], parameters: Sequence[str]) -> dict[str, Any]:
    columns = [f"metrics.`{name}`" for name in metrics]
    columns += [f"params.`{name}`" for name in parameters]
    widths = {
        column: WIDTHS.get(column, max(80, 7 * len(column) - 46)) for column in [*WIDTHS, *columns]
    }
    charts = [
        _chart(section, position, name)
        for section, names in {**CHARTS, **CLOSED}.items()
        for position, name in enumerate(names)
    ]
    sections = [_section(name, shown=True) for name in CHARTS]
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
    # Reordered, so that MLflow puts other charts of the section behind those that are given.
    return {"uuid": name, "name": name, "display": shown, "isReordered": True, "deleted": False}


def _chart(section: str, position: int, name: str) -> dict[str, Any]:
    """Returns a card: MLflow draws a curve of what has steps, and else a bar a run."""
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
    return {
        "uuid": f"{section} {position}",
        "type": "LINE" if line else "BAR",
        "metricKey": name,
        "metricSectionId": section,
        "displayName": name,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": True,
        **(curve if line else {}),
    }
