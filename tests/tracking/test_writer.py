"""The writer process reads the program's commands until it ends."""

import io
import pickle
import queue
from typing import Any

import pytest

from echo_exp.tracking.writer.__main__ import _read


@pytest.mark.parametrize("torn", [0, 1, 5, 20])
def test_a_message_torn_by_a_kill_ends_the_writer(torn: int) -> None:
    whole, half = (pickle.dumps(("tag", {"value": "x" * 50}, n)) for n in (1, 2))
    commands: queue.Queue[Any] = queue.Queue()
    _read(io.BytesIO(whole + half[:torn]), commands)
    assert commands.get_nowait()[2] == 1
    assert commands.get_nowait() is None
