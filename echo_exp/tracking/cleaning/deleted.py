"""Permanently deletes what people have deleted in MLflow, with its files.

`mlflow gc` does the same, but leaves behind the models of deleted runs, and the folders that
contained the artifacts.
"""

from collections.abc import Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mlflow.entities import LifecycleStage, ViewType
from mlflow.store.tracking.dbmodels.models import SqlLoggedModel, SqlRun

from echo_exp.tracking.access.connection import Access
from echo_exp.tracking.cleaning.files import Removable, Scale, delete
from echo_exp.tracking.cleaning.known import ENDED, Known, KnownModel, KnownRun, models_of, session


def deleted(
    access: Access, known: Known, busy: Container[str], scale: Scale
) -> Iterator[Removable]:
    """Yields the deleted runs, models and experiments of a database, in the order of removal.

    Args:
        access: The store.
        known: Its runs and models.
        busy: Ids of runs that a process is writing to, or that have undelivered measurements.
        scale: Measures their files.
    """
    gone = {
        run.run_id: run
        for run in known.runs.values()
        if run.deleted and run.folder and not known.at_work(run) and run.run_id not in busy
    }
    for model in known.models.values():
        lost = model.run_id is not None and model.run_id not in known.runs  # left by `mlflow gc`
        unwanted = lost or model.deleted or model.run_id in gone
        if unwanted and model.folder is not None and not model.registered:
            yield _removable(model.folder, scale, partial(_purge_model, access, model))
    for run in gone.values():
        assert run.folder is not None
        yield _removable(run.folder, scale, partial(_purge_run, access, run))
    staying = {run.experiment_id for run in known.runs.values() if run.run_id not in gone}
    for experiment in access.client.search_experiments(ViewType.DELETED_ONLY):
        if experiment.experiment_id not in staying:
            name = Path(f"experiment {experiment.name}")
            yield Removable(name, 0, partial(_purge_experiment, access, experiment.experiment_id))


def _removable(folder: Path, scale: Scale, remove: Any) -> Removable:
    return Removable(folder, scale.size(folder), remove)


# Files are deleted before their row. If the process is killed in between, the row still says
# "deleted" and the next call continues with it; files without a row would belong to nothing.


def _purge_run(access: Access, run: KnownRun) -> None:
    with session(access) as opened:
        row = opened.get(SqlRun, run.run_id)
        still_deleted = row and row.lifecycle_stage == LifecycleStage.DELETED
        ended = row and row.status in ENDED
    if not (still_deleted and ended):
        raise RuntimeError("it has been restored")
    assert run.folder is not None
    delete(run.folder)
    _store(access)._hard_delete_run(run.run_id)


def _purge_model(access: Access, model: KnownModel) -> None:
    with session(access) as opened:
        now = next(models_of(access, opened, model_id=model.model_id), model)
        unwanted = now.deleted
        if not unwanted and model.run_id is not None:
            run = opened.get(SqlRun, model.run_id)
            unwanted = run is None or run.lifecycle_stage == LifecycleStage.DELETED
    if now.registered or not unwanted:
        raise RuntimeError("it has been restored or registered")
    assert model.folder is not None
    delete(model.folder)
    _store(access)._hard_delete_logged_model(model.model_id)


def _purge_experiment(access: Access, experiment_id: str) -> None:
    """Deletes an experiment, unless it still has runs or models: MLflow would delete them too."""
    with session(access) as opened:
        remaining = [
            opened.query(table).filter_by(experiment_id=int(experiment_id)).count()
            for table in (SqlRun, SqlLoggedModel)
        ]
    if any(remaining):
        raise RuntimeError("it still has runs or models")
    _store(access)._hard_delete_experiment(experiment_id)


def _store(access: Access) -> Any:
    return access.client._tracking_client.store
