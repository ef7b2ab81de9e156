"""The version of the code: it changes with what is measured, and with nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from echo_exp import code as module
from echo_exp.code import MEASURING, code

# What an experiment imports too, but cannot change what is measured.
BESIDE = {
    "checkpoints",
    "clock",
    "code",
    "config",
    "interrupts",
    "launch",
    "progress",
    "recorder",
    "settings",
    "tracking",
    "trainer",
}


def _version(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> str:
    path = folder / "file.py"
    path.write_text(text)
    monkeypatch.setattr(module, "_files", lambda: [path])
    code.cache_clear()
    try:
        return code()
    finally:
        code.cache_clear()


def test_it_changes_with_the_code_and_not_with_its_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _version(monkeypatch, tmp_path, "a = 1\n")
    assert _version(monkeypatch, tmp_path, "a = 1  # one\n\n") == before
    assert _version(monkeypatch, tmp_path, "a = 2\n") != before


def test_every_file_of_a_measurement_is_part_of_it() -> None:
    """A module that an experiment imports is either measuring or known to be beside it."""
    script = (
        "import sys, echo_exp.experiment; "
        "print(*{m.split('.')[1] for m in sys.modules if m.startswith('echo_exp.')})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) - BESIDE <= set(MEASURING)
    names = {path.stem for path in module._files()}
    assert {"module", "seq2seq", "lstm", "problem"} <= names
