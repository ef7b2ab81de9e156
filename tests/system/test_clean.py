"""`echo-exp-clean`: what it prints, what it removes, and which commands still work afterwards."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from echo_exp.tracking import Store

from .called import Called
from .conftest import Completed, Process, Program, _completed, wait_for
from .nursery import Nursery
from .servers import Postgres, Server

EVERYTHING = ("remove=[deleted,checkpoints,orphans,leftovers]", "yes=true")
EPOCHS = 600
SHORT = ("epochs=25", "trainer.progress=none")
LONG = (f"epochs={EPOCHS}", "trainer.progress=none", "trainer.checkpoint_seconds=0.2")


@pytest.fixture
def cleaned(tmp_path: Path, nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.chdir(tmp_path)
    return Program(tmp_path, nursery)


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def _rows(done: Completed) -> dict[str, list[str]]:
    """The lines of a table by their first column, split into words."""
    lines = [line for line in done.stdout.splitlines() if line]
    return {line.split("  ")[0] if line[0] != " " else line[2:].split("  ")[0]: line.split()
            for line in lines}  # fmt: skip


def test_cleaning_does_not_import_torch(cleaned: Program) -> None:
    assert cleaned.run(*SHORT).returncode == 0
    script = (
        "import sys; sys.argv = ['echo-exp-clean']; from echo_exp.commands.clean import main\n"
        "try: main()\nfinally: print('torch' in sys.modules)"
    )
    assert cleaned.script(script).stdout.splitlines()[-1] == "False"


def test_cleaning_lists_what_there_is_and_removes_nothing_without_consent(
    cleaned: Program, call: Called
) -> None:
    assert cleaned.run("-m", *SHORT, "seed=1,2").returncode == 0
    runs = [run for run in cleaned.runs() if run.data.tags["kind"] == "run"]
    cleaned.client.delete_run(runs[0].info.run_id)
    before = _files(cleaned.folder)
    told = call("echo-exp-clean")
    assert told.returncode == 0, told.stderr
    rows = _rows(told)
    assert rows["runs"][1] == "1"
    assert rows["sweeps, studies, searches"][3] == "1"
    assert rows["deleted in MLflow"][3] == "1"
    assert rows["remove=[deleted]"][1] == "1"
    assert rows["remove=[checkpoints]"][1] == "1"
    would = call("echo-exp-clean", "remove=[deleted,checkpoints]")
    assert would.returncode == 0
    assert would.stdout.count("would be removed") == 2
    assert would.stdout.endswith("Nothing was removed; yes=true does it.\n")
    assert _files(cleaned.folder) >= before


def test_a_finished_run_still_answers_from_its_best_checkpoint(
    cleaned: Program, call: Called
) -> None:
    assert cleaned.run(*SHORT).returncode == 0
    done = call("echo-exp-clean", "remove=[checkpoints]", "yes=true")
    assert (done.returncode, done.stderr) == (0, "")
    assert "checkpoints: 1 " in done.stdout
    assert [path.name for path in (cleaned.folder / "outputs").rglob("*.ckpt")] == ["best.ckpt"]
    last = call("echo-exp-predict", "[1,2,3,4,5]")
    assert last.returncode == 2
    assert "it has no checkpoints/last.ckpt" in last.stderr
    assert "checkpoint=best may exist" in last.stderr
    assert call("echo-exp-predict", "[1,2,3,4,5]", "checkpoint=best").returncode == 0
    longer = cleaned.run("resume=last", "epochs=50", "trainer.progress=none")
    assert longer.returncode == 2
    assert "has no last checkpoint" in longer.stderr


def test_a_deleted_run_is_removed_for_good_and_the_store_still_works(
    cleaned: Program, call: Called
) -> None:
    assert cleaned.run(*SHORT).returncode == 0
    (run,) = cleaned.runs()
    cleaned.client.delete_run(run.info.run_id)
    done = call("echo-exp-clean", "remove=[deleted]", "yes=true")
    assert (done.returncode, done.stderr) == (0, "")
    assert "given back to the disk" in done.stdout
    assert not list((cleaned.folder / "outputs" / "artifacts").glob(run.info.run_id))
    assert cleaned.run(*SHORT).returncode == 0
    (another,) = cleaned.runs()
    assert another.info.run_id != run.info.run_id


@contextlib.contextmanager
def _paused(process: Process) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_cleaning_takes_nothing_from_a_run_that_trains(cleaned: Program, call: Called) -> None:
    process = cleaned.start(*LONG)
    wait_for(lambda: cleaned.epochs() > 0, process)
    with _paused(process):
        there = _files(cleaned.folder / "outputs" / "spool")
        done = call("echo-exp-clean", *EVERYTHING)
        assert (done.returncode, done.stderr) == (0, "")
        assert "some runs are not finished" in done.stdout
        assert _files(cleaned.folder / "outputs" / "spool") == there
    ended = _completed(process)
    assert ended.returncode == 0, ended.stderr
    (run,) = cleaned.runs()
    assert run.info.status == "FINISHED"
    steps = [step for step, _ in cleaned.history(run, "train/loss")]
    assert steps == list(range(1, EPOCHS + 1))


def test_waiting_measurements_of_a_deleted_run_survive_cleaning(
    cleaned: Program, call: Called
) -> None:
    store = Store("sqlite:///outputs/mlflow.db", "outputs/artifacts", spool="outputs/spool")
    run = store.create_run("a run", {"kind": "run"}, {}, {})
    cleaned.client.delete_run(run.run_id)
    run.log_metrics([1, 2], {"loss": [0.5, 0.4]})
    run.settle()
    run.finish()
    store.close()
    done = call("echo-exp-clean", *EVERYTHING)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 deleted runs are kept" in call("echo-exp-clean").stdout
    cleaned.client.restore_run(run.run_id)
    assert cleaned.sync().returncode == 0
    assert [step for step, _ in cleaned.history(cleaned.runs()[0], "loss")] == [1, 2]


def test_what_cannot_be_removed_is_reported_and_the_rest_is_removed(
    cleaned: Program, call: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cleaned.run("-m", *SHORT, "seed=1,2").returncode == 0
    unlink, asked = Path.unlink, []

    def guarded(path: Path, missing_ok: bool = False) -> None:
        if path.name == "last.ckpt":
            asked.append(path)
            if len(asked) == 1:
                raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", guarded)
    done = call("echo-exp-clean", "remove=[checkpoints]", "yes=true")
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert "1 could not be removed" in done.stderr
    assert "checkpoints: 1 " in done.stdout
    assert asked[0].exists()
    assert not asked[1].exists()


def test_with_a_server_only_local_files_are_measured_and_removed(
    server: Server, tmp_path: Path, call: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client = MlflowClient(server.uri)
    experiment = client.create_experiment("cleaned")
    for status in ("FINISHED", "RUNNING"):
        run = client.create_run(experiment, tags={"kind": "run"})
        folder = tmp_path / "outputs" / "runs" / run.info.run_id / "checkpoints"
        folder.mkdir(parents=True)
        for name in ("last.ckpt", "best.ckpt"):
            (folder / name).write_bytes(bytes(1000))
        client.set_terminated(run.info.run_id, status)
    where = f"tracking.uri={server.uri}", "tracking.artifacts=null"
    told = call("echo-exp-clean", *where)
    assert told.returncode == 0, told.stderr
    assert "are not on this machine: neither measured nor removed" in told.stdout
    assert _rows(told)["their checkpoints"][2:] == ["4", "4.0", "kB"]
    done = call("echo-exp-clean", *where, "remove=[checkpoints,leftovers]", "yes=true")
    assert (done.returncode, done.stderr) == (0, "")
    left = sorted(path.name for path in (tmp_path / "outputs").rglob("*.ckpt"))
    assert left == ["best.ckpt", "best.ckpt", "last.ckpt"]


def test_cleaning_measures_postgresql_and_removes_its_deleted_runs(
    postgres: Postgres, tmp_path: Path, call: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client = MlflowClient(postgres.uri)
    artifacts = tmp_path / "shared"
    experiment = client.create_experiment("cleaned directly", artifacts.as_uri())
    run = client.create_run(experiment, tags={"kind": "run"})
    folder = artifacts / run.info.run_id / "artifacts"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("a: 1", encoding="utf-8")
    client.set_terminated(run.info.run_id)
    client.delete_run(run.info.run_id)
    where = f"tracking.uri={postgres.uri}", f"tracking.artifacts={artifacts}"
    told = call("echo-exp-clean", *where)
    assert told.returncode == 0, told.stderr
    assert "MB" in _rows(told)["database"]
    done = call("echo-exp-clean", *where, "remove=[deleted]", "yes=true")
    assert (done.returncode, done.stderr) == (0, "")
    assert "deleted: 1 " in done.stdout
    assert not folder.parent.exists()
    assert client.search_runs([experiment], run_view_type=3) == []
