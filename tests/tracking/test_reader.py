"""What a store does not have is distinguished from what could not be read."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import requests
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from echo_exp.settings import SettingError
from echo_exp.tracking import UnreachableError
from echo_exp.tracking.access import reader
from echo_exp.tracking.access.connection import Access, reach

RUN = cast(
    "Run", SimpleNamespace(info=SimpleNamespace(run_id="0a", artifact_uri="mlflow-artifacts:/"))
)
FAILED = MlflowException("The following failures occurred while downloading")
"""What MLflow raises, whatever the reason."""


def _served(listing: Callable[[], list[str]]) -> Access:
    """A server that returns no artifact, but may list them."""

    def download(path: str, into: str) -> str:
        raise FAILED

    def names(folder: str | None) -> list[SimpleNamespace]:
        return [SimpleNamespace(path=path) for path in listing()]

    place = SimpleNamespace(download_artifacts=download, list_artifacts=names)
    access = SimpleNamespace(uri="http://server", folder=lambda _: None, place=lambda _: place)
    return cast("Access", access)


def _away() -> list[str]:
    raise requests.ConnectionError("no answer")


def test_an_artifact_that_a_server_does_not_list_does_not_exist() -> None:
    with (
        pytest.raises(SettingError, match=r"it has no replicas\.json"),
        reader.artifact(_served(lambda: ["config.yaml"]), RUN, "replicas.json"),
    ):
        pass


@pytest.mark.parametrize("listing", [lambda: ["a/replicas.json"], _away])
def test_an_artifact_that_a_server_failed_to_return_may_exist(
    listing: Callable[[], list[str]],
) -> None:
    with (
        pytest.raises(UnreachableError, match=r"http://server did not return a/replicas\.json"),
        reader.artifact(_served(listing), RUN, "a/replicas.json"),
    ):
        pass


def test_the_last_of_nothing_says_what_there_is(tmp_path: Path) -> None:
    access = reach(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path))
    experiment = access.client.create_experiment("echo")
    with pytest.raises(SettingError, match=r"sweep=last .* experiment echo has no sweep yet"):
        reader.sweep(access, "echo", "last")
    with pytest.raises(SettingError, match=r"no run of experiment echo has finished$"):
        reader.run(access, "echo", "last", "run")
    begun = access.client.create_run(experiment, tags={"kind": "run"}).info.run_id
    said = f"has finished; `echo-exp resume={begun}` continues the newest, which is RUNNING"
    with pytest.raises(SettingError, match=said):
        reader.run(access, "echo", "last", "run")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MlflowException("API request failed: timed out"), "tracking.uri=.* cannot be used"),
        (MlflowException("no run", RESOURCE_DOES_NOT_EXIST), "sweep=0a .* it must be `last` or"),
    ],
)
def test_a_sweep_in_an_unreachable_store_is_not_called_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: MlflowException, told: str
) -> None:
    access = reach(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path))

    def get_run(_: str) -> None:
        raise error

    monkeypatch.setattr(access.client, "get_run", get_run)
    with pytest.raises(SettingError, match=told):
        reader.sweep(access, "echo", "0a")
