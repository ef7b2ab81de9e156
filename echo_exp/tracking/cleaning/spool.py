"""Reads the outboxes in a spool folder without changing them; `echo-exp-sync` delivers them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from echo_exp.tracking.writer.outbox import Outbox, waiting


@dataclass(frozen=True)
class Box:
    """An outbox in a spool folder.

    Attributes:
        name: Its file name, without the suffix.
        run_id: The run that it belongs to.
        store: Name of the store that it is for; empty if the process was killed before writing it.
        held: Whether a process holds it; nothing else is known about it then.
        empty: Whether everything in it has been delivered.
        measurements: Number of undelivered metric points.
    """

    name: str
    run_id: str
    store: str = ""
    held: bool = False
    empty: bool = False
    measurements: int = 0


def boxes(spool: Path) -> list[Box]:
    """Returns the outboxes of a spool folder, without changing them."""
    return [_box(spool, name) for name in list(waiting(spool))]


def _box(spool: Path, name: str) -> Box:
    outbox = Outbox.left(spool, name)
    if outbox is None:
        return Box(name, name.partition("-")[0], held=True)
    box = Box(name, outbox.run_id, outbox.store, False, outbox.empty, outbox.measurements)
    outbox.release()
    return box


def held(locks: Path) -> Iterator[str]:
    """Yields the names of the locks in a folder that a running process holds."""
    for path in sorted(locks.glob("*.lock")):
        with taken(path) as lock:
            if lock is None:
                yield path.stem


@contextlib.contextmanager
def taken(path: Path) -> Iterator[FileLock | None]:
    """Holds a lock in the ``with`` block; yields None if another process holds it."""
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        yield None
        return
    try:
        yield lock
    finally:
        lock.release()
