"""Standard output and error where whoever read them may leave, as in ``echo-exp --info | head``."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Heard:
    """A stream that goes on when its reader has left: what is written then goes nowhere.

    A training does not end because nobody looks at it.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes a text."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._leave()
            return len(text)

    def flush(self) -> None:
        """Writes what is held back."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._leave()

    def _leave(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Has standard output and error go on without a reader, to the end of the block."""
    before = sys.stdout, sys.stderr
    streams = [Heard(stream) if stream else stream for stream in before]
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in filter(None, streams):
            stream.flush()
        sys.stdout, sys.stderr = before
