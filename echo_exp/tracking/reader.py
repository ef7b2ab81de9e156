"""Finished runs as the tracking store has them, for whoever uses what was trained."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig, OmegaConf

from echo_exp.settings import SettingError, redacted
from echo_exp.tracking.client import connect, local_folder, mends, reason, repository
from echo_exp.tracking.lifecycle import check_experiment, check_run
from echo_exp.tracking.models import Place
from echo_exp.tracking.store import (
    DeletedError,
    TrackingError,
    TrackingSettings,
    UnreachableError,
    existing,
)

LAST = "last"
CONFIG = "config.yaml"


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of a store.

    Attributes:
        info: MLflow's record of it.
        config: The resolved configuration that it was begun with.
        client: What reached the store.
        place: Gives other artifacts of the store, by their URI.
        artifacts: Its artifacts.
        folder: The folder of these where it is on this machine.
    """

    info: Run
    config: DictConfig
    client: MlflowClient
    place: Place
    artifacts: ArtifactRepository
    folder: Path | None

    @property
    def run_id(self) -> str:
        """MLflow's name of the run."""
        return str(self.info.info.run_id)

    @contextmanager
    def file(self, path: str) -> Iterator[Path]:
        """Gives an artifact as a file, fetched from the server where it is not here.

        Raises:
            SettingError: There is no such artifact.
        """
        with tempfile.TemporaryDirectory() as fetched:
            try:
                found = self.folder / path if self.folder else None
                local = found or Path(self.artifacts.download_artifacts(path, fetched))
            except Exception as error:
                why = f"its {path} cannot be read ({reason(error)})"
                raise SettingError("run", self.run_id, why) from error
            if not local.exists():
                raise SettingError("run", self.run_id, f"it left no {path}")
            yield local


def find(settings: TrackingSettings, which: str) -> FinishedRun:
    """Finds a finished run.

    Args:
        settings: The store, and the experiment in which the newest is looked for.
        which: The run's id, or ``last`` for the newest finished one of the experiment.

    Raises:
        SettingError: There is no such run, or it has not finished.
        UnreachableError: The store cannot be reached.
    """
    uri = existing(settings)
    with _reached(uri):
        client = connect(uri)
        run = _run(client, settings, which)
    if run.info.status != "FINISHED":
        run_id, status = run.info.run_id, run.info.status
        hint = "" if status == "RUNNING" else f"; `echo-exp resume={run_id}` goes on with it"
        raise SettingError("run", run_id, f"it has not finished, it is {status}{hint}")
    allowed = settings.artifacts
    if allowed is not None and "://" not in allowed:
        allowed = str(Path(allowed).absolute())

    def place(artifacts: str) -> ArtifactRepository:
        return repository(artifacts, allowed, uri)

    artifacts = place(run.info.artifact_uri)
    folder = local_folder(run.info.artifact_uri, allowed)
    found = FinishedRun(run, OmegaConf.create(), client, place, artifacts, folder)
    with found.file(CONFIG) as path:
        config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    return FinishedRun(run, config, client, place, artifacts, folder)


def add(settings: TrackingSettings, run_id: str, folder: Path, name: str) -> None:
    """Copies a folder to the artifacts of a finished run, under ``name``.

    Raises:
        TrackingError: The store does not take it.
    """
    found = find(settings, run_id)
    with _reached(str(settings.uri)):
        found.artifacts.log_artifacts(str(folder), name)


def _run(client: MlflowClient, settings: TrackingSettings, which: str) -> Run:
    if which != LAST:
        try:
            run = client.get_run(which)
        except MlflowException as error:
            if mends(error):
                raise
            raise SettingError("run", which, _known(client, settings)) from None
        active(client, run)
        if run.data.tags.get("kind", "run") != "run":  # people may have deleted the tag
            raise SettingError("run", which, "it is no training: name one of the runs under it")
        return run
    newest = _newest(client, settings, "tags.kind = 'run' and attributes.status = 'FINISHED'", 1)
    if not newest:
        raise SettingError("run", which, _known(client, settings))
    return newest[0]


def _known(client: MlflowClient, settings: TrackingSettings) -> str:
    newest = _newest(client, settings, "tags.kind = 'run'", 3)
    names = ", ".join(f"{run.info.run_id} ({run.info.status})" for run in newest)
    return (
        f"it must be `last`, for the newest that has finished, or the id of a run; the newest of "
        f"experiment {settings.experiment} are: {names or 'none'}"
    )


def _newest(client: MlflowClient, settings: TrackingSettings, query: str, most: int) -> list[Run]:
    found = experiment(client, settings.experiment)
    if found is None:
        return []
    order = ["attributes.start_time DESC"]
    return list(client.search_runs([found.experiment_id], query, 1, most, order))


def active(client: MlflowClient, run: Run) -> Run:
    """Returns a run that was asked for.

    Raises:
        SettingError: It was deleted in MLflow.
    """
    try:
        check_run(client, run)
    except DeletedError as error:
        raise SettingError("run", run.info.run_id, str(error)) from error
    return run


def experiment(client: MlflowClient, name: str) -> Experiment | None:
    """Returns the experiment of a name, if there is one.

    Raises:
        SettingError: It was deleted in MLflow.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        try:
            check_experiment(client, found)
        except DeletedError as error:
            raise SettingError("tracking.experiment", name, str(error)) from error
    return found


@contextmanager
def _reached(uri: str) -> Iterator[None]:
    try:
        yield
    except (SettingError, TrackingError):
        raise
    except Exception as error:
        why = f"{redacted(uri)} cannot be used ({reason(error)})"
        raise (UnreachableError if mends(error) else TrackingError)(why) from error
