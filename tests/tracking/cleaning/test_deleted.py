"""What was deleted in MLflow is removed with all that belongs to it, unless it is in use."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from echo_exp.tracking.cleaning.deleted import _store
from echo_exp.tracking.cleaning.known import known
from echo_exp.tracking.cleaning.survey import DELETED, ORPHANS

from ..stores import MadeStore
from .remains import at_work, is_known, not_delivered, of_a_running_sweep


def test_a_deleted_run_is_removed_with_its_files_and_its_model(made: MadeStore) -> None:
    kept, gone = made.run(), made.run()
    kept_model, _ = (made.model(run, 10) for run in (kept, gone))
    made.client.delete_run(gone)
    assert sum(item.size for item in made.survey().removable[DELETED]) > 610
    made.remove(DELETED)
    assert is_known(made, kept)
    assert not is_known(made, gone)
    assert not made.artifacts(gone).parent.exists()
    assert made.artifacts(kept).exists()
    assert known(made.access).models.keys() == {kept_model}
    assert [p.name for p in (made.output / "artifacts" / "models").iterdir()] == [kept_model]
    assert made.survey().removable[DELETED] == []


def test_a_model_is_removed_if_it_or_its_run_was_deleted(
    made: MadeStore,
) -> None:
    purged, kept = made.run(), made.run()
    made.model(purged, 10)
    _store(made.access)._hard_delete_run(purged)
    made.client.delete_logged_model(made.model(kept, 10))
    stays = made.model(kept, 10)
    made.remove(DELETED)
    assert known(made.access).models.keys() == {stays}


@pytest.mark.filterwarnings("error")
def test_a_deleted_model_without_a_run_is_removed(made: MadeStore) -> None:
    model = made.model(None, 10)
    made.client.delete_logged_model(model)
    made.remove(DELETED)
    assert known(made.access).models == {}


def test_a_registered_model_of_a_deleted_run_stays(
    made: MadeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.access.uri)  # there MLflow looks it up
    run = made.run()
    model = made.model(run, 10)
    made.client.create_registered_model("echo")
    made.client.create_model_version("echo", f"models:/{model}", run, model_id=model)
    made.client.delete_run(run)
    made.remove(DELETED)
    assert not is_known(made, run)
    assert (made.output / "artifacts" / "models" / model / "artifacts" / "MLmodel").exists()
    assert made.client.get_logged_model(model).model_id == model


@pytest.mark.parametrize("make", [at_work, of_a_running_sweep, not_delivered])
def test_a_deleted_run_that_trains_or_has_waiting_records_stays(
    made: MadeStore, make: Callable[[MadeStore], str]
) -> None:
    run = make(made)
    made.client.delete_run(run)
    found = made.survey()
    assert (found.busy, found.removable[DELETED]) == (1, [])
    made.client.restore_run(run)
    assert made.artifacts(run).exists()


def test_a_run_restored_during_the_removal_stays(made: MadeStore) -> None:
    run = made.run()
    made.client.delete_run(run)
    (item,) = made.survey().removable[DELETED]
    made.client.restore_run(run)
    with pytest.raises(RuntimeError, match="restored"):
        item.remove()
    assert made.artifacts(run).exists()


def test_a_model_restored_or_registered_during_the_removal_stays(
    made: MadeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.access.uri)  # there MLflow looks it up
    restored, registered = made.run(), made.run()
    made.model(restored, 10)
    model = made.model(registered, 10)
    for run in (restored, registered):
        made.client.delete_run(run)
    models = [item for item in made.survey().removable[DELETED] if "models" in item.path.parts]
    made.client.restore_run(restored)
    made.client.create_registered_model("echo")
    made.client.create_model_version("echo", f"models:/{model}", registered, model_id=model)
    for item in models:
        with pytest.raises(RuntimeError, match="restored or registered"):
            item.remove()
        assert item.path.exists()
    assert len(models) == 2


def test_a_killed_removal_is_continued(made: MadeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made.run()
    made.client.delete_run(run)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_store(made.access), "_hard_delete_run", killed)
        with pytest.raises(KeyboardInterrupt):
            made.remove(DELETED)
    assert made.client.get_run(run).info.lifecycle_stage == "deleted"
    found = made.survey()
    assert (len(found.removable[DELETED]), found.removable[ORPHANS]) == (1, [])
    made.remove(DELETED)
    assert not is_known(made, run)


def test_a_deleted_experiment_is_removed_once_it_is_empty(made: MadeStore) -> None:
    run = made.run("RUNNING")
    made.client.delete_experiment(made.experiment_id)
    assert made.survey().removable[DELETED] == []
    made.client.restore_experiment(made.experiment_id)
    made.client.set_terminated(run, "FAILED")
    made.client.delete_experiment(made.experiment_id)
    made.remove(DELETED)
    with pytest.raises(MlflowException, match="No Experiment"):
        made.client.get_experiment(made.experiment_id)
    assert made.client.create_experiment("echo")  # its name is free


def test_a_store_cannot_have_another_folder_deleted(made: MadeStore) -> None:
    run = made.run()
    made.client.delete_run(run)
    for uri in ((made.output / "artifacts").as_uri(), made.output.parent.as_uri()):
        engine = sqlalchemy.create_engine(made.access.uri, poolclass=sqlalchemy.NullPool)
        with engine.begin() as database:
            statement = sqlalchemy.text("update runs set artifact_uri = :uri")
            database.execute(statement, {"uri": uri})
        assert made.survey().removable[DELETED] == []


def test_removing_deleted_runs_shrinks_the_database(made: MadeStore) -> None:
    run = made.run()
    for first in range(0, 4000, 1000):
        steps = range(first, first + 1000)
        made.client.log_batch(run, [Metric("train/loss", 0.5, step, step) for step in steps])
    made.client.delete_run(run)
    before = made.places.database_size(made.access)
    made.remove(DELETED)
    assert made.places.free > 0
    freed = made.places.shrink()
    assert freed > 0
    assert made.places.database_size(made.access) == (before or 0) - freed
    assert made.places.free == 0
