"""A run's outbox: a file of operations that wait for the tracking store, written before delivery.

The first line names the run and the store. Each further line is an operation in JSON, or blank once
it is delivered. Some hundred KiB are reserved from the start, so that measurements can be stored
even if the disk becomes full; they are filled with zeros, at which reading stops. When everything
is delivered, the lines are overwritten with zeros.
"""

import contextlib
import json
import math
import os
import shutil
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from echo_exp.settings import redacted

RESERVED = 512 * 1024
MEMORY = 1024 * 1024
"""Bytes that may wait in memory while the disk is full."""
SUFFIX = ".jsonl"

Operation = Mapping[str, Any]
"""What to do (``do``) and its arguments, see `echo_exp.tracking.writer.delivery`."""


class OutboxFullError(RuntimeError):
    """The disk is full, and so is the memory that may be used instead."""


class Outbox:
    """The waiting operations of one run, in order.

    Made by `begun` or `left`. No other process can have it until `remove`, `leave` or `release`.

    Attributes:
        path: The file.
        run_id: The run.
        store: Name of the store that it is for, see `named`.
        folder: The folder of waiting artifacts.
        measurements: Number of metric points that wait.
    """

    def __init__(self, path: Path, lock: FileLock, run_id: str, store: str) -> None:
        self.path = path
        self.run_id = run_id
        self.store = store
        self.folder = path.with_suffix("")
        self.measurements = 0
        self._lock = lock
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._begin = self._start = self._end = 0  # of all lines, the first waiting one, the end
        self._unwritten: deque[bytes] = deque()
        self._unsynced = self._closed = False
        self._trouble: OSError | None = None
        self._mutex = threading.RLock()  # one thread adds, another delivers

    @classmethod
    def begun(cls, spool: Path, run_id: str, store: str, shared: bool = False) -> Self:
        """Begins the outbox of a run.

        Args:
            spool: The folder of outboxes.
            run_id: The run.
            store: Name of the store that it is for, see `named`.
            shared: Whether other processes write to the run too; each has its own outbox.

        Raises:
            OSError: The spool folder cannot be written, or has no room.
            RuntimeError: Another process has it, or had it and could not deliver all of it.
        """
        spool.mkdir(parents=True, exist_ok=True)
        name = f"{run_id}-{uuid.uuid4().hex[:8]}" if shared else run_id
        lock = _taken(spool, name)
        if lock is None:
            raise RuntimeError("another process is writing to it")
        outbox = cls(spool / f"{name}{SUFFIX}", lock, run_id, store)
        outbox._find()
        if not outbox.empty:
            outbox.release()
            raise RuntimeError("what it had measured before waits to be delivered: echo-exp-sync")
        try:
            outbox._reserve()
        except OSError:
            outbox.remove()
            raise
        return outbox

    @classmethod
    def left(cls, spool: Path, run_id: str) -> Self | None:
        """Returns the outbox that a run left; None if there is none, or another process has it.

        Args:
            spool: The folder of outboxes.
            run_id: The run; for one of several outboxes of a run, the name of its file.
        """
        path = spool / f"{run_id}{SUFFIX}"
        lock = _taken(spool, run_id) if run_id in waiting(spool) else None
        if lock is None:
            return None
        if not path.exists():  # another process has just delivered it
            lock.release()
            return None
        return cls._read(path, lock)

    @classmethod
    def _read(cls, path: Path, lock: FileLock) -> Self:
        with path.open("rb") as file:
            names = {"run": path.stem, "store": "", **(_parsed(file.readline()) or {})}
        outbox = cls(path, lock, str(names["run"]), str(names["store"]))
        outbox._find()
        return outbox

    def _find(self) -> None:
        """Finds the operations that wait in the file."""
        with self.path.open("rb") as file:
            header = _parsed(file.readline())
            self._begin = self._start = self._end = file.tell() if header else 0
            for line in file:
                operation = {} if line.isspace() else _parsed(line)
                if operation is None:  # the end, or a line cut off by a kill
                    break
                self._end += len(line)
                self.measurements += _count(operation)
                if not operation:
                    self._start = self._end

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        with self._mutex:
            return self._start == self._end and not self._unwritten

    def put(self, operation: Operation) -> None:
        """Adds an operation.

        Raises:
            OutboxFullError: There is room for it neither on the disk nor in memory.
        """
        line = json.dumps(_plain(operation), allow_nan=False, separators=(",", ":")).encode()
        with self._mutex:
            self._unwritten.append(line + b"\n")
            self.measurements += _count(operation)
            self.write()
            if sum(map(len, self._unwritten)) > MEMORY:
                raise OutboxFullError(self._full())

    def write(self) -> None:
        """Writes what waits in memory, as far as the disk has room."""
        with self._mutex:
            while self._unwritten and not self._closed:
                try:
                    _write(self._file, self._unwritten[0], self._end)
                except OSError as error:
                    self._trouble = error
                    self._zero(self._end)
                    return
                self._end += len(self._unwritten.popleft())
                self._unsynced = True

    def settle(self) -> None:
        """Waits until all waiting operations are on the disk.

        Raises:
            OutboxFullError: The disk has no room for them.
        """
        with self._mutex:
            self.write()
            if self._unwritten:
                raise OutboxFullError(self._full())
            if self._unsynced and not self.empty:
                os.fsync(self._file)
            self._unsynced = False

    def first(self) -> bytes | None:
        """Returns the line of the first waiting operation; None if none waits."""
        with self._mutex:
            if self._closed:
                return None
            if self._start == self._end:
                return self._unwritten[0] if self._unwritten else None
            return _line(self._file, self._start)

    def delivered(self, line: bytes, operation: Operation) -> None:
        """Removes the first operation.

        Args:
            line: Its line, as `first` returned it.
            operation: The operation in it.
        """
        with self._mutex:
            if self._closed:
                return
            self.measurements -= _count(operation)
            if self._start == self._end:
                self._unwritten.popleft()
                return
            _write(self._file, b" " * (len(line) - 1), self._start)
            self._start += len(line)
            if self._start == self._end:
                self._start = self._end = self._begin
                self._zero(self._begin)
                self.write()

    def leave(self) -> None:
        """Leaves the waiting operations on the disk, for another process to deliver.

        Raises:
            OutboxFullError: The disk has no room for them.
        """
        try:
            with self._mutex:
                self.settle()
                os.ftruncate(self._file, self._end)
        finally:
            self.release()

    def remove(self) -> None:
        """Removes the file, the waiting artifacts and the lock."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Gives the outbox up to other processes, with the file as it is."""
        with self._mutex:
            os.close(self._file)
            self._closed = True
        self._lock.release()

    def _reserve(self) -> None:
        os.ftruncate(self._file, 0)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file, 0, RESERVED)
        else:
            _write(self._file, bytes(RESERVED), 0)
        header = json.dumps({"run": self.run_id, "store": self.store}).encode() + b"\n"
        _write(self._file, header, 0)
        self._begin = self._start = self._end = len(header)

    def _zero(self, start: int) -> None:
        """Writes zeros from ``start`` on, and cuts off what exceeds the reserved size."""
        size = os.fstat(self._file).st_size
        if size > RESERVED:
            size = max(start, RESERVED)
            os.ftruncate(self._file, size)
        if size > start:
            _write(self._file, bytes(size - start), start)

    def _full(self) -> str:
        why = self._trouble.strerror if self._trouble else "no room"
        return f"the tracking store cannot be reached, and {self.path} cannot be written ({why})"


def named(uri: str, spool: Path) -> str:
    """Returns the name of a store in a spool folder: its URI without the password.

    The path of an SQLite file is relative to the folder, so that both can be moved together.
    """
    path = uri.removeprefix("sqlite:///")
    if path == uri:
        return redacted(uri)
    return f"sqlite:///{os.path.relpath(path, spool.absolute())}"


def waiting(spool: Path) -> Iterator[str]:
    """Returns the names of the outboxes in a spool folder, whether in use or left behind."""
    return (path.stem for path in sorted(spool.glob(f"*{SUFFIX}")))


def _taken(spool: Path, run_id: str) -> FileLock | None:
    """Takes a lock that the system releases when this process ends, however it ends."""
    lock = FileLock(spool / f"{run_id}.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(spool)) from error
    return lock


def _write(file: int, data: bytes, position: int) -> None:
    while data:
        written = os.pwrite(file, data, position)
        data, position = data[written:], position + written


def _line(file: int, position: int) -> bytes:
    """Returns the complete line at a position."""
    parts = [b""]
    while b"\n" not in parts[-1]:
        part = os.pread(file, 2**16, position)
        assert part
        parts.append(part)
        position += len(part)
    return b"".join(parts).partition(b"\n")[0] + b"\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError):
        found = json.loads(line) if line.endswith(b"\n") else None
        return found if isinstance(found, dict) else None
    return None


def _count(operation: Operation) -> int:
    return sum(len(steps) for _, steps, *_ in operation.get("series", ()))


def _plain(value: Any) -> Any:
    """Returns a value with strings for the numbers that JSON lacks: NaN and infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
