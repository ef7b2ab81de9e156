"""What a test leaves in the home folder is found, what it leaves in the temporary one removed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .quick import begins

ROOT = Path(__file__).parents[1]


def _session(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Runs a test session of one test."""
    begins("another session")
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


def test_a_file_that_stays_at_home_fails_the_session(tmp_path: Path) -> None:
    path = "pathlib.Path.home() / '.thing'"
    act = f"import pathlib\ndef test_it():\n    ({path}).write_text('')\n"
    done = _session(tmp_path, act)
    assert done.returncode == 1
    assert "left in the home folder by the tests, or by what they started: .thing" in done.stdout
    tidy = _session(tmp_path, f"{act}    ({path}).unlink()\n")
    assert tidy.returncode == 0, tidy.stdout


def test_a_file_that_stays_in_the_temporary_folder_is_removed(tmp_path: Path) -> None:
    act = """
import pathlib, tempfile
def test_it():
    path = pathlib.Path(tempfile.mkdtemp(), "thing")
    path.write_text("")
    pathlib.Path("where").write_text(str(path))
"""
    done = _session(tmp_path, act)
    assert done.returncode == 0, done.stdout
    assert not Path((tmp_path / "where").read_text()).exists()


def test_neither_the_users_home_nor_temporary_folder_is_the_tests() -> None:
    home, temporary = Path.home(), Path(tempfile.gettempdir())
    assert home.parent == temporary.parent
    assert home.parent.name.startswith("echo-")
    assert not (home / ".gitconfig").exists()
