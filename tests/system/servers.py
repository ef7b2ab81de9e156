"""A real PostgreSQL and a real MLflow server on loopback, which tests may stop and kill."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..quick import begins
from .waiting import TIMEOUT, wait_for

PASSWORD = "open-sesame-7431"
PATIENT = ("-w", "-t", str(TIMEOUT))


def free_port() -> int:
    """A port on which nobody listened a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Postgres:
    """A separate PostgreSQL cluster in its own folder."""

    bin: Path
    folder: Path
    as_user: list[str]
    port: int = field(default_factory=free_port)

    @property
    def uri(self) -> str:
        return f"postgresql://echo:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        password.chmod(0o644)
        self._run(
            "initdb", "-A", "scram-sha-256", f"--pwfile={password}", "-U", "echo", "--no-sync"
        )

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "fsync": "off",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run("pg_ctl", *PATIENT, "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Ends PostgreSQL as a crash would: connections break."""
        self._run("pg_ctl", *PATIENT, "-m", "immediate", "stop")

    def dump(self) -> str:
        """The whole content of the database."""
        return subprocess.run(
            [self.bin / "pg_dump", self.uri], capture_output=True, text=True, check=True
        ).stdout

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self.as_user, self.bin / program, "-D", self.folder / "data", *arguments],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            timeout=TIMEOUT,
        )


@dataclass
class Server:
    """`mlflow server` with one worker, its runs in a database, its artifacts in a folder."""

    backend: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        begins("a server")
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                    *("--host", "127.0.0.1", "--port", str(self.port), "--serve-artifacts"),
                    *("--artifacts-destination", str(self.folder / "artifacts")),
                ],
                env={
                    **os.environ,
                    "MLFLOW_BACKEND_STORE_URI": self.backend,
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(lambda: self._answers() or self._ended())
        assert not self._ended(), (self.folder / "server.log").read_text(encoding="utf-8")

    def send(self, signum: signal.Signals) -> None:
        """Sends a signal to all its processes."""
        assert self.process is not None
        os.killpg(self.process.pid, signum)

    def kill(self) -> None:
        if self.process is not None:
            self.send(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


@pytest.fixture(scope="session")
def running_postgres() -> Iterator[Postgres]:
    begins("a server")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("PostgreSQL is not installed")
    binaries = found[-1] if found else Path(str(on_path)).parent
    as_user: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="echo-postgres-"))
    if os.getuid() == 0:  # it refuses to run as root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    elif not _has_name(os.getuid()):
        pytest.skip("PostgreSQL does not run as a user without a name")
    postgres = Postgres(binaries, folder, as_user)
    postgres.make()
    postgres.start()
    yield postgres
    postgres.stop()
    shutil.rmtree(folder)


@pytest.fixture
def postgres(running_postgres: Postgres) -> Postgres:
    return running_postgres


@pytest.fixture(scope="session")
def running_server(
    running_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    server = Server(running_postgres.uri, tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def server(running_server: Server) -> Server:
    """The server, running whatever the previous test did to it."""
    if running_server.process is None:
        running_server.start()
    return running_server
