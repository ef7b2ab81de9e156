"""The program in a locale that has only ASCII."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .called import COMMANDS

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SMALL = ("problem.length=8", "problem.n_values=9", "problem.n_in=2", "problem.n_out=2")


def _run(module: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, **ASCII},
        capture_output=True,
        check=False,
    )


def test_a_training_finishes_and_can_be_loaded(tmp_path: Path) -> None:
    """Output, names and descriptions have characters that ASCII lacks, such as ±."""
    settings = (*SMALL, "batch_size=7", "epochs=25", "model.units=4", "replicas=2")
    trained = _run("echo_exp", *settings, "inspect=true", folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.isascii()
    assert b" ? " in trained.stdout
    assert b"not added" not in trained.stderr
    told = _run("echo_exp.commands.predict", "[1,2]", folder=tmp_path)
    assert told.returncode == 0, told.stderr
    again = _run("echo_exp", *settings, "resume=auto", folder=tmp_path)
    assert b"has done this already" in again.stdout


@pytest.mark.parametrize("module", COMMANDS.values())
def test_every_command_prints_its_settings(module: str, tmp_path: Path) -> None:
    done = _run(module, "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout
