"""Finished runs as the tracking store has them, for whoever uses what was trained."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig, OmegaConf

from echo_exp.settings import SettingError, redacted
from echo_exp.tracking.access.connection import Access, mends, reach, reason
from echo_exp.tracking.access.deletions import check_experiment, check_run
from echo_exp.tracking.errors import DeletedError, TrackingError
from echo_exp.tracking.settings import TrackingSettings, existing

LAST = "last"
CONFIG = "config.yaml"


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of a store.

    Attributes:
        info: MLflow's record of it.
        config: The resolved configuration that it was begun with.
        access: The way to its store.
    """

    info: Run
    config: DictConfig
    access: Access

    @property
    def run_id(self) -> str:
        """MLflow's name of the run."""
        return str(self.info.info.run_id)

    def file(self, path: str) -> AbstractContextManager[Path]:
        """Gives an artifact as a file, see `artifact`."""
        return artifact(self.access, self.info, path)


def opened(settings: TrackingSettings, made_by: str = "echo-exp") -> Access:
    """Opens a store to read from.

    Args:
        settings: The store.
        made_by: The command that makes what is looked for.

    Raises:
        SettingError: There is none, or it cannot be reached.
    """
    uri = existing(settings, made_by)
    with reached(uri):
        access = reach(uri, settings.artifacts)
        access.client.search_experiments(max_results=1)
    return access


@contextmanager
def reached(uri: str) -> Iterator[None]:
    """Names the store where it fails in the ``with`` block, when nothing can be lost.

    Raises:
        SettingError: It does.
    """
    try:
        yield
    except (SettingError, TrackingError):
        raise
    except Exception as error:
        why = f"it cannot be used ({reason(error)})"
        raise SettingError("tracking.uri", uri, why) from error


@contextmanager
def artifact(access: Access, run: Run, path: str) -> Iterator[Path]:
    """Gives an artifact of a run as a file, fetched from the server where it is not here.

    Raises:
        SettingError: There is no such artifact.
    """
    run_id = run.info.run_id
    with tempfile.TemporaryDirectory() as fetched:
        try:
            folder = access.folder(run.info.artifact_uri)
            if folder is not None:
                local = folder / path
            else:
                place = access.place(run.info.artifact_uri)
                local = Path(place.download_artifacts(path, fetched))
        except Exception as error:
            why = f"its {path} cannot be read ({reason(error)})"
            raise SettingError("run", run_id, why) from error
        if not local.exists():
            there = f" in {folder}" if folder else ""
            raise SettingError("run", run_id, f"it left no {path}{there}")
        yield local


def find(settings: TrackingSettings, which: str) -> FinishedRun:
    """Finds a finished run.

    Args:
        settings: The store, and the experiment in which the newest is looked for.
        which: The run's id, or ``last`` for the newest finished one of the experiment.

    Raises:
        SettingError: There is no such run, it has not finished, or the store cannot be reached.
    """
    access = opened(settings)
    with reached(access.uri):
        run = _run(access.client, settings, which)
    if run.info.status != "FINISHED":
        run_id, status = run.info.run_id, run.info.status
        hint = "" if status == "RUNNING" else f"; `echo-exp resume={run_id}` goes on with it"
        raise SettingError("run", run_id, f"it has not finished, it is {status}{hint}")
    with artifact(access, run, CONFIG) as path:
        config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    return FinishedRun(run, config, access)


def add(access: Access, run: Run, folder: Path, name: str) -> None:
    """Copies a folder to the artifacts of a run, under ``name``.

    Raises:
        TrackingError: The store does not take it.
    """
    try:
        access.place(run.info.artifact_uri).log_artifacts(str(folder), name)
    except Exception as error:
        why = f"{redacted(access.uri)} did not take {name} ({reason(error)})"
        raise TrackingError(why) from error


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


def newest(
    access: Access, settings: TrackingSettings, tags: Mapping[str, str], most: int
) -> list[Run]:
    """Returns the newest runs of the experiment that have some tags.

    Args:
        access: The store.
        settings: The experiment.
        tags: The tags, whose values are hashes and names.
        most: So many at most.

    Raises:
        SettingError: The experiment was deleted in MLflow, or the store cannot be reached.
    """
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    with reached(access.uri):
        return _newest(access.client, settings, query, most)


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
