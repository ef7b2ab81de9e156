"""The writer process: carries out the program's commands on MLflow, in order.

It reads commands from its standard input and answers on its standard output. Measurements go to the
run's outbox on disk, and from there to the store, so that an unavailable store delays nothing and
loses nothing. If the input ends while a run is open, the program was killed: the writer delivers
what it has received and marks the run FAILED. However long a command takes, a thread of its own
gives the other processes the signs of life for which they wait.
"""

import contextlib
import gc
import logging
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

from echo_exp.tracking.access.connection import reason
from echo_exp.tracking.writer.commands import Writer
from echo_exp.tracking.writer.outbox import OutboxFullError

BEAT_SECONDS = 1.0
"""How often the writer checks whether a sign of life is due."""
MOST_COMMANDS = 1000
"""Commands that may wait in memory; beyond that, the program waits."""

Message = tuple[str, dict[str, Any], int | None]
"""A command, its arguments, and the number of its answer; None if it needs no answer."""


def _read(stream: IO[bytes], commands: "queue.Queue[Message | None]") -> None:
    # A program that is killed while it writes leaves half a message.
    with contextlib.suppress(EOFError, pickle.UnpicklingError):
        while True:
            commands.put(pickle.load(stream))
    commands.put(None)


def _serve(writer: Writer, commands: "queue.Queue[Any]", answers: IO[bytes]) -> None:
    """Carries out commands until they end, and ends what the program has left open."""
    with _alive(writer):
        while (message := commands.get()) is not None:
            _carry_out(writer, message, answers)
        writer.abandon()


@contextlib.contextmanager
def _alive(writer: Writer) -> Iterator[None]:
    """Gives signs of life in the ``with`` block."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            writer.beat()

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _carry_out(writer: Writer, message: Message, answers: IO[bytes]) -> None:
    command, arguments, number = message
    try:
        answer = ("answer", getattr(writer, command)(**arguments))
    except Exception as error:
        answer = writer.refusal(error)
        if number is None:
            if isinstance(error, OutboxFullError):
                raise
            writer.refused(arguments["run_id"], f"{command}: {answer[1]}")
    if number is not None:
        _answer(answers, number, *answer)


def _answer(answers: IO[bytes], number: int | None, kind: str, what: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        pickle.dump((number, kind, what), answers)
        answers.flush()


def main() -> None:
    """Serves the program at the other end of the pipe until it ends."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    logging.disable()  # MLflow logs what it raises, with its trace
    os.dup2(2, 1)  # other output must not mix with the answers
    writer = Writer(**pickle.load(sys.stdin.buffer))
    commands: queue.Queue[Message | None] = queue.Queue(MOST_COMMANDS)
    threading.Thread(target=_read, args=(sys.stdin.buffer, commands), daemon=True).start()
    writer.begin()
    try:
        _serve(writer, commands, answers)
    except OutboxFullError as error:
        _answer(answers, None, "error", reason(error))
        sys.exit(1)
    gc.freeze()  # saves a last garbage collection of all of MLflow


if __name__ == "__main__":
    main()
