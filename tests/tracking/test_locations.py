"""The paths of a store stand for places in its artifact folder, wherever that is now."""

import sqlite3
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.tracking import MlflowClient

from echo_exp.tracking.access import reader, schema
from echo_exp.tracking.access.connection import reach
from echo_exp.tracking.access.locations import UntrustedError, check_run_id, here

RUN, MODEL = "0123abcd/artifacts", "models/m-01/artifacts"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("moved") / "artifacts"
    for place in (RUN, MODEL, f"3/{RUN}"):
        (root / place).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("path", "least", "place"),
    [
        ("file:///old/outputs/artifacts", 0, ""),
        (f"file:///old/outputs/artifacts/{RUN}", 2, RUN),
        (f"/old/outputs/artifacts/{RUN}", 2, RUN),
        (f"file:///old/outputs/artifacts/3/{RUN}", 2, f"3/{RUN}"),
        (f"file:///old/outputs/artifacts/{MODEL}", 3, MODEL),
        ("file:///old/outputs/artifacts/new/artifacts", 2, "new/artifacts"),
        ("file:///old/my%20outputs/artifacts/new/artifacts", 2, "new/artifacts"),
        ("/etc", 2, "etc"),
        ("", 2, ""),
        (f"file:///old/../../{RUN}", 2, RUN),
        (f"file://host/old/{RUN}", 2, RUN),
    ],
)
def test_a_path_from_elsewhere_is_mapped_into_the_folder(
    root: Path, path: str, least: int, place: str
) -> None:
    assert here(path, root, least) == (root / place).as_uri()


def test_a_path_in_the_folder_is_unchanged(root: Path) -> None:
    for path in (root.as_uri(), str(root / RUN), (root / "not yet").as_uri()):
        assert here(path, root, 2) == path


@pytest.mark.parametrize("uri", ["s3://bucket/a", "mlflow-artifacts:/1/2", "models:/m-01"])
def test_an_address_outside_the_file_system_is_unchanged(root: Path, uri: str) -> None:
    assert here(uri, root, 2) == uri


@given(
    st.text(alphabet="a./ :?#%2e", max_size=30),
    st.sampled_from(["", "file://", "file:///", "file://localhost/", "/", "//"]),
    st.integers(0, 3),
)
def test_no_path_leads_out_of_the_folder(root: Path, path: str, scheme: str, least: int) -> None:
    found = urlsplit(here(scheme + path, root, least))
    if found.scheme in ("", "file"):
        parts = PurePosixPath(unquote(found.path)).parts
        assert parts[: len(root.parts)] == root.parts
        assert ".." not in parts


def test_experiments_runs_and_models_are_read_where_they_are_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    schema.create(old / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{old}/mlflow.db")  # for the registry
    theirs = MlflowClient(f"sqlite:///{old}/mlflow.db")
    experiment = theirs.create_experiment("moved", (old / "artifacts").as_uri())
    run = theirs.create_run(experiment).info.run_id
    theirs.log_text(run, "kept", "note.txt")
    model = theirs.create_logged_model(experiment, "model", run)
    theirs.create_registered_model("echo")
    theirs.create_model_version("echo", f"models:/{model.model_id}", run, model_id=model.model_id)
    old.rename(new)
    client = reach(f"sqlite:///{new}/mlflow.db", str(new / "artifacts")).client
    artifacts = (new / "artifacts").as_uri()
    assert client.get_experiment(experiment).artifact_location == artifacts
    assert client.get_run(run).info.artifact_uri == f"{artifacts}/{run}/artifacts"
    (found,) = client.search_runs([experiment])
    assert found.info.artifact_uri == f"{artifacts}/{run}/artifacts"
    models = f"{artifacts}/models/{model.model_id}/artifacts"
    assert client.get_logged_model(model.model_id).artifact_location == models
    assert client.get_model_version_download_uri("echo", "1") == models
    later = client.create_run(experiment)
    assert later.info.artifact_uri == f"{artifacts}/{later.info.run_id}/artifacts"
    client.set_terminated(run, "FINISHED")  # which writes the run


def test_the_paths_in_the_database_are_not_changed(tmp_path: Path) -> None:
    """Another machine may see the folder under them."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    schema.create(tmp_path / "mlflow.db")
    theirs = MlflowClient(uri)
    experiment = theirs.create_experiment("shared", "file:///mounted/artifacts")
    run = theirs.create_run(experiment).info.run_id
    mine = reach(uri, str(tmp_path / "artifacts")).client
    mine.log_metric(run, "loss", 1.0)
    mine.set_terminated(run, "FINISHED")
    mine.set_experiment_tag(experiment, "seen", "here")
    reach(uri, "/mounted/artifacts")
    assert theirs.get_run(run).info.artifact_uri == f"file:///mounted/artifacts/{run}/artifacts"


@pytest.mark.parametrize("run_id", ["/home/somebody", "..", "../..", "a/b", ""])
def test_a_run_cannot_name_a_folder_elsewhere(run_id: str) -> None:
    with pytest.raises(UntrustedError, match="no id of MLflow"):
        check_run_id(run_id)


def test_a_run_whose_id_is_a_path_is_not_read(tmp_path: Path) -> None:
    access = reach(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"))
    experiment = access.client.create_experiment("echo")
    run_id = access.client.create_run(experiment).info.run_id
    access.client.set_terminated(run_id)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE runs SET run_uuid = '/home/somebody'")
    database.close()
    with pytest.raises(UntrustedError):
        reader._newest(access.client, "echo", "", 1)
    assert reader.existing_run(access.client, "/home/somebody") is None
