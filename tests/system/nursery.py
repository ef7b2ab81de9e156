"""Programs that are born with their libraries imported.

A process that has imported torch and the others waits for orders and forks. What it forks is a
process as any other, which can be stopped and killed, has its own folder, environment and output,
and ends as Python ends. The imports, which most tests do not care about, would take longer than all
else that it does.

    python -m tests.system.nursery FD    reads orders, a line of JSON each; writes pids and ends

Writers are forked for those who ask for one at the socket FD.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.orm import configure_mappers

from echo_exp.tracking import store

from . import writers
from .waiting import TIMEOUT

IMPORTED = (
    *("torch", "pytorch_lightning", "hydra", "matplotlib.figure", "echo_exp.training.experiment"),
    *("mlflow.tracking", "pandas", "scipy.stats", "statsmodels.api", "lifelines"),
    *("mlflow.store.tracking.sqlalchemy_store", "echo_exp.tracking.writer.commands"),
)
LOOK_SECONDS = 0.02


class Born:
    """A forked program, with the used part of the interface of `subprocess.Popen`."""

    def __init__(self, nursery: "Nursery", pid: int, out: Path, err: Path) -> None:
        self.pid = pid
        self._nursery = nursery
        self._out, self._err = out, err

    @property
    def returncode(self) -> int | None:
        """The exit code; None while the process runs."""
        return self._nursery.ends.get(self.pid)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while self.returncode is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(LOOK_SECONDS)
        return self.returncode

    def communicate(self, timeout: float = TIMEOUT) -> tuple[str, str]:
        self.wait(timeout)
        return self._out.read_text(encoding="utf-8"), self._err.read_text(encoding="utf-8")

    def send_signal(self, signum: signal.Signals) -> None:
        os.kill(self.pid, signum)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The test's side of the process that forks."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.ends: dict[int, int] = {}
        self._count = 0
        self._pids: list[int] = []
        self._one_at_a_time = threading.Lock()
        with writers.listen(self.address) as asked:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(asked.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
                pass_fds=[asked.fileno()],
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def address(self) -> Path:
        """The socket at which writers are asked for."""
        return self.logs / "nursery"

    def start(self, module: str, arguments: list[str], cwd: Path, env: Mapping[str, str]) -> Born:
        """Starts ``python -m module arguments``."""
        with self._one_at_a_time:  # a test may start several, each from a thread of its own
            self._count += 1
            out, err = (self.logs / f"{self._count}.{name}" for name in ("out", "err"))
            where = {"cwd": cwd, "env": dict(env), "out": out, "err": err}
            self._order(module=module, arguments=arguments, **where)
            while len(self._pids) < self._count:
                assert self._process.poll() is None, "the nursery has ended"
                time.sleep(LOOK_SECONDS)
            return Born(self, self._pids[-1], out, err)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._listener.join()
        self._process.stdout.close()

    def _order(self, **order: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order, default=str) + "\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            kind, *numbers = line.split()
            if kind == "born":
                self._pids.append(int(numbers[0]))
            else:
                self.ends[int(numbers[0])] = int(numbers[1])


def _serve(asked: socket.socket) -> str | None:
    """Forks on order; returns what a child is to run, None when there are no more orders."""
    while True:
        ready, _, _ = select.select([0, asked.fileno()], [], [], LOOK_SECONDS)
        if asked.fileno() in ready and writers.fork_writer(asked):
            return writers.MODULE
        if 0 in ready:
            line = _line()
            if not line:
                return None
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                return _become(order, asked.getsockname())
            _tell("born", pid)
        _tell_ends()


def _line() -> bytes:
    """Reads an order byte by byte: nothing of the next may stay in a buffer that a child gets."""
    read = bytearray()
    while (byte := os.read(0, 1)) not in (b"\n", b""):
        read += byte
    return bytes(read)


def _tell_ends() -> None:
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell("ended", ended[0], os.waitstatus_to_exitcode(ended[1]))
    except ChildProcessError:
        pass


def _tell(kind: str, *numbers: int) -> None:
    os.write(1, f"{kind} {' '.join(map(str, numbers))}\n".encode())


def _become(order: dict[str, object], address: str) -> str:
    """Makes this the process that was ordered; returns its module."""
    vars(store)["subprocess"] = writers.forking(lambda: Path(address))
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, str(order["out"]), os.O_WRONLY | os.O_CREAT),
        (2, str(order["err"]), os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    env, arguments = order["env"], order["arguments"]
    assert isinstance(env, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(str(order["cwd"]))
    given = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = [str(order["cwd"]), *(path for path in given if path not in sys.path)]
    sys.argv = [str(order["module"]), *arguments]
    return str(order["module"])


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    configure_mappers()
    gc.collect()
    gc.freeze()  # else each looks through all of that once more as it ends
    with socket.socket(fileno=int(sys.argv[1])) as asked_at:
        ordered = _serve(asked_at)
    if ordered is not None:
        runpy.run_module(ordered, run_name="__main__", alter_sys=True)
