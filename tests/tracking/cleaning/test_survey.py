"""How much disk space everything takes, and which checkpoints can be removed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from filelock import FileLock

from echo_exp.tracking.cleaning.files import Scale, delete
from echo_exp.tracking.cleaning.known import known
from echo_exp.tracking.cleaning.survey import CHECKPOINTS, LEFTOVERS, NAMES

from ..stores import MadeStore, write
from .remains import at_work, not_delivered, of_a_running_sweep, outbox_of, that_failed


def test_the_survey_says_how_much_space_everything_takes(made: MadeStore) -> None:
    parent = made.run(kind="sweep", files={})
    write(made.artifacts(parent), {"jobs.json": 40})
    run = made.run(parent=parent)
    made.run("FAILED", files={"last.ckpt": 50})
    made.model(run, 7)
    made.client.delete_run(made.run())
    outbox_of(made, run, waits=True).leave()
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


def test_a_folder_inside_another_is_counted_once(tmp_path: Path) -> None:
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


def test_only_the_best_checkpoint_of_a_finished_run_stays(made: MadeStore) -> None:
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


@pytest.mark.parametrize("make", [at_work, that_failed, of_a_running_sweep, not_delivered])
def test_checkpoints_that_may_be_resumed_stay(
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


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_links_are_not_followed_and_their_targets_not_deleted(tmp_path: Path) -> None:
    write(tmp_path, {"mine/file": 1000, "folder/file": 5})
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "mine")
    assert Scale().size(tmp_path / "folder") < 1000
    delete(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert (tmp_path / "mine" / "file").exists()
    delete(tmp_path / "folder")  # it is gone already
