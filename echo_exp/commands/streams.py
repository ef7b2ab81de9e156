"""Standard output and error that their reader may close, as in ``echo-exp --info | head``."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Heard:
    """A stream that ignores writes after its reader has closed it.

    A training must not end because nobody reads its output.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes a text, and returns its length."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._leave()
            return len(text)

    def flush(self) -> None:
        """Flushes the stream."""
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
    """Lets a reader close standard output or error during the ``with`` block."""
    before = sys.stdout, sys.stderr
    streams = [Heard(stream) if stream else stream for stream in before]
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in filter(None, streams):
            stream.flush()
        sys.stdout, sys.stderr = before
