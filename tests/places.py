"""A home folder and a temporary folder of the tests' own.

A plugin of pytest. Whatever lies in the user's own is not seen by a test, nor by a process that one
starts. A session in which a file stays behind in the home folder fails. The temporary folder is
removed with what is in it: a process that a test kills cannot do so itself.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing.util import Finalize
from pathlib import Path

import pytest

ROOT = "PYTEST_DEBUG_TEMPROOT"
"""What pytest calls the variable for where its own temporary folders lie."""
OF_USERS = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
CACHES = {
    "KERAS_HOME": "keras",
    "MPLCONFIGDIR": "matplotlib",
    "TORCHINDUCTOR_CACHE_DIR": "torch",
}
"""What libraries keep for the next time; the Makefile has a place for it."""


def _make() -> Path:
    """Makes the folders and points everything to them, before a library looks for its own."""
    root = os.environ.setdefault(ROOT, tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="echo-", dir=root))  # short: sockets lie in it
    folder.chmod(0o711)  # PostgreSQL is run by a user of its own
    for variable, name in (("HOME", "home"), ("TMPDIR", "tmp")):
        (folder / name).mkdir()
        os.environ[variable] = str(folder / name)
    for variable, name in CACHES.items():
        os.environ.setdefault(variable, str(folder / name))
    for variable in OF_USERS:
        os.environ.pop(variable, None)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # tests open stores themselves,
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # and networks in ONNX
    tempfile.tempdir = None  # it is read again
    return folder


FOLDER = _make()


# At the very end: multiprocessing removes a folder of its own there at the priority -100.
Finalize(None, shutil.rmtree, (FOLDER,), {"ignore_errors": True}, exitpriority=-1000)


@pytest.fixture(scope="session", autouse=True)
def _nothing_left() -> Iterator[None]:
    """Fails after the last test where one, or what it has started, has left a file at home."""
    yield
    home = FOLDER / "home"
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir())
    if left:
        pytest.fail(
            f"left in the home folder by the tests, or by what they started: {', '.join(left)}"
        )
