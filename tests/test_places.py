"""What a test leaves in the home or the temporary folder is found."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _session(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Runs a test session of one test."""
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.places", "--rootdir=.", "-c"]
    return subprocess.run(
        [*command, os.devnull, "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ("pathlib.Path.home() / '.thing'", "home/.thing"),
        ("pathlib.Path(tempfile.gettempdir(), 'thing')", "tmp/thing"),
    ],
)
def test_a_file_that_stays_behind_fails_the_session(tmp_path: Path, where: str, left: str) -> None:
    act = f"import pathlib, tempfile\ndef test_it():\n    ({where}).write_text('')\n"
    done = _session(tmp_path, act)
    assert done.returncode == 1
    assert f"left behind by the tests, or by what they started: {left}" in done.stdout
    tidy = _session(tmp_path, f"{act}    ({where}).unlink()\n")
    assert tidy.returncode == 0, tidy.stdout


def test_neither_the_users_home_nor_temporary_folder_is_the_tests() -> None:
    home, temporary = Path.home(), Path(tempfile.gettempdir())
    assert home.parent == temporary.parent
    assert home.parent.name.startswith("echo-")
    assert not (home / ".gitconfig").exists()
