"""Trained networks as MLflow models: logged with their run, and registered under a name."""

from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from echo_exp.tracking.access.connection import Access

NAME = "model"
"""Name of a run's model, as in ``runs:/<id>/model``."""
SCORES = "test/"
"""Prefix of the metrics that are scores of the model."""


def log_model(access: Access, run_id: str, folder: Path) -> LoggedModel:
    """Logs a model with its run's parameters and test scores; repeated calls log it once.

    Args:
        access: The store.
        run_id: The run.
        folder: The folder with the model's files, such as ``MLmodel``.

    Returns:
        The logged model.
    """
    client = access.client
    run = client.get_run(run_id)
    model = find_model(client, run_id) or client.create_logged_model(
        run.info.experiment_id, NAME, run_id, params=run.data.params, model_type="echo"
    )
    access.place(model.artifact_location).log_artifacts(str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    latest = [
        Metric(m.key, m.value, m.timestamp, m.step, model_id=model.model_id)
        for m in run.data.to_proto().metrics
        if m.key.startswith(SCORES)
    ]
    client.log_batch(run_id, metrics=latest)
    if run.outputs is None or model.model_id not in [o.model_id for o in run.outputs.model_outputs]:
        step = max((metric.step for metric in latest), default=0)
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
    return model


def find_model(client: MlflowClient, run_id: str) -> LoggedModel | None:
    """Returns the model that was logged with a run, if there is one."""
    experiment = client.get_run(run_id).info.experiment_id
    query = f"source_run_id = '{run_id}' and name = '{NAME}'"
    found = list(client.search_logged_models([experiment], query, max_results=1))
    return found[0] if found else None


def register(
    client: MlflowClient, name: str, model: LoggedModel, scores: Mapping[str, float]
) -> str:
    """Makes a model the next version of a registered one, with its scores as tags.

    Args:
        client: MLflow's client of the store.
        name: Name of the registered model, created if it does not exist.
        model: The logged model.
        scores: Metrics of its run; those that are scores of the model become tags.

    Returns:
        The version.
    """
    mlflow.set_tracking_uri(client.tracking_uri)  # where MLflow looks up the model
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(
        name,
        f"models:/{model.model_id}",
        model.source_run_id,
        tags={key: f"{value:.4g}" for key, value in scores.items() if key.startswith(SCORES)},
        model_id=model.model_id,
    )
    return str(version.version)
