"""Serves MLflow's UI from this process, to browsers on this machine.

No server is left running when the process ends, and no database password is passed as an argument,
which others could read.
"""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.server
import uvicorn
from mlflow.entities import Experiment, RunData
from mlflow.server import constants, handlers
from mlflow.server.fastapi_app import app
from mlflow.tracking import MlflowClient

from echo_exp.tracking.access.connection import Access
from echo_exp.tracking.access.locations import relocate
from echo_exp.tracking.ui.view import METRICS, state

MOST_EXPANDED = 20
"""Only this many sweeps of an experiment, the newest, show their runs from the start."""
BEGIN = {
    "mlflow.workflowType_v1": json.dumps("machine_learning"),
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": json.dumps(True),
}
"""Defaults for MLflow's entries in a browser; without them it shows tools for language models."""
SCRIPT = """<script>
const [begin, expanded] = %s
for (const [key, value] of Object.entries(begin))
  if (!(key in localStorage)) localStorage[key] = value
for (const [key, parents] of Object.entries(expanded)) {
  const view = JSON.parse(localStorage[key])
  view.runsExpanded = {...parents, ...view.runsExpanded}
  localStorage[key] = JSON.stringify(view)
}
</script>"""
"""Runs before the UI does, and keeps what a user has changed there."""


def serve(access: Access, taken: socket.socket, begun: Callable[[], None]) -> None:
    """Serves until a signal asks it to stop.

    MLflow's server shows any file that the database names, so paths in the database are mapped into
    the folder of artifacts in the configuration.

    Args:
        access: The store, a database.
        taken: The socket to listen on.
        begun: Called as soon as requests are answered.

    Raises:
        KeyboardInterrupt: The signal was Ctrl-C.
    """
    artifacts = access.artifacts
    if artifacts is None or "://" not in artifacts:
        relocate(access.uri, Path(artifacts or os.devnull))
    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = access.uri
    handlers.initialize_backend_stores(access.uri, access.uri, artifacts)
    _scores_first()
    html = (Path(str(mlflow.server.app.static_folder)) / "index.html").read_text(encoding="utf-8")
    mlflow.server.app.view_functions["serve"] = lambda: html.replace(
        "<head>", f"<head>{preferences(access.client)}", 1
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            begun()

    settings = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
    Server(settings).run(sockets=[taken])


def _scores_first() -> None:
    """Makes MLflow send the scores of each run before its other metrics.

    Its pages keep this order, and a comparison begins with the first metric.
    """
    original = RunData.to_proto
    places = {name: place for place, name in enumerate(METRICS)}

    def to_proto(data: RunData) -> Any:
        found = original(data)
        found.metrics.sort(key=lambda metric: places.get(metric.key, len(places)))
        return found

    RunData.to_proto = to_proto  # type: ignore[method-assign, assignment]


def preferences(client: MlflowClient) -> str:
    """Returns a script with default preferences of the UI, for users who have set none."""
    begin, expanded = dict(BEGIN), {}
    for experiment in client.search_experiments():
        view = state(experiment.tags)
        if view is not None:
            number = experiment.experiment_id
            key = f'MLflowLocalStorage-1.1-ExperimentPage-["{number}"]-ReactComponentState'
            begin[key] = view
            expanded[key] = dict.fromkeys(_parents(client, experiment), True)
    return SCRIPT % json.dumps([begin, expanded]).replace("<", "\\u003c")


def _parents(client: MlflowClient, experiment: Experiment) -> list[str]:
    found = client.search_runs(
        [experiment.experiment_id],
        "tags.kind = 'sweep'",
        max_results=MOST_EXPANDED,
        order_by=["attributes.start_time DESC"],
    )
    return [run.info.run_id for run in found]
