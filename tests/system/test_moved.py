"""`outputs/` still works after it was moved or mounted elsewhere, and is never left."""

import contextlib
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import torch

from .browser import start_ui
from .conftest import Program, wait_for
from .nursery import Nursery

TINY = ("epochs=6", "trainer.validate_every=2", "trainer.test_sequences=4")
SWEEP = ("-m", "seed=1,2", *TINY)
SEQUENCE = "[1, 2, 3, 4, 5]"
STUDY = """
# @package _global_
defaults: [_base]
study:
  name: mine
  question: Is it found again?
  compare: model.units
  scales:
    full:
      - model.units: [5, 10]
        epochs: 6
        replicas: 8
        trainer.validate_every: 2
        trainer.test_sequences: 4
"""
MINE = ("--config-dir", "my_conf", "study=mine")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Program:
    """A sweep, a study and a registered model; what the sweep's first network answers in a file."""
    program = Program(tmp_path_factory.mktemp("made"), nursery)
    (program.folder / "my_conf" / "study").mkdir(parents=True)
    (program.folder / "my_conf" / "study" / "mine.yaml").write_text(STUDY, encoding="utf-8")
    for done in (
        program.run(*MINE),
        program.run(*SWEEP),
        program.call("echo_exp.commands.export", "register=echo", "forms=[mlflow]"),
        answer := program.call("echo_exp.commands.predict", SEQUENCE, "probabilities=true"),
    ):
        assert done.returncode == 0, done.stderr
    (program.folder / "answer").write_text(answer.stdout, encoding="utf-8")
    return program


@pytest.fixture
def moved(made: Program, tmp_path: Path) -> Program:
    """A copy of the original."""
    there = tmp_path / "moved"
    shutil.copytree(made.folder, there)
    return Program(there, made.nursery)


@pytest.fixture
def alone(made: Program, moved: Program) -> Iterator[Program]:
    """The copy while the original is away, as after a move."""
    hidden = made.folder.with_name("hidden")
    made.folder.rename(hidden)
    yield moved
    hidden.rename(made.folder)


def _hostile(program: Program, elsewhere: Path) -> None:
    """Makes the store name another folder for everything."""
    database = sqlite3.connect(program.folder / "outputs" / "mlflow.db")
    with contextlib.closing(database), database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "storage_location"),
        ):
            database.execute(
                f"update {table} set {column} = ? || '/' || rowid", (elsewhere.as_uri(),)
            )


def _same_answer(program: Program) -> None:
    answer = program.call("echo_exp.commands.predict", SEQUENCE, "probabilities=true")
    assert answer.stdout == (program.folder / "answer").read_text(encoding="utf-8"), answer.stderr


def _inspects(program: Program) -> None:
    done = program.call("echo_exp.commands.inspect", "sequences=20", "figures=[confusion]")
    assert done.returncode == 0, done.stderr
    assert list(program.folder.glob("outputs/artifacts/*/artifacts/inspection/*"))


def _exports_and_registers(program: Program) -> None:
    done = program.call("echo_exp.commands.export", "register=echo", "forms=[mlflow]")
    assert done.returncode == 0, done.stderr
    assert "models:/echo/2" in done.stdout


def _reports(program: Program) -> None:
    done = program.report(*MINE)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 cells finished, 16 seeds" in done.stdout
    assert list(program.folder.glob("outputs/artifacts/*/artifacts/report/report.md"))


def _goes_on_with_the_sweep(program: Program) -> None:
    done = program.run("-m", "seed=1,2,3", *TINY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ok, finished earlier") == 2


def _begins_a_new_run(program: Program) -> None:
    done = program.run("seed=9", *TINY)
    assert done.returncode == 0, done.stderr
    run = program.runs()[-1]
    here = program.folder / "outputs" / "artifacts" / run.info.run_id / "artifacts"
    assert (here / "checkpoints" / "last.ckpt").exists()


def _shows_artifacts_in_the_ui(program: Program) -> None:
    ui = start_ui(program.folder)
    try:
        run = next(run for run in program.runs() if run.data.tags["kind"] == "run")
        address = f"{ui.root}get-artifact?path=config.yaml&run_uuid={run.info.run_id}"
        with urlopen(address) as answer:
            assert b"n_values: 100" in answer.read()
    finally:
        ui.end()


DEEDS = (
    _same_answer,
    _inspects,
    _exports_and_registers,
    _reports,
    _goes_on_with_the_sweep,
    _begins_a_new_run,
    _shows_artifacts_in_the_ui,
)


@pytest.mark.parametrize("deed", DEEDS)
def test_results_that_were_moved_are_used_as_before(
    alone: Program, deed: Callable[[Program], None]
) -> None:
    deed(alone)


def test_a_copy_is_independent_of_its_original(made: Program, moved: Program) -> None:
    before = sorted(made.folder.rglob("*"))
    for checkpoint in moved.folder.rglob("last.ckpt"):
        checkpoint.write_bytes(b"")
    assert moved.call("echo_exp.commands.predict", SEQUENCE).returncode == 2
    _begins_a_new_run(moved)
    assert sorted(made.folder.rglob("*")) == before


@pytest.mark.parametrize("deed", [d for d in DEEDS if d is not _same_answer])
def test_a_hostile_store_cannot_send_a_command_to_another_folder(
    moved: Program, tmp_path: Path, deed: Callable[[Program], None]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    honest = moved.folder / "outputs" / "artifacts"
    for number in range(1, 20):  # all that a command may want is there, and is wrong
        shutil.copytree(next(honest.glob("*/artifacts")), elsewhere / str(number))
        for file in filter(Path.is_file, (elsewhere / str(number)).rglob("*")):
            file.write_bytes(b"hostile")
    before = {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()}
    _hostile(moved, elsewhere)
    with contextlib.suppress(AssertionError, HTTPError):  # it may be refused
        deed(moved)
    after = {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()}
    assert after == before


def test_an_interrupted_run_that_was_moved_resumes_bit_for_bit(
    tmp_path: Path, nursery: Nursery
) -> None:
    long = ("epochs=300", "trainer.checkpoint_seconds=0.2")
    whole, first = Program(tmp_path / "whole", nursery), Program(tmp_path / "first", nursery)
    for each in (whole, first):
        each.folder.mkdir()
    assert whole.run(*long).returncode == 0
    process = first.start(*long)
    wait_for(lambda: first.epochs() > 0, process)
    process.kill()
    process.communicate()
    wait_for(lambda: first.runs()[0].info.status == "FAILED")
    second = Program(first.folder.rename(tmp_path / "second"), nursery)
    done = second.run("resume=last")
    assert done.returncode == 0, done.stderr
    for name, weights in whole.weights().items():
        assert torch.equal(second.weights()[name], weights)
    (run,), (expected,) = second.runs(), whole.runs()
    assert second.history(run, "train/loss") == whole.history(expected, "train/loss")


def test_two_processes_that_see_a_folder_under_different_paths_share_a_sweep(
    program: Program, tmp_path: Path
) -> None:
    other = Program(tmp_path.with_name(f"{tmp_path.name}-mounted"), program.nursery)
    other.folder.symlink_to(program.folder)
    arguments = ("-m", "seed=range(6)", *TINY)
    assert program.run("epochs=2").returncode == 0  # makes the store under the first path
    answers = []
    threads = [
        threading.Thread(target=lambda each=each: answers.append(each.run(*arguments)))
        for each in (program, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.returncode for done in answers] == [0, 0], answers
    jobs = [run for run in program.runs() if "mlflow.parentRunId" in run.data.tags]
    assert sorted(int(job.data.params["seed"]) for job in jobs) == list(range(6))


def test_a_read_only_folder_can_be_read(moved: Program, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    bind = ["mount", "--bind", str(moved.folder), str(mounted)]
    if subprocess.run(bind, capture_output=True, check=False).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(mounted)], check=True)
        there = Program(mounted, moved.nursery)
        _same_answer(there)
        _shows_artifacts_in_the_ui(there)
        aside = (
            f"output_dir={tmp_path}/aside",
            "tracking.uri=sqlite:///outputs/mlflow.db",
            "tracking.artifacts=outputs/artifacts",
        )
        reported = there.report(*MINE, *aside)
        assert reported.returncode == 0, reported.stderr
        assert "not added to the run" in reported.stderr
        done = there.run("seed=9", *TINY)
        assert done.returncode == 2
        assert "output_dir=outputs is not allowed" in done.stderr
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)
