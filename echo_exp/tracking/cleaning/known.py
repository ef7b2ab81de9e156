"""The runs and models of a store, read in a few queries, because there may be ten thousand.

A database's tables are read directly: MLflow's own search takes 20 s for that many.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mlflow.entities import LifecycleStage, ViewType
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlLoggedModel, SqlRun, SqlTag

from echo_exp.tracking.access.connection import Access
from echo_exp.tracking.access.locations import UntrustedError
from echo_exp.tracking.access.rows import KIND, pages
from echo_exp.tracking.settings import served
from echo_exp.tracking.store import PARENT_TAG

ENDED = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class KnownRun:
    """A run as the store records it.

    Attributes:
        run_id: Its id.
        experiment_id: The id of its experiment.
        status: RUNNING, FINISHED, FAILED or KILLED.
        deleted: Whether somebody has deleted it in MLflow.
        kind: ``run``, or ``sweep`` for the parent of a sweep, a study or a search.
        parent: Id of the run that it is nested under, if there is one.
        folder: The folder that contains its ``artifacts`` folder; None if that is not on this
            machine, or not where the configuration allows it.
    """

    run_id: str
    experiment_id: str
    status: str
    deleted: bool
    kind: str
    parent: str | None
    folder: Path | None


@dataclass(frozen=True)
class KnownModel:
    """A logged model as the store records it.

    Attributes:
        model_id: Its id.
        run_id: Id of the run that it comes from, if there is one.
        deleted: Whether somebody has deleted it in MLflow.
        registered: Whether it is a version of a registered model.
        folder: The folder that contains its ``artifacts`` folder; None as for a run.
    """

    model_id: str
    run_id: str | None
    deleted: bool
    registered: bool
    folder: Path | None


@dataclass(frozen=True)
class Known:
    """The runs and models of a store.

    Attributes:
        runs: Its runs, by their ids.
        models: Its models, by their ids; none of a server, which is not asked for them.
    """

    runs: Mapping[str, KnownRun]
    models: Mapping[str, KnownModel]

    def at_work(self, run: KnownRun) -> bool:
        """Returns whether a run or its sweep has not ended, according to the store."""
        parent = self.runs.get(run.parent or "")
        return run.status not in ENDED or (parent is not None and parent.status not in ENDED)


def session(access: Access) -> Any:
    """Opens MLflow's session on a database, for a ``with`` block."""
    store: Any = access.client._tracking_client.store
    return store.ManagedSessionMaker()


def known(access: Access) -> Known:
    """Reads the runs and models of a store.

    Raises:
        Exception: The store cannot be reached.
    """
    if served(access.uri):
        return Known({run.run_id: run for run in _of_server(access)}, {})
    with session(access) as opened:
        # Models first: each is created after its run, so no run of a model is missing.
        models = {model.model_id: model for model in models_of(access, opened)}
        return Known({run.run_id: run for run in _runs(access, opened)}, models)


def _runs(access: Access, opened: Any) -> Iterator[KnownRun]:
    tags: dict[str, dict[str, str]] = {}
    column: Any = SqlTag.key
    for row in opened.query(SqlTag).filter(column.in_((KIND, PARENT_TAG))):
        tags.setdefault(row.run_uuid, {})[row.key] = row.value
    for row in opened.query(SqlRun):
        run_tags = tags.get(row.run_uuid, {})
        yield KnownRun(
            run_id=row.run_uuid,
            experiment_id=str(row.experiment_id),
            status=row.status,
            deleted=row.lifecycle_stage == LifecycleStage.DELETED,
            kind=run_tags.get(KIND, "run"),
            parent=run_tags.get(PARENT_TAG),
            folder=_folder(access, row.artifact_uri, row.run_uuid),
        )


def models_of(access: Access, opened: Any, **which: str) -> Iterator[KnownModel]:
    """Yields the logged models of a database.

    Args:
        access: The store.
        opened: A session on it.
        which: The values of columns that they must have; none yields all models.
    """
    rows = opened.query(SqlLoggedModel).filter_by(**which).all()
    versions = opened.query(SqlModelVersion.run_id, SqlModelVersion.source).all()
    runs, sources = {run_id for run_id, _ in versions}, {source for _, source in versions}
    for row in rows:
        name, run_id = row.model_id, row.source_run_id
        yield KnownModel(
            model_id=name,
            run_id=run_id,
            deleted=row.lifecycle_stage == LifecycleStage.DELETED,
            registered=(run_id is not None and run_id in runs)
            or any(name in str(source) for source in sources),
            folder=_folder(access, row.artifact_location, name),
        )


def _of_server(access: Access) -> Iterator[KnownRun]:
    experiments = list(pages(partial(access.client.search_experiments, ViewType.ALL)))
    if not experiments:
        return
    numbers = [experiment.experiment_id for experiment in experiments]
    for run in pages(partial(access.client.search_runs, numbers, "", ViewType.ALL)):
        tags = run.data.tags
        yield KnownRun(
            run_id=run.info.run_id,
            experiment_id=run.info.experiment_id,
            status=run.info.status,
            deleted=run.info.lifecycle_stage == LifecycleStage.DELETED,
            kind=tags.get(KIND, "run"),
            parent=tags.get(PARENT_TAG),
            folder=None,
        )


def _folder(access: Access, uri: str, name: str) -> Path | None:
    """Returns the folder of a run or a model, ``<name>`` in ``<name>/artifacts``.

    The store is not trusted: with any other path it could choose a folder to be deleted.
    """
    try:
        artifacts = access.folder(uri)
    except UntrustedError:
        return None
    if artifacts is None or artifacts.parent.name != name:
        return None
    return artifacts.parent
