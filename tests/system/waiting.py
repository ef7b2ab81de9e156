"""Waits that end when what they wait for is there.

The bound is for what never comes: it is longer than anything takes on a machine with busy cores,
and so decides no result.
"""

import time
from collections.abc import Callable
from typing import Protocol

TIMEOUT = 600
LOOK_SECONDS = 0.1


class Ending(Protocol):
    """A process that may end before the awaited condition holds."""

    def poll(self) -> int | None: ...

    def communicate(self, *, timeout: float) -> tuple[str, str]: ...


def wait_for(condition: Callable[[], bool], process: Ending | None = None) -> None:
    """Waits until a condition holds; fails where the process, if given, ends before."""
    for _ in range(int(TIMEOUT / LOOK_SECONDS)):
        if condition():
            return
        if process is not None and process.poll() is not None:
            raise AssertionError(process.communicate(timeout=TIMEOUT))
        time.sleep(LOOK_SECONDS)
    raise AssertionError("it never came")
