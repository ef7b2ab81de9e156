"""The writer process: everything arrives once, and a run gets its true status."""

import math
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from echo_exp.settings import SettingError
from echo_exp.tracking import Run, Store, TrackingError
from echo_exp.tracking.access.connection import Access, reach, reason
from echo_exp.tracking.access.locations import UntrustedError, local_folder
from echo_exp.tracking.settings import check_uri
from echo_exp.tracking.ui.view import NOTE_TAG
from echo_exp.tracking.writer.delivery import BATCH, request_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    store = _store(folder)
    yield store
    store.close()


def _store(folder: Path) -> Store:
    return Store(
        f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"), spool=str(folder / "spool")
    )


def _run(store: Store, **extra: str) -> Run:
    return store.create_run(
        "a run", {"kind": "run"} | extra, {"units": 20}, {"config.yaml": "a: 1"}
    )


def test_a_run_has_its_name_tags_parameters_and_files(store: Store) -> None:
    run = _run(store, colour="blue")
    run.finish()
    stored = MlflowClient(store.uri).get_run(run.run_id)
    assert stored.info.run_name == "a run"
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["colour"] == "blue"
    assert stored.data.params == {"units": "20"}
    assert run.stored.artifacts is not None
    assert (run.stored.artifacts / "config.yaml").read_text(encoding="utf-8") == "a: 1"


def test_metrics_arrive_in_order_even_if_they_are_nan_or_infinite(store: Store) -> None:
    run = _run(store)
    run.log_metrics([1, 2, 3], {"loss": [0.5, math.nan, math.inf]}, timestamps=[10, 20, 30])
    run.log_metrics([3], {"val": [0.25]})
    run.finish()
    points = MlflowClient(store.uri).get_metric_history(run.run_id, "loss")
    assert [(p.step, p.timestamp) for p in points] == [(1, 10), (2, 20), (3, 30)]
    assert points[0].value == 0.5
    assert math.isnan(points[1].value)


def test_settled_metrics_survive_a_kill(folder: Path, store: Store) -> None:
    run = _run(store)
    run.log_metrics([1], {"loss": [0.5]})
    run.settle()
    waits = (folder / "spool" / f"{run.run_id}.jsonl").read_bytes()
    stored = MlflowClient(store.uri).get_run(run.run_id).data.metrics
    assert b'"loss"' in waits or stored == {"loss": 0.5}
    run.finish()


def test_a_resumed_run_has_no_measurement_twice(folder: Path, store: Store) -> None:
    run = _run(store)
    run.log_metrics([1, 2, 3], {"loss": [3.0, 2.0, 1.0]})
    run.finish("FAILED", "it broke")
    resumed = store.resume_run(run.run_id)
    resumed.log_metrics([2, 3, 4], {"loss": [2.0, 1.0, 0.5], "new": [1.0, 1.0, 1.0]})
    resumed.finish()
    client = MlflowClient(store.uri)
    assert [p.step for p in client.get_metric_history(run.run_id, "loss")] == [1, 2, 3, 4]
    assert [p.step for p in client.get_metric_history(run.run_id, "new")] == [2, 3, 4]
    stored = client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert "error" not in stored.data.tags


def test_the_end_of_a_run_is_stored_though_nobody_waits_for_it(folder: Path) -> None:
    store = _store(folder)
    told, untold = _run(store), _run(store)
    told.log_metrics([1], {"loss": [0.5]})
    told.end()
    store.close()  # as when the program is killed
    client = MlflowClient(store.uri)
    assert client.get_run(told.run_id).info.status == "FINISHED"
    assert client.get_run(told.run_id).data.metrics == {"loss": 0.5}
    assert client.get_run(untold.run_id).info.status == "FAILED"


def test_the_first_end_of_a_run_counts(store: Store) -> None:
    run = _run(store)
    run.end()
    assert run.finish("FAILED", "a signal came later") is None
    stored = MlflowClient(store.uri).get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert "error" not in stored.data.tags


def test_runs_that_are_open_together_each_end_complete(store: Store) -> None:
    runs = [_run(store) for _ in range(8)]
    for value, run in enumerate(runs):
        run.log_metrics([1, 2], {"loss": [float(value), float(value)]})
        run.log_content("figure.png", bytes([value]))
        run.end()
    assert [run.ended() for run in runs] == [None] * len(runs)
    for value, run in enumerate(runs):
        stored = MlflowClient(store.uri).get_run(run.run_id)
        assert (stored.info.status, stored.data.metrics) == ("FINISHED", {"loss": value})
        assert run.stored.artifacts is not None
        assert (run.stored.artifacts / "figure.png").read_bytes() == bytes([value])


def test_a_failed_write_makes_the_run_fail(store: Store) -> None:
    run = _run(store)
    run.log_table({"a": [1]}, "../outside.json")
    with pytest.raises(TrackingError, match="table"):
        run.finish()
    stored = MlflowClient(store.uri).get_run(run.run_id)
    assert stored.info.status == "FAILED"
    assert "table" in stored.data.tags["error"]


def test_a_program_that_exits_without_ending_its_run_leaves_it_failed(folder: Path) -> None:
    store = _store(folder)
    run = _run(store, **{NOTE_TAG: "It learns."})
    run.log_metrics([1], {"loss": [0.5]})
    run.flush()
    store.close()
    stored = MlflowClient(store.uri).get_run(run.run_id)
    assert stored.info.status == "FAILED"
    assert stored.data.metrics == {"loss": 0.5}
    why = "It failed: the process was killed before the run had ended"
    assert stored.data.tags[NOTE_TAG] == f"**{why}**\n\nIt learns."


def test_a_description_that_begins_with_the_reason_keeps_it(store: Store) -> None:
    run = _run(store, **{NOTE_TAG: "**It failed: NaN**\n\nIt learns."})
    run.finish("FAILED", "NaN")
    stored = MlflowClient(store.uri).get_run(run.run_id)
    assert stored.data.tags["error"] == "NaN"
    assert stored.data.tags[NOTE_TAG] == "**It failed: NaN**\n\nIt learns."


def test_a_failed_parent_that_goes_on_has_its_description_back(store: Store) -> None:
    def parent() -> Run:
        tags = {"sweep": "x", NOTE_TAG: "Three runs."}
        return store.open_parent("a sweep", tags, {}, {}, "sweep")

    parent().finish("FAILED", "the disk is full")
    first = MlflowClient(store.uri).get_run(parent().run_id)
    assert first.data.tags[NOTE_TAG] == "Three runs."
    assert "error" not in first.data.tags
    parent().finish()


def test_a_run_is_written_by_one_process_at_a_time(folder: Path, store: Store) -> None:
    run = _run(store)
    other = _store(folder)
    threading.Timer(1.0, run.finish, ["FAILED"]).start()
    assert other.resume_run(run.run_id).run_id == run.run_id  # it waited for the other to finish
    other.close()


def test_an_answer_that_a_signal_left_unread_is_not_taken_for_the_next(store: Store) -> None:
    run = store.create_run("a run", {}, {}, {})
    store._write(("children", {"run_id": run.run_id}, 0))  # whoever asked was interrupted
    assert store.request("claimed", things=[]) == {}
    assert run.finish() is None


def test_a_nested_run_has_its_parent(store: Store) -> None:
    parent = store.open_parent("parent", {"sweep": "abc"}, {}, {}, "sweep")
    child = store.create_run("child", {}, {}, {}, parent=parent.run_id)
    tags = MlflowClient(store.uri).get_run(child.run_id).data.tags
    assert tags["mlflow.parentRunId"] == parent.run_id
    child.finish()
    parent.finish()


def test_with_a_hostile_store_nothing_is_read_or_written_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "etc"
    elsewhere.mkdir()
    (elsewhere / "config.yaml").write_text("secret: 1")
    mine = _store(tmp_path)
    run = _run(mine)
    run.finish("FAILED")
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE runs SET artifact_uri = ?", (elsewhere.as_uri(),))
        database.execute("UPDATE experiments SET artifact_location = ?", (elsewhere.as_uri(),))
    database.close()
    assert mine.find_run(run.run_id).config is None
    resumed = mine.resume_run(run.run_id)
    resumed.log_table({"a": [1]}, "table.json")
    resumed.finish()
    mine.close()
    theirs = _store(tmp_path)  # which reads where the experiment's artifacts are to go
    written = _run(theirs)
    written.finish()
    theirs.close()
    for stored in (resumed.stored, written.stored):
        assert stored.artifacts is not None
        assert stored.artifacts.is_relative_to(tmp_path / "artifacts")
    assert [path.name for path in elsewhere.iterdir()] == ["config.yaml"]


def test_a_hostile_database_of_many_users_is_refused(tmp_path: Path) -> None:
    client = reach(f"sqlite:///{tmp_path}/mlflow.db", None).client
    access = Access(client, "postgresql://x", "/a")
    for ask in (access.folder, access.place):
        with pytest.raises(UntrustedError, match=r"tracking\.artifacts=/a"):
            ask("file:///etc")


def test_an_unknown_run_is_answered_with_the_newest(store: Store) -> None:
    run = _run(store)
    run.finish()
    with pytest.raises(LookupError, match=run.run_id):
        store.find_run("nobody")
    assert store.find_run("last").run_id == run.run_id
    assert store.find_run(run.run_id).config == "a: 1"


def test_a_store_that_cannot_be_opened_is_reported_at_the_first_request(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text(
        "this is no database at all, but text" * 100, encoding="utf-8"
    )
    store = _store(tmp_path)
    with pytest.raises(TrackingError, match="database"):
        _run(store)
    store.close()


@pytest.mark.parametrize("uri", ["foo://x", "mlflow.db", "", "file:///tmp/x", 3])
def test_an_unknown_scheme_is_refused(uri: object) -> None:
    with pytest.raises(SettingError, match=r"tracking\.uri"):
        check_uri(uri)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=900))
def test_a_request_never_splits_the_points_of_a_step(sizes: list[int]) -> None:
    steps = [step for step, size in enumerate(sizes) for _ in range(size)]
    metrics = [Metric("m", 0.0, 0, step) for step in steps]
    size = request_size(metrics)
    assert 0 < size <= BATCH
    assert size == len(metrics) or metrics[size].step != metrics[size - 1].step
    assert size == len(metrics) or size > BATCH - 6


def test_a_step_too_large_for_one_request_is_split() -> None:
    metrics = [Metric(f"m{n}", 0.0, 0, 0) for n in range(2 * BATCH + 1)]
    assert request_size([*metrics, Metric("m", 0.0, 0, 1)]) == BATCH
    assert request_size(metrics[: BATCH + 1]) == BATCH


def test_an_artifact_folder_is_local_if_its_uri_is() -> None:
    assert local_folder("file:///a/b%20c", "/a") == Path("/a/b c")
    assert local_folder("/a/b", "/a") == Path("/a/b")
    assert local_folder("mlflow-artifacts:/1/2", "/a") is None
    assert local_folder("s3://bucket/a", None) is None


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("file:///etc", "/a"),
        ("/etc", "/a"),
        ("FILE:///etc", "/a"),
        ("file:///a/../etc", "/a"),
        ("file://other/a/b", "/a"),
        ("/ab", "/a"),
        ("/a", None),
        ("/a", "s3://bucket"),
        ("runs:/0/a", "/a"),
        ("models:/m/1", "/a"),
        ("", "/a"),
    ],
)
def test_a_store_that_names_another_folder_is_not_believed(uri: str, allowed: str | None) -> None:
    with pytest.raises(UntrustedError, match=r"tracking\.artifacts"):
        local_folder(uri, allowed)


def test_a_reason_is_one_line() -> None:
    assert reason(ValueError("first\nsecond")) == "ValueError: first"
    assert reason(ValueError()) == "ValueError"
