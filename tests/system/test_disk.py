"""After a full disk, a locked file or a kill, every measurement is in the store once."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from echo_exp.tracking import Store

from .conftest import Program, wait_for
from .faults import Record, counted, tell
from .measured import STEPS, Measured


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**16, 2**12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return ballast


@pytest.mark.fault
def test_no_measurement_is_lost_when_the_disk_is_full_for_a_while(
    small_disk: Path, record_property: Record
) -> None:
    measured = Measured(f"sqlite:///{small_disk}/mlflow.db", small_disk, "full")
    measured.measure()
    ballast = _fill(small_disk)
    for _ in range(20):
        measured.measure()
    assert measured.waits()
    ballast.unlink()
    assert measured.run.finish() is None
    measured.store.close()
    tell(record_property, "disk full, then space again", measured.counts())


@pytest.mark.fault
def test_no_measurement_is_lost_when_sqlite_is_locked_for_longer_than_its_timeout(
    tmp_path: Path, record_property: Record
) -> None:
    measured = Measured(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, "locked", patience=1)
    measured.measure()
    wait_for(lambda: not measured.waits())
    other = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    measured.measure()
    waiting = measured.run.finish()  # after SQLite's own 20 seconds
    assert waiting is not None
    assert waiting.measurements == 2 * STEPS
    other.execute("COMMIT")
    other.close()
    measured.store.close()
    resumed = Store(measured.store.uri, str(tmp_path / "artifacts"), "locked", str(measured.spool))
    assert resumed.find_run(measured.run.run_id).status == "FINISHED"  # delivered before it looked
    resumed.close()
    for lock in measured.spool.glob("*.lock"):
        lock.unlink()
    tell(record_property, "SQLite locked for longer than its timeout", measured.counts())


@pytest.mark.fault
def test_no_measurement_is_lost_when_program_and_writer_are_killed_together(
    tmp_path: Path, record_property: Record
) -> None:
    program = Program(tmp_path)  # whose writer is a child of its own
    process = program.start("epochs=1000", "trainer.checkpoint_seconds=0.2")
    wait_for(lambda: program.epochs() > 200, process)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    )
    for pid in (process.pid, *map(int, children.stdout.split())):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    safe = program.epochs()
    done = program.sync()
    assert done.returncode == 0, done.stderr
    (run,) = program.runs()
    assert run.info.status == "FAILED"
    assert "killed" in run.data.tags["error"]
    found, doubled = counted(program.client, run.info.run_id, ("train/loss",))
    assert found >= safe
    assert not doubled
    resumed = program.run("resume=last", "trainer.progress=none")
    assert resumed.returncode == 0, resumed.stderr
    both = counted(program.client, run.info.run_id, ("train/loss", "train/accuracy"))
    tell(record_property, "program and writer killed (SIGKILL)", (2000, *both))
