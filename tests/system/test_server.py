"""When a tracking store goes away, for a while or for good, no measurement is lost or doubled."""

import json
import math
import multiprocessing
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from echo_exp.tracking import Store

from . import crowd
from .conftest import TIMEOUT, Program, wait_for
from .faults import Record, counted, tell
from .measured import STEPS, Measured
from .servers import PASSWORD, Postgres, Server


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


def test_a_measurement_delivered_twice_is_stored_once(
    uri: str, request: pytest.FixtureRequest
) -> None:
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
def test_no_measurement_is_lost_when_a_server_pauses(
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
def test_no_measurement_is_lost_when_a_server_is_killed_and_restarted(
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
def test_no_measurement_is_lost_when_the_database_restarts(
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
def test_sync_delivers_to_a_server_that_was_gone_when_the_run_ended(
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
def test_no_measurement_is_lost_when_the_program_is_killed_while_the_server_is_away(
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


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_measurement_is_lost_with_many_writers_at_once(
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
