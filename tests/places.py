"""A home folder and a temporary folder of the tests' own, in which nothing may be left.

A plugin of pytest. Whatever lies in the user's own is not seen by a test, nor by a process that one
starts; and a test session in which something stays behind fails.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = "PYTEST_DEBUG_TEMPROOT"
"""What pytest calls the variable for where its own temporary folders lie."""
CACHES = {
    "KERAS_HOME": "keras",
    "MPLCONFIGDIR": "matplotlib",
    "TORCHINDUCTOR_CACHE_DIR": "torch",
}
"""What libraries keep for the next time; the Makefile has a place for it."""
USERS = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME")
PLACES = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Makes the folders before anything is imported that looks for them."""
    root = os.environ.setdefault(ROOT, tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="echo-", dir=root))  # short: sockets lie in it
    folder.chmod(0o711)  # PostgreSQL is run by a user of its own
    config.stash[PLACES] = folder
    for variable, name in (("HOME", "home"), ("TMPDIR", "tmp")):
        (folder / name).mkdir()
        os.environ[variable] = str(folder / name)
    for variable, name in CACHES.items():
        os.environ.setdefault(variable, str(folder / name))
    for variable in USERS:
        os.environ.pop(variable, None)
    tempfile.tempdir = None  # it is read again


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the folders."""
    shutil.rmtree(config.stash[PLACES], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _nothing_left(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fails after the last test where one, or what it has started, has left something behind."""
    yield
    folder = pytestconfig.stash[PLACES]
    found = [path for name in ("home", "tmp") for path in (folder / name).rglob("*")]
    left = [str(path.relative_to(folder)) for path in found if not path.is_dir()]
    if left:
        pytest.fail(f"left behind by the tests, or by what they started: {', '.join(sorted(left))}")
