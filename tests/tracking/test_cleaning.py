"""What takes how much on the disk, what can be removed, and what never is."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from filelock import FileLock
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from echo_exp.tracking.access.connection import Access, reach
from echo_exp.tracking.cleaning import survey as surveying
from echo_exp.tracking.cleaning.deleted import _store
from echo_exp.tracking.cleaning.files import Scale, delete
from echo_exp.tracking.cleaning.known import Known, known
from echo_exp.tracking.cleaning.leftovers import STALE_SECONDS
from echo_exp.tracking.cleaning.survey import CHECKPOINTS, DELETED, LEFTOVERS, NAMES, ORPHANS
from echo_exp.tracking.writer.outbox import Outbox, named

from .stores import MadeStore, write

POINT = {"do": "metrics", "series": [["m", [1], [1], [0.5]]]}
ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return MadeStore.at(tmp_path / "outputs")


def _box(made: MadeStore, run_id: str, waits: bool, store: str | None = None) -> Outbox:
    spool = made.places.spool
    outbox = Outbox.begun(spool, run_id, store or named(made.access.uri, spool))
    if waits:
        outbox.put(POINT)
    return outbox


def _names(made: MadeStore, what: str) -> set[str]:
    return {item.path.name for item in made.survey().removable[what]}


def _age(*paths: Path) -> None:
    for path in paths:
        before = path.lstat().st_mtime - 2 * STALE_SECONDS
        os.utime(path, (before, before))


def test_what_takes_how_much_is_told(made: MadeStore) -> None:
    parent = made.run(kind="sweep", files={})
    write(made.artifacts(parent), {"jobs.json": 40})
    run = made.run(parent=parent)
    made.run("FAILED", files={"last.ckpt": 50})
    made.model(run, 7)
    made.client.delete_run(made.run())
    _box(made, run, waits=True).leave()
    write(made.output, {"reports/report.html": 1000, "optuna.db": 500})
    found = made.survey()
    config = (made.artifacts(run) / "config.yaml").stat().st_size
    assert found.statuses == {"FINISHED": 1, "FAILED": 1}
    assert (found.runs.number, found.runs.size) == (2, 600 + 50 + 2 * config)
    assert (found.checkpoints.number, found.checkpoints.size) == (4, 650)
    assert (found.parents.number, found.parents.size) == (1, 40)
    assert (found.models.number, found.models.size) == (1, 7)
    assert (found.deleted.number, found.deleted.size) == (1, 600 + config)
    assert (found.undelivered.number, found.measurements) == (1, 1)
    assert found.database == sum(p.stat().st_size for p in made.output.glob("mlflow.db*"))
    every = sum(path.lstat().st_size for path in made.output.rglob("*") if path.is_file())
    assert found.total == every


def test_an_empty_store_has_nothing_to_remove(made: MadeStore) -> None:
    found = made.survey()
    assert {name: list(items) for name, items in found.removable.items()} == {n: [] for n in NAMES}
    assert found.total == found.database


def test_a_folder_that_holds_another_is_counted_once(tmp_path: Path) -> None:
    made = MadeStore.at(tmp_path / "outputs")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "outputs" / "artifacts").symlink_to(tmp_path / "elsewhere")
    made.run()
    link = (tmp_path / "outputs" / "artifacts").lstat().st_size
    every = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert made.survey().total - link == every


def test_the_number_of_queries_does_not_grow_with_the_runs(made: MadeStore) -> None:
    def queries() -> int:
        asked: list[str] = []

        def note(*call: Any) -> None:
            asked.append(call[2])

        event = (sqlalchemy.Engine, "before_cursor_execute", note)
        sqlalchemy.event.listen(*event)
        known(made.access)
        sqlalchemy.event.remove(*event)
        return len(asked)

    for _ in range(3):
        made.model(made.run(), 1)
    few = queries()
    for _ in range(20):
        made.model(made.run(), 1)
    assert queries() == few


# Checkpoints.


def test_of_the_checkpoints_of_a_finished_run_the_best_stays(made: MadeStore) -> None:
    run = made.run()
    (item,) = made.survey().removable[CHECKPOINTS]
    assert item.size == 500
    item.remove()
    assert made.checkpoints(run) == {"best.ckpt"}
    assert made.survey().removable[CHECKPOINTS] == []


def test_the_only_checkpoint_of_a_run_that_never_validated_stays(made: MadeStore) -> None:
    run = made.run(files={"last.ckpt": 5})
    made.remove(CHECKPOINTS)
    assert made.checkpoints(run) == {"last.ckpt"}


def _running(made: MadeStore) -> str:
    return made.run("RUNNING")


def _failed(made: MadeStore) -> str:
    return made.run("FAILED")


def _of_a_running_sweep(made: MadeStore) -> str:
    return made.run(parent=made.run("RUNNING", kind="sweep", files={}))


def _waiting(made: MadeStore) -> str:
    run = made.run()
    _box(made, run, waits=True).leave()
    return run


@pytest.mark.parametrize("make", [_running, _failed, _of_a_running_sweep, _waiting])
def test_checkpoints_that_somebody_may_go_on_from_stay(
    made: MadeStore, make: Callable[[MadeStore], str]
) -> None:
    run = make(made)
    before = made.checkpoints(run)
    made.remove(CHECKPOINTS)
    assert made.checkpoints(run) == before


def test_checkpoints_of_a_run_whose_lock_is_held_stay(made: MadeStore) -> None:
    run = made.run()
    locks = made.output / ".locks"
    locks.mkdir()
    with FileLock(locks / f"{run}.lock"):
        found = made.survey()
        assert found.removable[CHECKPOINTS] == []
        assert found.removable[LEFTOVERS] == []
    assert len(made.survey().removable[CHECKPOINTS]) == 1


# What was deleted in MLflow.


def _is_known(made: MadeStore, run_id: str) -> bool:
    try:
        made.client.get_run(run_id)
    except MlflowException:
        return False
    return True


def test_a_deleted_run_goes_with_its_files_and_its_model(made: MadeStore) -> None:
    kept, gone = made.run(), made.run()
    kept_model, _ = (made.model(run, 10) for run in (kept, gone))
    made.client.delete_run(gone)
    assert sum(item.size for item in made.survey().removable[DELETED]) > 610
    made.remove(DELETED)
    assert _is_known(made, kept)
    assert not _is_known(made, gone)
    assert not made.artifacts(gone).parent.exists()
    assert made.artifacts(kept).exists()
    assert known(made.access).models.keys() == {kept_model}
    assert [p.name for p in (made.output / "artifacts" / "models").iterdir()] == [kept_model]
    assert made.survey().removable[DELETED] == []


def test_a_model_goes_whose_run_was_deleted_for_good_or_that_was_deleted_itself(
    made: MadeStore,
) -> None:
    purged, kept = made.run(), made.run()
    made.model(purged, 10)
    _store(made.access)._hard_delete_run(purged)
    made.client.delete_logged_model(made.model(kept, 10))
    stays = made.model(kept, 10)
    made.remove(DELETED)
    assert known(made.access).models.keys() == {stays}


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
    assert not _is_known(made, run)
    assert (made.output / "artifacts" / "models" / model / "artifacts" / "MLmodel").exists()
    assert made.client.get_logged_model(model).model_id == model


@pytest.mark.parametrize("make", [_running, _of_a_running_sweep, _waiting])
def test_a_deleted_run_at_work_or_with_records_that_wait_stays(
    made: MadeStore, make: Callable[[MadeStore], str]
) -> None:
    run = make(made)
    made.client.delete_run(run)
    found = made.survey()
    assert (found.busy, found.removable[DELETED]) == (1, [])
    made.client.restore_run(run)
    assert made.artifacts(run).exists()


def test_a_run_that_is_restored_before_its_turn_stays(made: MadeStore) -> None:
    run = made.run()
    made.client.delete_run(run)
    (item,) = made.survey().removable[DELETED]
    made.client.restore_run(run)
    with pytest.raises(RuntimeError, match="restored"):
        item.remove()
    assert made.artifacts(run).exists()


def test_a_removal_that_is_killed_is_gone_on_with(
    made: MadeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert not _is_known(made, run)


def test_a_deleted_experiment_goes_when_nothing_of_it_stays(made: MadeStore) -> None:
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
        with sqlalchemy.create_engine(made.access.uri).begin() as database:
            statement = sqlalchemy.text("update runs set artifact_uri = :uri")
            database.execute(statement, {"uri": uri})
        assert made.survey().removable[DELETED] == []


def test_what_was_deleted_makes_the_database_smaller(made: MadeStore) -> None:
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


# What belongs to no run.


def test_artifacts_without_a_run_or_a_model_are_orphans(made: MadeStore) -> None:
    run = made.run()
    made.model(run, 10)
    lost, model = "0" * 32, f"m-{'0' * 32}"
    shutil.copytree(made.artifacts(run).parent, made.output / "artifacts" / lost)
    write(made.output / "artifacts" / ID / "artifacts", {"jobs.txt": 5})
    write(made.output / "artifacts" / "models" / model, {"artifacts/MLmodel": 5})
    write(made.output / "artifacts" / "mine", {"notes.txt": 5})  # nobody knows what it is
    assert _names(made, ORPHANS) == {lost, ID, model}
    made.remove(ORPHANS)
    assert made.survey().removable[ORPHANS] == []
    assert made.artifacts(run).exists()
    assert (made.output / "artifacts" / "mine").exists()


def test_artifacts_of_another_store_in_the_same_folder_are_none(made: MadeStore) -> None:
    write(made.output / "artifacts" / ID / "artifacts", {"jobs.txt": 5})
    write(made.output / "artifacts" / "models" / f"m-{ID}", {"artifacts/MLmodel": 5})
    assert len(_names(made, ORPHANS)) == 2
    home = made.output / "artifacts" / ("0" * 32) / "artifacts"
    write(home, {"a": 1})
    other = f"tracking:\n  uri: sqlite:///{made.output}/other.db\n  artifacts: {home.parents[1]}\n"
    (home / "config.yaml").write_text(other, encoding="utf-8")
    assert _names(made, ORPHANS) == set()


def test_orphans_are_known_after_the_folder_was_moved(made: MadeStore, tmp_path: Path) -> None:
    run = made.run()
    _store(made.access)._hard_delete_run(run)
    moved = tmp_path / "moved"
    made.output.rename(moved)
    access = reach(f"sqlite:///{moved}/mlflow.db", str(moved / "artifacts"))
    assert _names(MadeStore(moved, access, made.experiment_id), ORPHANS) == {run}


def test_a_run_that_begins_during_the_survey_is_no_orphan(
    made: MadeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made.run()
    begun: list[str] = []

    def slow(access: Access) -> Known:
        stored = known(access)
        begun.append(made.run("RUNNING"))
        return stored

    monkeypatch.setattr(surveying, "known", slow)
    assert made.survey().removable[ORPHANS] == []
    assert made.artifacts(begun[0]).exists()
    assert made.artifacts(before).exists()


def test_folders_of_runs_that_are_not_tracked_stay(made: MadeStore) -> None:
    write(made.output / "runs" / "2026-01-01_00-00-00-aaaa" / "checkpoints", {"last.ckpt": 5})
    found = made.survey()
    assert found.unknown == 1
    assert not any(found.removable.values())


# What killed processes leave.


@pytest.fixture
def temporary(made: MadeStore) -> list[Path]:
    paths = [
        made.output / ".probe-123",
        made.output / "mlflow.123",
        made.output / "sweeps" / "0a1b" / "job-3.123",
        made.output / "studies" / "s" / "full" / "0a1b" / "stack-3.123",
        made.output / "exports" / ID / "tmpab_cd12e",
        made.places.spool / ".probe-7",
        made.places.spool / f"{ID}.lock",
    ]
    for path in paths:
        write(path.parent, {path.name: 10})
    write(made.output / "sweeps" / "0a1b", {"job-3.json": 10})
    write(made.output / "exports" / ID, {"network.onnx": 10})
    write(made.places.spool / ID, {"model/network.npz": 10})
    return [*paths, made.places.spool / ID]


def test_files_that_nobody_has_written_to_for_long_go(
    made: MadeStore, temporary: list[Path]
) -> None:
    assert made.survey().removable[LEFTOVERS] == []  # they may be in use
    _age(*temporary, *(path.parent for path in temporary))
    assert _names(made, LEFTOVERS) == {path.name for path in temporary}
    made.remove(LEFTOVERS)
    assert not any(path.exists() for path in temporary)
    assert (made.output / "sweeps" / "0a1b" / "job-3.json").exists()
    assert (made.output / "exports" / ID / "network.onnx").exists()
    assert made.survey().removable[LEFTOVERS] == []


def test_a_checkpoint_half_written_goes_but_that_of_a_run_at_work(made: MadeStore) -> None:
    files = {"last.ckpt": 5, "last.partial": 3, "whole_blocks/best.partial": 3}
    killed, running = made.run("FAILED", files=files), made.run("RUNNING", files=files)
    made.remove(LEFTOVERS)
    assert made.checkpoints(killed) == {"last.ckpt"}
    assert made.checkpoints(running) == set(files)


def test_locks_that_nobody_holds_go_but_that_of_the_store(made: MadeStore) -> None:
    locks = made.output / ".locks"
    write(locks, {"store.lock": 0, "held.lock": 0, "free.lock": 0})
    with FileLock(locks / "held.lock"):
        made.remove(LEFTOVERS)
        assert {path.name for path in locks.iterdir()} == {"store.lock", "held.lock"}


def test_a_lock_that_is_taken_before_its_turn_stays(made: MadeStore) -> None:
    path = made.output / ".locks" / "a.lock"
    write(path.parent, {path.name: 0})
    (item,) = made.survey().removable[LEFTOVERS]
    with FileLock(path):
        item.remove()
        assert path.exists()


def test_an_outbox_from_which_all_is_delivered_goes(made: MadeStore) -> None:
    ended, running, other = made.run("FAILED"), made.run("RUNNING"), made.run()
    _box(made, ended, waits=False).release()
    _box(made, running, waits=False).release()  # echo-exp-sync ends the run with it
    _box(made, other, waits=False, store="http://elsewhere").release()
    assert _names(made, LEFTOVERS) == {f"{ended}.jsonl"}
    made.remove(LEFTOVERS)
    left = {path.name for path in made.places.spool.glob("*.jsonl")}
    assert left == {f"{running}.jsonl", f"{other}.jsonl"}


def test_what_waits_is_never_removed(made: MadeStore) -> None:
    run = made.run()
    _box(made, run, waits=True).leave()
    _box(made, ID, waits=True).leave()  # of a run that is no longer there
    held = _box(made, "1" * 32, waits=False)
    before = {path: path.read_bytes() for path in made.places.spool.glob("*.jsonl")}
    _age(*made.places.spool.iterdir())
    for name in NAMES:
        made.remove(name)
    assert {path: path.read_bytes() for path in made.places.spool.glob("*.jsonl")} == before
    held.remove()


def test_an_outbox_that_is_filled_before_its_turn_stays(made: MadeStore) -> None:
    run = made.run("FAILED")
    _box(made, run, waits=False).release()
    (item,) = made.survey().removable[LEFTOVERS]
    outbox = Outbox.left(made.places.spool, run)
    assert outbox is not None
    outbox.put(POINT)
    outbox.leave()
    item.remove()
    lines = (made.places.spool / f"{run}.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1]) == POINT


# Files.


def test_a_folder_that_vanishes_while_it_is_measured_counts_as_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a/file": 5, "b/file": 7})
    look = os.scandir

    def vanishing(path: str) -> Any:
        if path.endswith("/b"):
            Path(path, "file").unlink()
            Path(path).rmdir()
        return look(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    scale = Scale()
    assert sum(size for _, size in scale.files(tmp_path)) == 5
    assert scale.unreadable == []
    assert scale.size(tmp_path / "nowhere") == 0


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a/file": 5, "b/file": 7})
    look = os.scandir

    def guarded(path: str) -> Any:
        if path.endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "scandir", guarded)
    scale = Scale()
    assert scale.size(tmp_path) == 5
    assert scale.unreadable == [str(tmp_path / "b")]


def test_links_are_neither_followed_nor_is_what_they_name_deleted(tmp_path: Path) -> None:
    write(tmp_path, {"mine/file": 1000, "folder/file": 5})
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "mine")
    assert Scale().size(tmp_path / "folder") < 1000
    delete(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert (tmp_path / "mine" / "file").exists()
    delete(tmp_path / "folder")  # it is gone already
