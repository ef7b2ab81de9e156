"""What users delete, restore, rename and edit in MLflow while the program writes to it."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from echo_exp.reports import records
from echo_exp.sweeps.study import Cell, Wanted
from echo_exp.tracking import DeletedError, Run, Store
from echo_exp.tracking.access.connection import Access, reach
from echo_exp.tracking.ui.view import VIEW_TAG, state

Edit = Callable[[MlflowClient, Run], object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lifecycle")


@pytest.fixture(scope="module")
def client(folder: Path) -> MlflowClient:
    return reach(f"sqlite:///{folder}/mlflow.db", None).client


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    store = _store(folder)
    yield store
    store.close()


@pytest.fixture
def deleting(client: MlflowClient) -> Iterator[Callable[[str], None]]:
    """Deletes an experiment, until the end of the test."""
    deleted: list[str] = []

    def delete(experiment_id: str) -> None:
        client.delete_experiment(experiment_id)
        deleted.append(experiment_id)

    yield delete
    for experiment_id in deleted:
        client.restore_experiment(experiment_id)


def _store(folder: Path) -> Store:
    return Store(
        f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"), spool=str(folder / "spool")
    )


def _run(store: Store, **tags: str) -> Run:
    return store.create_run(
        "a run", {"kind": "run", **tags}, {"units": 20}, {"config.yaml": "a: 1"}
    )


def _measure(run: Run, first: int = 1) -> None:
    run.log_metrics([first, first + 1], {"loss": [0.5, 0.4]})
    run.settle()


def _steps(client: MlflowClient, run: Run) -> list[int]:
    return sorted(point.step for point in client.get_metric_history(run.run_id, "loss"))


def _command(text: str) -> str:
    """Returns the command that a message names."""
    found = re.search("`(.*?)`", text)
    assert found is not None, text
    return found.group(1)


def _purge(client: MlflowClient, run: Run) -> None:
    """Does what `mlflow gc` does."""
    client.delete_run(run.run_id)
    client._tracking_client.store._hard_delete_run(run.run_id)


DELETIONS: dict[str, tuple[Edit, Edit]] = {
    "run": (
        lambda client, run: client.delete_run(run.run_id),
        lambda client, run: client.restore_run(run.run_id),
    ),
    "experiment": (
        lambda client, run: client.delete_experiment(run.stored.experiment_id),
        lambda client, run: client.restore_experiment(run.stored.experiment_id),
    ),
}


@pytest.mark.parametrize("what", DELETIONS)
def test_measurements_of_a_deleted_run_wait_until_it_is_restored(
    client: MlflowClient, store: Store, what: str
) -> None:
    run = _run(store)
    _measure(run)
    DELETIONS[what][0](client, run)
    _measure(run, 3)
    run.log_table({"a": [1]}, "samples.json")
    waiting = run.finish()
    assert waiting is not None
    assert waiting.measurements >= 2
    assert "was deleted in MLflow" in str(waiting)
    assert "MlflowException" not in str(waiting)
    restored = subprocess.run(
        ["sh", "-c", _command(str(waiting))], capture_output=True, text=True, check=False
    )
    assert restored.returncode == 0, restored.stderr
    assert store.find_run(run.run_id).status == "FINISHED"  # delivered before it looked
    assert _steps(client, run) == [1, 2, 3, 4]
    assert client.get_experiment(run.stored.experiment_id).lifecycle_stage == "active"


@pytest.mark.parametrize("what", DELETIONS)
def test_a_run_deleted_and_restored_while_it_trains_continues(
    client: MlflowClient, store: Store, what: str
) -> None:
    run = _run(store)
    delete, restore = DELETIONS[what]
    delete(client, run)
    _measure(run)
    restore(client, run)
    _measure(run, 3)
    for _ in range(600):
        if _steps(client, run) == [1, 2, 3, 4]:
            break
        time.sleep(0.1)
    assert run.finish() is None
    assert client.get_run(run.run_id).info.status == "FINISHED"


def test_measurements_of_a_purged_run_are_left_for_the_user_to_remove(
    folder: Path, client: MlflowClient, store: Store
) -> None:
    run = _run(store)
    _purge(client, run)
    _measure(run)
    waiting = run.finish()
    assert waiting is not None
    assert waiting.in_vain == folder / "spool" / f"{run.run_id}.jsonl"
    assert waiting.in_vain.exists()
    assert f"run {run.run_id} is no longer in the store" in str(waiting)
    with pytest.raises(LookupError, match="it must be `last`"):
        store.find_run(run.run_id)


def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(
    folder: Path, store: Store, deleting: Callable[[str], None]
) -> None:
    made = _run(store)
    made.finish()
    deleting(made.stored.experiment_id)
    another = _store(folder)  # a program that begins now
    asked: list[Callable[[Store], object]] = [
        _run,
        lambda store: store.open_parent("a", {"sweep": "0"}, {}, {}, "sweep"),
        lambda store: store.claim("job"),
    ]
    for ask in asked:
        for each in (another, store):
            with pytest.raises(DeletedError, match=r"`MLFLOW_.* experiments restore .*` restores"):
                ask(each)
    with pytest.raises(DeletedError, match="experiments restore"):
        another.find_run("last")
    with pytest.raises(DeletedError, match="experiments restore"):
        another.find_same({"fingerprint": "f"})
    with pytest.raises(LookupError, match="with its experiment"):
        store.find_run(made.run_id)
    another.close()


def test_deleted_runs_are_neither_last_nor_jobs_of_a_sweep_nor_finished_earlier(
    client: MlflowClient, store: Store
) -> None:
    parent = store.open_parent("parent", {"kind": "sweep", "sweep": "1"}, {}, {}, "sweep")
    first, second = (
        store.create_run(n, {"kind": "run", "fingerprint": "deleted"}, {}, {}, parent.run_id)
        for n in ("first", "second")
    )
    for run in (first, second):
        run.finish()
    client.delete_run(second.run_id)
    assert [child.run_id for child in store.children(parent.run_id)] == [first.run_id]
    assert store.find_run("last").run_id == first.run_id
    same = store.find_same({"fingerprint": "deleted"})
    assert same is not None
    assert same.run_id == first.run_id
    client.delete_run(first.run_id)
    assert store.children(parent.run_id) == []
    assert store.find_same({"fingerprint": "deleted"}) is None


def test_a_sweep_whose_parent_was_deleted_gets_a_new_one(
    client: MlflowClient, store: Store
) -> None:
    tags, files = {"kind": "sweep", "sweep": "2"}, {"jobs.txt": "job"}
    parent = store.open_parent("parent", tags, {}, files, "sweep")
    child = store.create_run("child", {"fingerprint": "kept", "kind": "run"}, {}, {}, parent.run_id)
    client.delete_run(parent.run_id)
    assert child.finish() is None
    parent.log_table({"a": [1]}, "jobs.json")
    waiting = parent.finish()
    assert waiting is not None
    assert "runs restore" in str(waiting)
    another = store.open_parent("parent", tags, {}, files, "sweep")
    assert another.run_id != parent.run_id
    assert another.finish() is None
    same = store.find_same({"fingerprint": "kept"})
    assert same is not None
    assert same.status == "FINISHED"


EDITS: dict[str, Edit] = {
    "run renamed": lambda client, run: client.update_run(run.run_id, name="mine"),
    "experiment renamed": lambda client, run: client.rename_experiment(
        run.stored.experiment_id, f"{run.stored.experiment_id} renamed"
    ),
    "kind deleted": lambda client, run: client.delete_tag(run.run_id, "kind"),
    "fingerprint deleted": lambda client, run: client.delete_tag(run.run_id, "fingerprint"),
    "code edited": lambda client, run: client.set_tag(run.run_id, "code", "mine"),
    "parent edited": lambda client, run: client.set_tag(run.run_id, "mlflow.parentRunId", "?"),
    "name deleted": lambda client, run: client.delete_tag(run.run_id, "mlflow.runName"),
    "description written": lambda client, run: client.set_tag(
        run.run_id, "mlflow.note.content", "mine"
    ),
    "list of tables spoilt": lambda client, run: client.set_tag(
        run.run_id, "mlflow.loggedArtifacts", "mine"
    ),
    "list of tables no list": lambda client, run: client.set_tag(
        run.run_id, "mlflow.loggedArtifacts", "{}"
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_run_continues_whatever_is_edited(client: MlflowClient, store: Store, edit: str) -> None:
    run = _run(store, fingerprint="f", code="c")
    _measure(run)
    EDITS[edit](client, run)
    _measure(run, 3)
    run.log_table({"a": [1]}, "samples.json")
    assert run.finish() is None
    stored = client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert {"path": "samples.json", "type": "table"} in json.loads(
        stored.data.tags["mlflow.loggedArtifacts"]
    )
    assert _steps(client, run) == [1, 2, 3, 4]
    assert store.find_run(run.run_id).config == "a: 1"


def test_a_report_leaves_out_a_run_whose_artifacts_are_gone(
    tmp_path: Path,
) -> None:
    store = _store(tmp_path)
    tags = {"kind": "run", "fingerprint": "bare"}
    store.create_run("bare", tags, {"replicas": 2}, {}).finish()
    store.close()
    access = Access(MlflowClient(store.uri), store.uri, str(tmp_path / "artifacts"))
    wanted = Wanted(Cell({}, {}), 5, range(1, 2), "bare", "bare but seeds")
    (record,) = records.read(access, "echo", [wanted])
    assert record.status == "finished, but its artifacts are gone"
    assert not record.finished


@pytest.mark.parametrize(
    "text", ["", "mine", "[]", "{}", '{"state": 3}', '{"state": "mine"}', '{"state": "[]"}']
)
def test_an_unreadable_view_counts_as_none(text: str) -> None:
    assert state({VIEW_TAG: text}) is None
