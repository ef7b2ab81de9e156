"""Reads what waits in a spool folder, without changing it: `echo-exp-sync` delivers it."""

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
        name: Its file's name, without the ending.
        run_id: The run that it is of.
        store: Name of the store that it is for; empty where a kill was quicker than this word.
        held: Whether a process has it; nothing more is known of it then.
        empty: Whether nothing waits.
        measurements: How many points of metrics wait.
    """

    name: str
    run_id: str
    store: str = ""
    held: bool = False
    empty: bool = False
    measurements: int = 0


def boxes(spool: Path) -> list[Box]:
    """Returns the outboxes of a spool folder; none is changed."""
    return [_box(spool, name) for name in list(waiting(spool))]


def _box(spool: Path, name: str) -> Box:
    outbox = Outbox.left(spool, name)
    if outbox is None:
        return Box(name, name.partition("-")[0], held=True)
    box = Box(name, outbox.run_id, outbox.store, False, outbox.empty, outbox.measurements)
    outbox.release()
    return box


def held(locks: Path) -> Iterator[str]:
    """Yields the names of the locks in a folder that a living process holds."""
    for path in sorted(locks.glob("*.lock")):
        with taken(path) as lock:
            if lock is None:
                yield path.stem


@contextlib.contextmanager
def taken(path: Path) -> Iterator[FileLock | None]:
    """Holds a lock inside the block; None if another process holds it."""
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
