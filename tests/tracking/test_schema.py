"""A new local store is what MLflow itself would make."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from benchmarks.schema import dumped, migrated
from echo_exp.tracking.access import schema


def _parts(store: Path) -> list[str]:
    """The lines that make a store; MLflow adds some constraints and indices in any order."""
    return sorted(line.strip(" \t,") for line in dumped(store).splitlines())


def test_a_new_store_equals_that_of_the_installed_mlflow(tmp_path: Path) -> None:
    ours, its = tmp_path / "there" / "ours.db", tmp_path / "its.db"
    schema.create(ours)
    migrated(its)
    assert _parts(ours) == _parts(its)
    assert [path.name for path in ours.parent.iterdir()] == ["ours.db"]


def test_an_existing_store_is_not_changed(tmp_path: Path) -> None:
    store = tmp_path / "mlflow.db"
    client = MlflowClient(f"sqlite:///{store}")
    client.create_experiment("mine")
    before = store.read_bytes()
    schema.create(store)
    assert store.read_bytes() == before


def test_another_version_of_mlflow_makes_the_store_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "made_by", lambda: "-- MLflow 1.0.0")
    schema.create(tmp_path / "mlflow.db")
    assert list(tmp_path.iterdir()) == []
