"""The writer process: how it reads and carries out the program's commands."""

import errno
import io
import pickle
import queue
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from echo_exp.tracking.writer import __main__ as process
from echo_exp.tracking.writer import commands as module
from echo_exp.tracking.writer.__main__ import _read, _serve
from echo_exp.tracking.writer.commands import Writer
from echo_exp.tracking.writer.outbox import Outbox


@pytest.mark.parametrize("torn", [0, 1, 5, 20])
def test_a_message_torn_by_a_kill_ends_the_writer(torn: int) -> None:
    whole, half = (pickle.dumps(("tag", {"value": "x" * 50}, n)) for n in (1, 2))
    commands: queue.Queue[Any] = queue.Queue()
    _read(io.BytesIO(whole + half[:torn]), commands)
    assert commands.get_nowait()[2] == 1
    assert commands.get_nowait() is None


class _Busy:
    """A writer with a command that lasts until a sign of life is given."""

    def __init__(self) -> None:
        self.alive = threading.Event()

    def beat(self) -> None:
        self.alive.set()

    def abandon(self) -> None:
        pass

    def slow(self) -> bool:
        return self.alive.wait(60)


def test_a_long_command_does_not_hold_up_the_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "BEAT_SECONDS", 0.01)
    commands: queue.Queue[Any] = queue.Queue()
    commands.put(("slow", {}, 1))
    commands.put(None)
    answers = io.BytesIO()
    _serve(_Busy(), commands, answers)  # type: ignore[arg-type]
    assert pickle.loads(answers.getvalue()) == (1, "answer", True)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    places = str(tmp_path / "artifacts"), str(tmp_path / "spool")
    return Writer(f"sqlite:///{tmp_path}/mlflow.db", "echo", *places, 1.0)


def test_what_makes_a_report_is_imported_as_soon_as_another_run_measures(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported: list[str] = []
    at_once = SimpleNamespace(Thread=lambda target: SimpleNamespace(start=target))
    monkeypatch.setattr(module, "threading", at_once)
    monkeypatch.setattr(module, "pkgutil", SimpleNamespace(resolve_name=imported.append))
    monkeypatch.setattr(Writer, "_put", lambda *_, **__: None)
    writer.expect_report("parent", "module:function")
    writer.metrics("parent", [])
    assert imported == []
    for _ in range(2):
        writer.metrics("child", [])
    assert imported == ["module:function"]


def test_a_report_is_made_once_what_was_recorded_before_is_in_the_store(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    order: list[str] = []
    courier = SimpleNamespace(delivered=lambda _: order.append("delivered"))
    writer.open_runs["parent"] = SimpleNamespace(courier=courier)  # type: ignore[assignment]
    resolved = SimpleNamespace(resolve_name=lambda _: lambda *_: order.append("made"))
    monkeypatch.setattr(module, "pkgutil", resolved)
    monkeypatch.setattr(Writer, "_put", lambda *_, **__: order.append("recorded"))
    writer.report("parent", "module:function", str(tmp_path), {})
    assert order == ["delivered", "made", "recorded"]


@pytest.mark.parametrize("step", ["_own", "_courier"])
def test_a_run_that_cannot_be_begun_is_failed(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no")

    with monkeypatch.context() as patched:
        patched.setattr(Writer, step, refuse)
        with pytest.raises(RuntimeError, match="no"):
            writer.create("a run", {"kind": "run"}, {}, {}, None)
    (run,) = writer.client.search_runs([writer.experiment.experiment_id])
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "RuntimeError: no")
    lock = writer._own(run.info.run_id, patience=0)  # nobody has it
    assert lock is not None
    lock.release()


def test_the_lock_of_a_run_is_removed_while_it_is_held(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = writer._own("r")
    assert lock is not None
    path, release, there = Path(lock.lock_file), lock.release, list[bool]()

    def look_and_release() -> None:
        there.append(path.exists())
        release()

    monkeypatch.setattr(lock, "release", look_and_release)
    writer._disown("r", lock)
    assert there == [False]
    assert not lock.is_locked


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO])
def test_what_waits_in_a_read_only_folder_does_not_keep_from_reading(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    run = writer.create("a run", {"kind": "run"}, {}, {}, None)
    writer.end(run.run_id, "FINISHED", None)
    writer.ended(run.run_id)

    def left(*_: Any) -> None:
        raise OSError(number, "cannot be written")

    monkeypatch.setattr(Outbox, "left", left)
    if number == errno.EIO:
        with pytest.raises(OSError, match="cannot be written"):
            writer.find(run.run_id)
    else:
        found = writer.find(run.run_id)
        assert not isinstance(found, str)
        assert found.status == "FINISHED"
