"""Every command gives up on a server that accepts connections but never answers."""

import os
import socket
from collections.abc import Iterator

import pytest

from .conftest import Program
from .nursery import Nursery

COMMANDS = (
    ("echo_exp", "epochs=2", "export=false"),
    ("echo_exp", "resume=last", "export=false"),
    ("echo_exp", "-m", "seed=1,2", "epochs=2", "export=false"),
    ("echo_exp.commands.predict", "sequences=[[1,2,3,4,5]]"),
    ("echo_exp.commands.inspect",),
    ("echo_exp.commands.export",),
    ("echo_exp.commands.report", "sweep=last"),
    ("echo_exp.commands.clean",),
    ("echo_exp.commands.ui",),
)
BOUND_SECONDS = 120
"""Each takes about ten on an idle machine; what waits for an answer waits for ever."""


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of such a server."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening:  # the system accepts
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_every_command_gives_up_on_a_silent_server(
    silent: str, program: Program, nursery: Nursery
) -> None:
    where = (f"tracking.uri={silent}", "tracking.artifacts=null")
    environment = {**os.environ, "COLUMNS": "100"}
    started = [
        nursery.start(module, [*arguments, *where], program.folder, environment)
        for module, *arguments in COMMANDS
    ]
    told = [process.communicate(BOUND_SECONDS) for process in started]
    assert [process.returncode for process in started] == [2] * len(COMMANDS), told
    (words,) = {err for _, err in told}
    assert f"tracking.uri={silent} is not allowed: it cannot be used" in words
    assert len(words.splitlines()) == 1
