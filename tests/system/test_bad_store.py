"""A store that cannot be used, or a full disk, gets one message."""

import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psycopg
import pytest
from mlflow.tracking import MlflowClient

from .conftest import Program
from .servers import PASSWORD, Postgres


def test_a_store_that_cannot_be_opened_is_named(program: Program) -> None:
    done = program.run("tracking.uri=sqlite:////dev/null/mlflow.db")
    assert done.returncode == 2
    assert "tracking.uri=sqlite:////dev/null/mlflow.db" in done.stderr
    assert "Traceback" not in done.stderr


class _NotFound(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_an_address_that_refuses_or_is_no_mlflow_server_is_named(program: Program) -> None:
    with HTTPServer(("127.0.0.1", 0), _NotFound) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        there = f"http://me:secret@127.0.0.1:{stranger.server_port}"
        answers = [program.run(f"tracking.uri={there}", "epochs=5")]
        stranger.shutdown()
    answers.append(program.run(f"tracking.uri={there}", "epochs=5"))
    for done, reason in zip(answers, ("404", "refused"), strict=True):
        assert done.returncode == 2
        assert f"tracking.uri={there.replace('secret', '***')}" in done.stderr
        assert reason in done.stderr
        assert "secret" not in done.stderr + done.stdout
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_store_that_is_read_only_is_reported(program: Program, postgres: Postgres) -> None:
    MlflowClient(postgres.uri).search_experiments()  # its tables are there
    with psycopg.connect(postgres.uri, autocommit=True) as database:
        database.execute("drop role if exists reader")
        database.execute(f"create role reader login password '{PASSWORD}' in role pg_read_all_data")
    there = postgres.uri.replace("echo:", "reader:")
    done = program.run(f"tracking.uri={there}", "tracking.artifacts=a", "tracking.experiment=mine")
    assert done.returncode == 2
    assert "tracking.uri=postgresql://reader:***@" in done.stderr
    assert "permission denied" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_driver_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(tmp_path)  # a forked writer has imported the driver
    missing = "raise ModuleNotFoundError(\"No module named 'psycopg'\", name='psycopg')"
    (program.folder / "psycopg.py").write_text(missing, encoding="utf-8")
    path = os.pathsep.join([str(program.folder), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    done = program.run("tracking.uri=postgresql://me@127.0.0.1/db", "tracking.artifacts=a")
    assert done.returncode == 2
    assert "pip install 'echo_exp[postgres]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_named(program: Program) -> None:
    """/dev/full cannot hold a folder, so a file system of 64 KiB that is full stands in."""
    folder = program.folder / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    try:
        (folder / "ballast").write_bytes(bytes(60 * 1024))
        done = program.run("output_dir=small/outputs")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert done.returncode == 2
    assert "output_dir=small/outputs" in done.stderr
    assert "No space left" in done.stderr
