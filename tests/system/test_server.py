"""A tracking store that goes away, for a while or for good: every measurement is found, once."""

import json
import math
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from echo_exp.tracking import Run, Store

from . import crowd
from .conftest import TIMEOUT, Program, wait_for
from .faults import Record, counted, tell
from .servers import PASSWORD, Postgres, Server

STEPS = 60


class Measured:
    """A run of a store, with a count of what is measured in it."""

    def __init__(self, uri: str, folder: Path, experiment: str, **settings: Any) -> None:
        folder.mkdir(exist_ok=True)
        local = None if uri.startswith("http") else str(folder / "artifacts")
        self.spool = folder / "spool"
        self.store = Store(uri, local, experiment, str(self.spool), **settings)
        self.made = 0
        self._run: Run | None = None

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.store.uri)

    @property
    def run(self) -> Run:
        if self._run is None:
            self._run = self.store.create_run("measured", {"kind": "run"}, {"a": 1}, {"c.txt": "c"})
        return self._run

    def measure(self, steps: int = STEPS) -> None:
        """Makes two measurements at each of some steps, and brings them to safety."""
        first = self.made // 2 + 1
        for step in range(first, first + steps):
            value = math.nan if step % 7 == 0 else 1 / step
            self.run.log_metrics([step], {"loss": [value], "accuracy": [step / 1000]})
            if step % 20 == 0:
                self.run.flush()
        self.made += 2 * steps
        self.run.settle()

    def found(self) -> tuple[int, int]:
        """How many of these the store has, and how many of them more than once."""
        return counted(self.client, self.run.run_id, ("loss", "accuracy"))

    def waits(self) -> bool:
        """Whether the store has not got something yet."""
        return self.found()[0] < self.made

    def counts(self) -> tuple[int, int, int]:
        """How many measurements were made, found and found twice, once the run has ended."""
        assert self.client.get_run(self.run.run_id).info.status == "FINISHED"
        assert not list(self.spool.iterdir())
        return (self.made, *self.found())


def _measuring(client: MlflowClient, name: str) -> bool:
    """Whether a run of an experiment has begun to measure."""
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return any("train/loss" in run.data.metrics for run in runs)


@pytest.fixture(params=["sqlite", "postgresql", "http"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/mlflow.db"
    name = "postgres" if request.param == "postgresql" else "server"
    return str(request.getfixturevalue(name).uri)


def test_what_is_delivered_twice_is_there_once(uri: str, request: pytest.FixtureRequest) -> None:
    client = MlflowClient(uri)
    made = client.create_experiment(f"twice {request.node.name}", "mlflow-artifacts:/twice")
    run_id = client.create_run(made).info.run_id
    values = (0.1, math.nan, math.inf, -math.inf, 1e-300, 0.0)
    points = [Metric("m", value, 1000 + n, n) for n, value in enumerate(values)]
    for _ in range(2):
        client.log_batch(run_id, metrics=points)
        client.log_batch(run_id, metrics=[*points[2:], Metric("m", 1.0, 2000, 6)])
    assert [p.step for p in client.get_metric_history(run_id, "m")] == [*range(7)]


@pytest.mark.fault
def test_a_server_that_stops_and_goes_on(
    server: Server, tmp_path: Path, record_property: Record
) -> None:
    measured = Measured(server.uri, tmp_path, "stops")
    measured.measure()
    server.send(signal.SIGSTOP)
    try:
        measured.measure()
        measured.measure()  # safe, though nobody answers
    finally:
        server.send(signal.SIGCONT)
    assert measured.run.finish() is None
    tell(record_property, "server stopped (SIGSTOP) and continued", measured.counts())
    measured.store.close()


@pytest.mark.fault
def test_a_server_that_is_killed_and_started_again(
    server: Server, tmp_path: Path, record_property: Record
) -> None:
    measured = Measured(server.uri, tmp_path, "killed")
    measured.measure()
    server.kill()
    measured.measure()
    late = Measured(server.uri, tmp_path / "late", "killed")  # a job of a sweep that begins now
    late.store.await_store(TIMEOUT)
    starting = threading.Thread(target=server.start)
    starting.start()
    late.measure()
    starting.join()
    measured.measure()
    for each in (measured, late):
        assert each.run.finish() is None
        each.store.close()
    fault = "server killed (SIGKILL) and started again"
    tell(record_property, fault, measured.counts(), late.counts())


def _refuse_one(port: int) -> None:
    """Waits for somebody to connect to a port where nobody listens, and hangs up."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        listening.settimeout(TIMEOUT)
        listening.accept()[0].close()


@pytest.mark.fault
def test_a_database_that_restarts_under_a_program_and_under_a_server(
    server: Server, postgres: Postgres, tmp_path: Path, record_property: Record
) -> None:
    all_measured = [
        Measured(postgres.uri, tmp_path / "direct", "restarts directly"),
        Measured(server.uri, tmp_path / "served", "restarts behind a server"),
    ]
    for measured in all_measured:
        measured.measure()
    postgres.stop()
    for measured in all_measured:
        measured.measure()
    _refuse_one(postgres.port)
    postgres.start()
    for measured in all_measured:
        measured.measure()
        assert measured.run.finish() is None
        measured.store.close()
    direct, served = all_measured
    fault = "PostgreSQL restarted under a program and under a server"
    tell(record_property, fault, direct.counts(), served.counts())


@pytest.mark.fault
def test_a_server_that_is_gone_for_good_and_then_another_day(
    server: Server,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    where = ("tracking=server", "tracking.experiment=gone")
    process = program.start(*where, "epochs=1500", "tracking.patience=1", "trainer.progress=none")
    spool = program.folder / "outputs" / "spool"
    client = MlflowClient(server.uri)
    wait_for(lambda: _measuring(client, "gone"), process)
    server.kill()
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1, err
    assert "sequence accuracy" in out  # what came out is told as ever
    assert "measurements of run" in err
    assert "`echo-exp-sync tracking=server" in err
    assert "Traceback" not in err
    (left,) = spool.glob("*.jsonl")
    header, *lines = map(
        json.loads, filter(str.strip, left.read_text(encoding="utf-8").splitlines())
    )
    assert header == {"run": left.stem, "store": server.uri}
    assert lines[-1]["do"] == "finish"

    assert program.sync(*where).returncode == 1
    assert list(spool.glob("*.jsonl")) == [left]
    server.start()
    done = program.sync(*where)
    assert done.returncode == 0, done.stderr
    assert f"run {left.stem}" in done.stdout
    assert not list(spool.iterdir())
    assert "nothing waits" in program.sync(*where).stdout

    run = client.get_run(left.stem)
    assert run.info.status == "FINISHED"
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"])[0]["path"] == "samples.json"
    artifacts = {artifact.path for artifact in client.list_artifacts(left.stem)}
    assert {"samples.json", "learning_curve.png", "checkpoints"} <= artifacts
    keys = ("train/loss", "train/accuracy")
    counts = (3000, *counted(client, left.stem, keys))
    tell(record_property, "server gone, then echo-exp-sync", counts)


@pytest.mark.fault
def test_a_program_that_is_killed_while_the_server_is_away(
    server: Server, tmp_path: Path, record_property: Record
) -> None:
    measured = Measured(server.uri, tmp_path, "both", patience=0)
    measured.measure()
    server.kill()
    measured.measure()
    measured.store.close()  # all that the writer sees of a kill
    run_id = measured.run.run_id
    lines = (measured.spool / f"{run_id}.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["status"] == "FAILED"

    server.start()
    again = Store(server.uri, None, "both", str(measured.spool))
    assert again.find_run(run_id).status == "FAILED"  # delivered before it looked
    resumed = again.resume_run(run_id)
    resumed.log_metrics([1, STEPS * 2], {"loss": [9.0, 9.0]})  # measured before
    assert resumed.finish() is None
    again.close()
    fault = "program killed while the server is away, then resumed"
    tell(record_property, fault, measured.counts())


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
def test_a_disk_that_is_full_and_then_has_space_again(
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
def test_an_sqlite_file_that_is_locked_for_longer_than_its_timeout(
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
def test_a_kill_of_program_and_writer_together(tmp_path: Path, record_property: Record) -> None:
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


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_writers_at_once(
    kind: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Record,
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    if kind == "postgresql":
        uri = request.getfixturevalue("postgres").uri
    count = 32
    crowd_of = f"crowd of {count}"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([crowd.__name__])
    writers = [
        context.Process(target=crowd.write, args=(uri, crowd_of, str(tmp_path), number))
        for number in range(count)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(TIMEOUT)
    assert [writer.exitcode for writer in writers] == [0] * count
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(crowd_of)
    assert experiment is not None
    newest = ["attributes.start_time DESC"]
    runs = client.search_runs([experiment.experiment_id], order_by=newest, max_results=count)
    assert {run.data.tags["number"] for run in runs} == {f"{number}" for number in range(count)}
    counts = [counted(client, run.info.run_id, ("m",)) for run in runs]
    made = [(crowd.POINTS, *each) for each in counts]
    tell(record_property, f"{count} writers on {kind}", *made)


def test_a_password_is_written_nowhere(postgres: Postgres, tmp_path: Path) -> None:
    program = Program(tmp_path)  # whose writer is a child of its own
    uri = postgres.uri
    where = (f"tracking.uri={uri}", "tracking.artifacts=artifacts", "tracking.experiment=secret")
    process = program.start("-m", "seed=1,2", "epochs=400", *where)
    spool = program.folder / "outputs" / "spool"
    wait_for(lambda: bool(list(spool.glob("*.jsonl"))), process)
    children = subprocess.run(
        ["ps", "-ww", "-o", "args=", "--ppid", str(process.pid)], capture_output=True, check=True
    )
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert "tracking.writer" in children.stdout.decode()
    texts = {"its processes": children.stdout, "the screen": f"{out}{err}".encode()}
    texts["the database"] = postgres.dump().encode()
    texts |= {str(path): path.read_bytes() for path in program.folder.rglob("*") if path.is_file()}
    assert [name for name, text in texts.items() if PASSWORD.encode() in text] == []
    assert f"echo:***@127.0.0.1:{postgres.port}" in out
    assert b"***@127.0.0.1" in texts["the database"]  # the command of the sweep
