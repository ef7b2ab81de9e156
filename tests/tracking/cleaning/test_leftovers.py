"""Leftovers that are removed, and files that never are."""

import json
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from echo_exp.tracking.access.connection import Access, reach
from echo_exp.tracking.cleaning import survey as surveying
from echo_exp.tracking.cleaning.deleted import _store
from echo_exp.tracking.cleaning.known import Known, known
from echo_exp.tracking.cleaning.survey import CHECKPOINTS, LEFTOVERS, NAMES, ORPHANS
from echo_exp.tracking.writer.outbox import Outbox

from ..stores import MadeStore, write
from .remains import ID, POINT, let_age, outbox_of, removable

# What belongs to no run.


def test_artifacts_without_a_run_or_a_model_are_orphans(made: MadeStore) -> None:
    run = made.run()
    made.model(run, 10)
    lost, model = "0" * 32, f"m-{'0' * 32}"
    shutil.copytree(made.artifacts(run).parent, made.output / "artifacts" / lost)
    write(made.output / "artifacts" / ID / "artifacts", {"jobs.txt": 5})
    write(made.output / "artifacts" / "models" / model, {"artifacts/MLmodel": 5})
    write(made.output / "artifacts" / "mine", {"notes.txt": 5})  # nobody knows what it is
    assert removable(made, ORPHANS) == {lost, ID, model}
    made.remove(ORPHANS)
    assert made.survey().removable[ORPHANS] == []
    assert made.artifacts(run).exists()
    assert (made.output / "artifacts" / "mine").exists()


def test_artifacts_of_another_store_in_the_same_folder_are_not_orphans(made: MadeStore) -> None:
    write(made.output / "artifacts" / ID / "artifacts", {"jobs.txt": 5})
    write(made.output / "artifacts" / "models" / f"m-{ID}", {"artifacts/MLmodel": 5})
    assert len(removable(made, ORPHANS)) == 2
    home = made.output / "artifacts" / ("0" * 32) / "artifacts"
    write(home, {"a": 1})
    other = f"tracking:\n  uri: sqlite:///{made.output}/other.db\n  artifacts: {home.parents[1]}\n"
    (home / "config.yaml").write_text(other, encoding="utf-8")
    assert removable(made, ORPHANS) == set()


def test_orphans_are_recognised_after_the_folder_was_moved(made: MadeStore, tmp_path: Path) -> None:
    run = made.run()
    _store(made.access)._hard_delete_run(run)
    moved = tmp_path / "moved"
    made.output.rename(moved)
    access = reach(f"sqlite:///{moved}/mlflow.db", str(moved / "artifacts"))
    assert removable(MadeStore(moved, access, made.experiment_id), ORPHANS) == {run}


def test_a_run_that_begins_during_the_survey_is_not_an_orphan(
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


def test_folders_of_untracked_runs_stay(made: MadeStore) -> None:
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


def test_old_temporary_files_are_removed(made: MadeStore, temporary: list[Path]) -> None:
    assert made.survey().removable[LEFTOVERS] == []  # they may be in use
    let_age(*temporary, *(path.parent for path in temporary))
    assert removable(made, LEFTOVERS) == {path.name for path in temporary}
    made.remove(LEFTOVERS)
    assert not any(path.exists() for path in temporary)
    assert (made.output / "sweeps" / "0a1b" / "job-3.json").exists()
    assert (made.output / "exports" / ID / "network.onnx").exists()
    assert made.survey().removable[LEFTOVERS] == []


def test_a_half_written_checkpoint_is_removed_unless_its_run_trains(made: MadeStore) -> None:
    files = {"last.ckpt": 5, "last.partial": 3, "whole_blocks/best.partial": 3}
    killed, running = made.run("FAILED", files=files), made.run("RUNNING", files=files)
    assert removable(made, LEFTOVERS) == {"last.partial", "best.partial"}
    made.remove(LEFTOVERS)
    assert made.checkpoints(killed) == {"last.ckpt"}
    assert made.checkpoints(running) == set(files)


def test_a_half_written_checkpoint_is_not_counted_twice(made: MadeStore) -> None:
    made.run(files={"best.ckpt": 5, "last.ckpt": 5, "last.partial": 3})
    assert [item.size for item in made.survey().removable[CHECKPOINTS]] == [5]


def test_free_locks_are_removed_except_that_of_the_store(made: MadeStore) -> None:
    locks = made.output / ".locks"
    write(locks, {"store.lock": 0, "held.lock": 0, "free.lock": 0})
    with FileLock(locks / "held.lock"):
        made.remove(LEFTOVERS)
        assert {path.name for path in locks.iterdir()} == {"store.lock", "held.lock"}


def test_a_lock_taken_during_the_removal_stays(made: MadeStore) -> None:
    path = made.output / ".locks" / "a.lock"
    write(path.parent, {path.name: 0})
    (item,) = made.survey().removable[LEFTOVERS]
    with FileLock(path):
        item.remove()
        assert path.exists()


def test_a_delivered_outbox_is_removed(made: MadeStore) -> None:
    ended, running, other = made.run("FAILED"), made.run("RUNNING"), made.run()
    outbox_of(made, ended, waits=False).release()
    outbox_of(made, running, waits=False).release()  # echo-exp-sync ends the run with it
    outbox_of(made, other, waits=False, store="http://elsewhere").release()
    assert removable(made, LEFTOVERS) == {f"{ended}.jsonl"}
    made.remove(LEFTOVERS)
    left = {path.name for path in made.places.spool.glob("*.jsonl")}
    assert left == {f"{running}.jsonl", f"{other}.jsonl"}


def test_waiting_measurements_are_never_removed(made: MadeStore) -> None:
    run = made.run()
    outbox_of(made, run, waits=True).leave()
    outbox_of(made, ID, waits=True).leave()  # of a run that is no longer there
    held = outbox_of(made, "1" * 32, waits=False)
    before = {path: path.read_bytes() for path in made.places.spool.glob("*.jsonl")}
    let_age(*made.places.spool.iterdir())
    for name in NAMES:
        made.remove(name)
    assert {path: path.read_bytes() for path in made.places.spool.glob("*.jsonl")} == before
    held.remove()


def test_an_outbox_filled_during_the_removal_stays(made: MadeStore) -> None:
    run = made.run("FAILED")
    outbox_of(made, run, waits=False).release()
    (item,) = made.survey().removable[LEFTOVERS]
    outbox = Outbox.left(made.places.spool, run)
    assert outbox is not None
    outbox.put(POINT)
    outbox.leave()
    item.remove()
    lines = (made.places.spool / f"{run}.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1]) == POINT
