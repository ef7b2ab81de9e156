"""Measurements that wait for a store: in order, on disk, bounded, and delivered once."""

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    ENDPOINT_NOT_FOUND,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)
from mlflow.tracking import MlflowClient
from requests import ConnectionError as NoConnection
from requests import HTTPError, Response

from echo_exp.tracking.access.connection import mends, reach
from echo_exp.tracking.writer import delivery
from echo_exp.tracking.writer.delivery import Delivery
from echo_exp.tracking.writer.outbox import (
    MEMORY,
    RESERVED,
    Operation,
    Outbox,
    OutboxFullError,
    waiting,
)

STORE = "sqlite:///here.db"


def _point(step: int, value: float = 0.5) -> Operation:
    return {"do": "metrics", "series": [["m", [step], [step], [value]]]}


def _steps(outbox: Outbox) -> list[int]:
    """Takes out all that waits."""
    steps = []
    while (line := outbox.first()) is not None:
        operation = json.loads(line)
        steps.append(operation["series"][0][1][0])
        outbox.delivered(line, operation)
    return steps


def test_operations_are_taken_out_in_order_until_it_is_empty(tmp_path: Path) -> None:
    outbox = Outbox.begun(tmp_path, "r", STORE)
    for first in (0, 10):
        for step in range(first, first + 5):
            outbox.put(_point(step))
        assert outbox.measurements == 5
        assert _steps(outbox) == list(range(first, first + 5))
        assert outbox.empty
    outbox.remove()
    assert not list(tmp_path.iterdir())


def test_another_process_reads_only_what_was_not_delivered(tmp_path: Path) -> None:
    outbox = Outbox.begun(tmp_path, "r", STORE)
    for step in range(5):
        outbox.put(_point(step))
    line = outbox.first()
    assert line is not None
    outbox.delivered(line, json.loads(line))
    assert Outbox.left(tmp_path, "r") is None  # somebody has it
    outbox.leave()
    assert list(waiting(tmp_path)) == ["r"]
    text = (tmp_path / "r.jsonl").read_text(encoding="utf-8")
    assert json.loads(text.splitlines()[0]) == {"run": "r", "store": STORE}
    assert "\0" not in text
    left = Outbox.left(tmp_path, "r")
    assert left is not None
    assert (left.store, left.measurements) == (STORE, 4)
    assert _steps(left) == [1, 2, 3, 4]
    left.remove()


@pytest.mark.parametrize("torn", [1, 20])
def test_a_line_torn_by_a_kill_is_ignored(tmp_path: Path, torn: int) -> None:
    outbox = Outbox.begun(tmp_path, "r", STORE)
    outbox.put(_point(1))
    outbox.put(_point(2))
    content = (tmp_path / "r.jsonl").read_bytes()
    outbox.remove()
    end = content.index(b"\0")
    (tmp_path / "r.jsonl").write_bytes(content[: end - torn] + bytes(RESERVED - end + torn))
    left = Outbox.left(tmp_path, "r")
    assert left is not None
    assert _steps(left) == [1]
    left.remove()


def test_disk_space_is_reserved_and_released(tmp_path: Path) -> None:
    outbox = Outbox.begun(tmp_path, "r", STORE)
    assert (tmp_path / "r.jsonl").stat().st_blocks * 512 >= RESERVED
    outbox.put(_point(1))
    outbox.leave()
    assert (tmp_path / "r.jsonl").stat().st_size < 200


def test_an_outbox_of_another_store_or_run_cannot_be_named(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "r.jsonl").write_text("{}\n", encoding="utf-8")
    assert Outbox.left(tmp_path / "spool", "../r") is None


def test_numbers_that_json_lacks_are_restored(tmp_path: Path) -> None:
    outbox = Outbox.begun(tmp_path, "r", STORE)
    for step, value in enumerate((math.nan, math.inf, -math.inf, 0.1)):
        outbox.put(_point(step, value))
    text = (tmp_path / "r.jsonl").read_bytes().partition(b"\0")[0].decode()
    values = [
        float(json.loads(line, parse_constant=pytest.fail)["series"][0][3][0])
        for line in text.splitlines()[1:]
    ]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 0.1]
    outbox.remove()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A disk that takes no byte beyond ``end``."""
    disk = {"end": 2**40}
    write = os.pwrite

    def limited(file: int, data: bytes, position: int) -> int:
        room = disk["end"] - position
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:room], position)

    monkeypatch.setattr(os, "pwrite", limited)
    return disk


def test_on_a_full_disk_the_reserve_and_then_bounded_memory_are_used(
    tmp_path: Path, full_disk: dict[str, int]
) -> None:
    outbox = Outbox.begun(tmp_path, "r", STORE)
    full_disk["end"] = RESERVED
    operation = {"do": "metrics", "series": [["m", [1] * 5000, [1] * 5000, [0.5] * 5000]]}
    size = len(json.dumps(operation, separators=(",", ":")))
    while RESERVED - (tmp_path / "r.jsonl").read_bytes().index(b"\0") > size:
        outbox.put(operation)
        outbox.settle()
    outbox.put(operation)
    with pytest.raises(OutboxFullError, match="No space left"):
        outbox.settle()
    with pytest.raises(OutboxFullError, match="cannot be written"):
        for _ in range(2 * MEMORY // size):
            outbox.put(operation)

    full_disk["end"] = 2**40  # space again
    outbox.settle()
    kept = outbox.measurements
    outbox.leave()
    left = Outbox.left(tmp_path, "r")
    assert left is not None
    assert left.measurements == kept
    left.remove()


def test_operations_that_wait_in_memory_are_delivered_in_order(
    tmp_path: Path, full_disk: dict[str, int]
) -> None:
    outbox = Outbox.begun(tmp_path, "r", STORE)
    full_disk["end"] = RESERVED
    outbox.put({"do": "metrics", "series": [["m", [7] * 80_000, [1] * 80_000, [0.5] * 80_000]]})
    outbox.put(_point(8))
    with pytest.raises(OutboxFullError):
        outbox.settle()
    assert _steps(outbox) == [7, 8]
    assert outbox.empty
    assert outbox.measurements == 0
    outbox.settle()
    outbox.remove()


def test_an_outbox_with_undelivered_operations_is_not_begun_anew(tmp_path: Path) -> None:
    left = Outbox.begun(tmp_path, "r", STORE)
    left.put(_point(1))
    left.leave()
    with pytest.raises(RuntimeError, match="echo-exp-sync"):
        Outbox.begun(tmp_path, "r", STORE)
    again = Outbox.left(tmp_path, "r")
    assert again is not None
    assert _steps(again) == [1]
    again.leave()
    Outbox.begun(tmp_path, "r", STORE).remove()  # nothing waits in it


def test_an_unusable_spool_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(OSError, match=f"Read-only file system: '{tmp_path}'"):
        Outbox.begun(tmp_path, "r", STORE)


def test_a_run_that_was_finished_elsewhere_stays_finished(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    access = reach(uri, str(tmp_path / "artifacts"))
    client = access.client
    experiment = client.create_experiment("elsewhere", (tmp_path / "artifacts").as_uri())
    run_id = client.create_run(experiment).info.run_id
    outbox = Outbox.begun(tmp_path / "spool", run_id, uri)
    outbox.put(delivery.finish("FAILED", "killed"))
    outbox.leave()
    client.set_terminated(run_id, "FINISHED")  # by the machine that has resumed it
    left = Outbox.left(tmp_path / "spool", run_id)
    assert left is not None
    delivery.deliver(access, left)
    stored = client.get_run(run_id)
    assert stored.info.status == "FINISHED"
    assert delivery.ERROR_TAG not in stored.data.tags


def test_a_delivery_killed_halfway_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    artifacts = tmp_path / "artifacts"
    access = reach(uri, str(artifacts))
    client = access.client
    run = client.create_run(client.create_experiment("killed", artifacts.as_uri()))
    run_id = run.info.run_id
    outbox = Outbox.begun(tmp_path / "spool", run_id, uri)
    for first in range(0, 5000, 1000):  # five requests of a thousand points
        steps = list(range(first, first + 1000))
        series = [[name, steps, steps, [0.5] * 1000] for name in ("a", "b")]
        outbox.put({"do": "metrics", "series": series})
    outbox.put({"do": "table", "file": "t.json", "columns": {"x": [1, 2], "y": [None, "z"]}})
    outbox.put(delivery.finish("FINISHED", None))
    outbox.leave()

    for after in (1, 4, 2):  # requests, then it is gone
        left = Outbox.left(tmp_path / "spool", run_id)
        assert left is not None
        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, "log_batch", _dying(client, after))
            with pytest.raises(MlflowException):
                delivery.deliver(access, left)
        left.leave()
    left = Outbox.left(tmp_path / "spool", run_id)
    assert left is not None
    assert delivery.deliver(access, left) == []
    for key in ("a", "b"):
        assert [p.step for p in client.get_metric_history(run_id, key)] == list(range(5000))
    assert client.get_run(run_id).info.status == "FINISHED"
    tag = json.loads(client.get_run(run_id).data.tags["mlflow.loggedArtifacts"])
    assert tag == [{"path": "t.json", "type": "table"}]
    fetched = Path(client.download_artifacts(run_id, "t.json", str(tmp_path)))
    table = json.loads(fetched.read_text(encoding="utf-8"))
    assert table == {"columns": ["x", "y"], "data": [[1, None], [2, "z"]]}
    assert not list((tmp_path / "spool").iterdir())


def _dying(client: MlflowClient, after: int) -> Any:
    calls = iter(range(after))
    write = client.log_batch

    def log_batch(_: MlflowClient, *arguments: Any, **named: Any) -> None:
        if next(calls, None) is None:
            raise MlflowException("it is gone", TEMPORARILY_UNAVAILABLE)
        write(*arguments, **named)

    return log_batch


def test_an_operation_that_is_refused_for_good_blocks_no_other(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    artifacts = tmp_path / "artifacts"
    access = reach(uri, str(artifacts))
    client = access.client
    run = client.create_run(client.create_experiment("refused", artifacts.as_uri()))
    run_id = run.info.run_id
    outbox = Outbox.begun(tmp_path / "spool", run_id, uri)
    for name in ("not & allowed", "fine"):
        outbox.put({"do": "metrics", "series": [[name, [1], [1], [0.5]]]})
    outbox.put(delivery.finish("FINISHED", None))
    at_work = Delivery(access, outbox, access.place(run.info.artifact_uri), {})
    while at_work.next():
        pass
    assert len(at_work.failures) == 1
    stored = client.get_run(run_id)
    assert stored.data.metrics == {"fine": 0.5}
    assert stored.info.status == "FAILED"
    assert "not & allowed" in stored.data.tags["error"]
    outbox.remove()


def _answer(status: int) -> HTTPError:
    response = Response()
    response.status_code = status
    return HTTPError(response=response)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoConnection("refused"), True),
        (_answer(503), True),
        (_answer(401), True),
        (_answer(404), True),
        (_answer(413), False),
        (OSError(errno.ENOSPC, "full"), True),
        (PermissionError(errno.EACCES, "not yours"), True),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (ValueError("a bug"), False),
        (MlflowException("no connection"), True),
        (MlflowException("proxy", ENDPOINT_NOT_FOUND), True),
        (MlflowException("forbidden", PERMISSION_DENIED), True),
        (MlflowException("(sqlite3.OperationalError) locked", TEMPORARILY_UNAVAILABLE), True),
        (MlflowException("(psycopg.OperationalError) closed", BAD_REQUEST), True),
        (MlflowException("(psycopg.errors.AdminShutdown) end", BAD_REQUEST), True),
        (MlflowException("(psycopg.DataError) too long", BAD_REQUEST), False),
        (MlflowException("no such name", INVALID_PARAMETER_VALUE), False),
        (MlflowException("no such run", RESOURCE_DOES_NOT_EXIST), False),
    ],
)
def test_only_errors_that_waiting_may_fix_are_retried(error: Exception, expected: bool) -> None:
    assert mends(error) is expected
