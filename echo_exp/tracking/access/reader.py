"""Finds runs in the tracking store, and reads their configurations and artifacts."""

import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig, OmegaConf

from echo_exp.settings import SettingError, redacted
from echo_exp.tracking.access.connection import Access, mends, reach, reason
from echo_exp.tracking.access.deletions import check_experiment, check_run
from echo_exp.tracking.access.locations import check_run_id
from echo_exp.tracking.access.rows import of_tags
from echo_exp.tracking.errors import DeletedError, TrackingError, UnreachableError
from echo_exp.tracking.settings import CONFIG, LAST, TrackingSettings, existing

SWEEP = "sweep"
"""The kind of a parent run, and the setting that names one."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of a store.

    Attributes:
        info: MLflow's record of it.
        config: The resolved configuration that it was started with.
        access: Its store.
    """

    info: Run
    config: DictConfig
    access: Access

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self.info.info.run_id)

    def file(self, path: str, hint: str = "") -> AbstractContextManager[Path]:
        """Provides an artifact as a file, see `artifact`."""
        return artifact(self.access, self.info, path, hint)


def opened(settings: TrackingSettings, made_by: str = "echo-exp") -> Access:
    """Opens a store to read from.

    Args:
        settings: The store.
        made_by: The command that creates it, for the message.

    Raises:
        SettingError: There is no such store, or it cannot be reached.
    """
    uri = existing(settings, made_by)
    with reached(uri):
        access = reach(uri, settings.artifacts)
        access.client.search_experiments(max_results=1)
    return access


@contextmanager
def reached(uri: str) -> Iterator[None]:
    """Turns errors in the ``with`` block, except this program's own, into one that names the store.

    It is for blocks that only read, where an error loses nothing.

    Args:
        uri: The store's URI.

    Raises:
        SettingError: The store could not be used.
    """
    try:
        yield
    except (SettingError, TrackingError):
        raise
    except Exception as error:
        why = f"it cannot be used ({reason(error)})"
        raise SettingError("tracking.uri", uri, why) from error


@contextmanager
def artifact(access: Access, run: Run, path: str, hint: str = "") -> Iterator[Path]:
    """Provides an artifact of a run as a file, downloaded from the server if necessary.

    Args:
        access: The store.
        run: The run.
        path: The artifact.
        hint: What to add to the message if it cannot be read.

    Raises:
        SettingError: There is no such artifact, or it is outside the folder of the configuration.
        UnreachableError: The store did not provide it.
    """
    run_id = run.info.run_id
    with tempfile.TemporaryDirectory() as fetched:
        try:
            local = _fetched(access, run, path, fetched)
        except Exception as error:
            if mends(error):
                why = f"{redacted(access.uri)} did not return {path} of run {run_id}"
                raise UnreachableError(f"{why} ({reason(error)})") from error
            why = f"its {path} cannot be read ({reason(error)}){hint}"
            raise SettingError("run", run_id, why) from error
        if local is None:
            folder = access.folder(run.info.artifact_uri)
            there = f" in {folder}" if folder else ""
            raise SettingError("run", run_id, f"it has no {path}{there}{hint}")
        yield local


def _fetched(access: Access, run: Run, path: str, into: str) -> Path | None:
    """Returns an artifact as a file; None if there is none."""
    folder = access.folder(run.info.artifact_uri)
    if folder is not None:
        return folder / path if (folder / path).exists() else None
    place = access.place(run.info.artifact_uri)
    try:
        return Path(place.download_artifacts(path, into))
    except Exception:  # MLflow has no special error for a missing artifact
        beside = place.list_artifacts(posixpath.dirname(path) or None)
        if path in [entry.path for entry in beside]:
            raise
        return None


def find(settings: TrackingSettings, which: str) -> FinishedRun:
    """Finds a finished run.

    Args:
        settings: The store, and the experiment of which ``last`` means the newest run.
        which: The run's id, or ``last`` for the newest finished one of the experiment.

    Raises:
        SettingError: There is no such run, it has not finished, or the store cannot be reached.
    """
    access = opened(settings)
    with reached(access.uri):
        found = run(access, settings.experiment, which)
    if found.info.status != "FINISHED":
        run_id, status = found.info.run_id, found.info.status
        hint = "" if status == "RUNNING" else f"; `echo-exp resume={run_id}` continues it"
        raise SettingError("run", run_id, f"it has not finished; its status is {status}{hint}")
    with artifact(access, found, CONFIG) as path:
        config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    return FinishedRun(found, config, access)


def sweep(access: Access, experiment_name: str, which: str) -> Run:
    """Finds the parent run of a sweep, a study or a search.

    Args:
        access: The store.
        experiment_name: The experiment of which ``last`` means the newest sweep.
        which: The parent's id, or ``last``.

    Raises:
        SettingError: There is none, or it was deleted in MLflow.
    """
    client = access.client
    with reached(access.uri):
        newest = _newest(client, experiment_name, f"tags.kind = '{SWEEP}'", 3)
        if which == LAST:
            if not newest:
                raise SettingError(SWEEP, which, f"experiment {experiment_name} has no sweep yet")
            return newest[0]
        found = existing_run(client, which)
        if found is not None:
            if found.data.tags.get("kind") == SWEEP:
                return active(client, found, SWEEP)
            raise SettingError(
                SWEEP, which, "it is the id of a single run, not of a sweep's parent"
            )
    names = ", ".join(f"{run.info.run_id} ({run.info.run_name})" for run in newest)
    reason = "it must be `last` or the id of a sweep's parent run; the newest of experiment "
    raise SettingError(SWEEP, which, f"{reason}{experiment_name} are: {names or 'none'}")


def replace(access: Access, run: Run, folder: Path, name: str) -> None:
    """Copies a folder to the artifacts of a run, in place of what they have under ``name``.

    Args:
        access: The store.
        run: The run.
        folder: The folder.
        name: Its name among the artifacts.

    Raises:
        TrackingError: The store did not accept it.
    """
    try:
        place = access.place(run.info.artifact_uri)
        place.log_artifacts(str(folder), name)
        written = {f"{name}/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*")}
        for path in _files(place, name):
            if path not in written:
                place.delete_artifacts(path)
    except Exception as error:
        why = f"{redacted(access.uri)} did not accept {name} ({reason(error)})"
        raise TrackingError(why) from error


def _files(place: ArtifactRepository, folder: str) -> Iterator[str]:
    """Yields the paths of all files of a folder among the artifacts."""
    for entry in place.list_artifacts(folder):
        if entry.is_dir:
            yield from _files(place, entry.path)
        else:
            yield entry.path


def run(access: Access, experiment: str, which: str, setting: str = "run") -> Run:
    """Returns the run that a setting names.

    Args:
        access: The store.
        experiment: The experiment of which ``last`` means the newest run.
        which: The run's id, or ``last`` for the newest finished one of the experiment.
        setting: Name of the setting.

    Raises:
        SettingError: There is no such run, or it is not a training.
    """
    client = access.client
    if which != LAST:
        found = existing_run(client, which)
        if found is None:
            raise SettingError(setting, which, _known(client, experiment))
        active(client, found, setting)
        if found.data.tags.get("kind", "run") != "run":  # people may have deleted the tag
            raise SettingError(
                setting, which, "it is not a training run: name one of the runs under it"
            )
        return found
    query = "tags.kind = 'run' and attributes.status = 'FINISHED'"
    newest = _newest(client, experiment, query, 1)
    if not newest:
        raise SettingError(setting, which, _none_finished(client, experiment))
    return newest[0]


def _none_finished(client: MlflowClient, experiment: str) -> str:
    none = f"no run of experiment {experiment} has finished"
    begun = _newest(client, experiment, "tags.kind = 'run'", 1)
    if not begun:
        return none
    last = begun[0].info
    return f"{none}; `echo-exp resume={last.run_id}` continues the newest, which is {last.status}"


def _known(client: MlflowClient, experiment: str) -> str:
    newest = _newest(client, experiment, "tags.kind = 'run'", 3)
    names = ", ".join(f"{run.info.run_id} ({run.info.status})" for run in newest)
    return (
        f"it must be `last`, for the newest that has finished, or the id of a run; the newest of "
        f"experiment {experiment} are: {names or 'none'}"
    )


def newest(
    access: Access, settings: TrackingSettings, tags: Mapping[str, str], most: int
) -> list[Run]:
    """Returns the newest runs of the experiment that have these tags.

    Args:
        access: The store.
        settings: The settings that name the experiment.
        tags: The tags, whose values are hashes and names.
        most: The maximum number of runs.

    Raises:
        SettingError: The experiment was deleted in MLflow, or the store cannot be reached.
    """
    with reached(access.uri):
        return _newest(access.client, settings.experiment, of_tags(tags), most)


def _newest(client: MlflowClient, name: str, query: str, most: int) -> list[Run]:
    found = experiment(client, name)
    if found is None:
        return []
    order = ["attributes.start_time DESC"]
    runs = list(client.search_runs([found.experiment_id], query, 1, most, order))
    for run in runs:
        check_run_id(run.info.run_id)
    return runs


def existing_run(client: MlflowClient, run_id: str) -> Run | None:
    """Returns the run with this id, deleted or not; None if the store has none.

    Raises:
        MlflowException: The store could not answer.
        UntrustedError: The id could lead out of the folders that are named for runs.
    """
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if mends(error):
            raise
        return None
    check_run_id(run.info.run_id)
    return run


def active(client: MlflowClient, run: Run, setting: str = "run") -> Run:
    """Returns a run after checking that it is not deleted.

    Args:
        client: MLflow's client of the store.
        run: The run.
        setting: Name of the setting that asked for it.

    Raises:
        SettingError: It was deleted in MLflow.
    """
    try:
        check_run(client, run)
    except DeletedError as error:
        raise SettingError(setting, run.info.run_id, str(error)) from error
    return run


def experiment(client: MlflowClient, name: str) -> Experiment | None:
    """Returns the experiment with this name, if there is one.

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
