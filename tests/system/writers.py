"""Writer processes forked by the nursery, as the programs are.

Each store that is opened starts a writer, which would import MLflow for longer than most tests
take. The nursery forks it instead, and gives it the ends of its pipes. It has a session of its own
and ends with its input, as any other.
"""

import json
import os
import socket
import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

MODULE = "echo_exp.tracking.writer"


class ForkedWriter:
    """A forked writer, with the part of `subprocess.Popen` that a store uses."""

    def __init__(
        self,
        nursery: Callable[[], Path],
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        **_: object,
    ) -> None:
        assert command[-1] == MODULE
        reads, write = os.pipe()
        read, writes = os.pipe()
        self.stdin, self.stdout = open(write, "wb"), open(read, "rb")  # noqa: PTH123, SIM115
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(str(nursery()))
        socket.send_fds(self._line, [b"\0"], [reads, writes, 2])
        self._line.sendall(json.dumps({"cwd": str(Path.cwd()), "env": dict(env)}).encode())
        self._line.shutdown(socket.SHUT_WR)
        os.close(reads)
        os.close(writes)

    def wait(self) -> None:
        """Waits for the end of the writer, which closes its end of the pipe."""
        if self._line.fileno() != -1:
            self._line.recv(1)
        self._line.close()


def forking(nursery: Callable[[], Path]) -> SimpleNamespace:
    """What stands for `subprocess` in `echo_exp.tracking.store`; the nursery listens there."""
    return SimpleNamespace(PIPE=subprocess.PIPE, Popen=partial(ForkedWriter, nursery))


def listen(address: Path) -> socket.socket:
    """Listens for stores that want a writer."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(address))
    listening.listen(64)
    return listening


def fork_writer(listening: socket.socket) -> bool:
    """Forks the writer that somebody wants; tells whether this process is the writer."""
    line, _ = listening.accept()
    _, ends, _, _ = socket.recv_fds(line, 1, 3)
    order = b"".join(iter(partial(line.recv, 2**16), b""))
    born = os.fork() == 0
    if born:
        _become(ends, **json.loads(order))
        line.detach()  # stays open until this process ends
    else:
        line.close()
    for end in ends:
        os.close(end)
    return born


def _become(ends: Sequence[int], cwd: str, env: Mapping[str, str]) -> None:
    os.setsid()
    for number, end in enumerate(ends):
        os.dup2(end, number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    warnings.simplefilter("ignore")
