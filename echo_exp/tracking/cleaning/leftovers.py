"""Files that killed processes left behind: partial files, stale locks, delivered outboxes."""

import re
import time
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from echo_exp.tracking.cleaning.files import Removable, Scale, delete, names
from echo_exp.tracking.cleaning.known import ENDED, Known
from echo_exp.tracking.cleaning.spool import Box, taken
from echo_exp.tracking.writer.outbox import SUFFIX, Outbox, named

STALE_SECONDS = 3600
"""A file unchanged for this long is abandoned: writing one takes seconds."""
STORE_LOCK = "store"
"""A lock file that is never removed, see `echo_exp.tracking.writer.commands`."""
PROBE = re.compile(r"\.probe-\d+")
RESULT = re.compile(r"(job|stack)-\d+\.\d+")
TEMPORARY = re.compile(r"tmp\w{8}")
SWEEPS, EXPORTS = ("sweeps", "studies"), "exports"


def files(output: Path, spool: Path, database: Path | None, scale: Scale) -> Iterator[Removable]:
    """Yields abandoned temporary files.

    Args:
        output: The folder of all output.
        spool: The folder of outboxes.
        database: The database file; None if the store is not a file.
        scale: Measures the files.
    """
    found = [folder / n for folder in (output, spool) for n in names(folder) if PROBE.fullmatch(n)]
    if database is not None:
        unfinished = re.compile(rf"{re.escape(database.stem)}\.\d+")
        found += [database.parent / n for n in names(database.parent) if unfinished.fullmatch(n)]
    for sweeps in SWEEPS:
        found += [
            Path(p) for p, _ in scale.files(output / sweeps) if RESULT.fullmatch(Path(p).name)
        ]
    for export in names(output / EXPORTS):
        folder = output / EXPORTS / export
        found += [folder / name for name in names(folder) if TEMPORARY.fullmatch(name)]
    for path in filter(_stale, found):
        yield Removable(path, scale.size(path), partial(delete, path))


def locks(folder: Path, held: Collection[str]) -> Iterator[Removable]:
    """Yields the lock files of runs that no process holds.

    Args:
        folder: The folder of lock files.
        held: Names of the locks that are held.
    """
    for name in names(folder):
        path = folder / name
        if path.suffix == ".lock" and path.stem not in (STORE_LOCK, *held):
            yield Removable(path, 0, partial(_delete_lock, path))


def spooled(
    spool: Path, boxes: Collection[Box], known: Known, uri: str, scale: Scale
) -> Iterator[Removable]:
    """Yields fully delivered outboxes of this store, and abandoned files of missing outboxes.

    An empty outbox is kept while its run is RUNNING: `echo-exp-sync` needs it to end the run.

    Args:
        spool: The folder of outboxes.
        boxes: The outboxes in it.
        known: The runs and models of the store.
        uri: The store's URI.
        scale: Measures the files.
    """
    ours = ("", named(uri, spool))
    for box in boxes:
        run = known.runs.get(box.run_id)
        if box.empty and box.store in ours and (run is None or run.status in ENDED):
            path = spool / f"{box.name}{SUFFIX}"
            yield Removable(path, scale.size(path), partial(_remove_empty, spool, box.name))
    in_use = {box.name for box in boxes}
    for name in names(spool):
        path = spool / name
        if path.stem in in_use or not _stale(path):
            continue
        if path.suffix == ".lock":
            yield Removable(path, 0, partial(_delete_lock, path))
        elif path.is_dir():
            yield Removable(path, scale.size(path), partial(delete, path))


def _remove_empty(spool: Path, name: str) -> None:
    outbox = Outbox.left(spool, name)
    if outbox is not None:
        if outbox.empty:
            outbox.remove()
        else:
            outbox.release()


def _delete_lock(path: Path) -> None:
    """Deletes a lock file while holding the lock, so that a waiting process notices."""
    with taken(path) as lock:
        if lock is not None:
            path.unlink(missing_ok=True)


def _stale(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > STALE_SECONDS
    except OSError:
        return False
