"""Ctrl-C and SIGTERM as one exception, deferred while training until a checkpoint is written.

A batch system may give notice with SIGUSR2, as submitit does on Slurm, and have a handler for it:
that handler is called after the program has stopped.
"""

import signal
import threading
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTICE = signal.SIGUSR2
"""Handled only if a batch system has installed a handler for it."""


class Interrupted(BaseException):
    """The program was asked to stop.

    Args:
        signum: The signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.signum).name}"


class Interrupts:
    """Turns the signals that ask a program to stop into `Interrupted`, inside a ``with`` block.

    Attributes:
        pending: The deferred signal, if there is one; a second signal is not deferred.
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        self._put_off = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others may set no handler
            self._before = {signum: signal.getsignal(signum) for signum in SIGNALS}
            if callable(signal.getsignal(NOTICE)):
                self._before[NOTICE] = signal.getsignal(NOTICE)
        self.raise_at_once()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        if isinstance(error, Interrupted) and error.signum == NOTICE:
            signal.raise_signal(NOTICE)

    def raise_at_once(self) -> None:
        """From now on, raises as soon as a signal arrives."""
        self._put_off = False
        self._install()

    def put_off(self) -> None:
        """Keeps the next signal as ``pending``; the training loop raises it between blocks."""
        self._put_off = True
        self._install()

    def _install(self) -> None:
        for signum in self._before:
            signal.signal(signum, self._handle)

    def _handle(self, signum: int, _: FrameType | None) -> None:
        if not self._put_off or self.pending is not None:
            raise Interrupted(signum)
        self.pending = signum
