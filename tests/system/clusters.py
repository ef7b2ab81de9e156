"""Clusters to run sweeps on, each entirely on this machine and on 127.0.0.1 only."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from ..quick import begins
from .servers import free_port
from .waiting import TIMEOUT, wait_for

RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray then listens on 127.0.0.1
    "RAY_AUTH_MODE": "disabled",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_server_port_wait_time_s": str(TIMEOUT),
    "RAY_worker_register_timeout_seconds": str(TIMEOUT),
}

RAY_NODES = """
import json, sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={
    "num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20,
    "node_ip_address": "127.0.0.1"})
other = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20, node_ip_address="127.0.0.1")
cluster.wait_for_nodes(timeout=float(sys.argv[1]))
raylet, = [p.process.pid for p in other.all_processes["raylet"]]
told = {"address": cluster.address, "other": other.node_id, "raylet": raylet}
print(json.dumps(told), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster of two nodes with one core each.

    Attributes:
        address: Where jobs join it.
        other: The id of the node that does not head it.
        raylet: The process that this node lives by.
    """

    address: str
    other: str
    raylet: int

    def kill_other(self) -> None:
        """Kills the second node: its raylet, and its workers, which may outlive it for long."""
        listed = subprocess.run(["pgrep", "-P", str(self.raylet)], capture_output=True, check=True)
        for process in (self.raylet, *map(int, listed.stdout.split())):
            with suppress(ProcessLookupError):  # it has ended with the others
                os.kill(process, signal.SIGKILL)


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Runs a Ray cluster of two nodes."""
    begins("a cluster")
    pytest.importorskip("ray", reason="Ray is not installed")
    folder = Path(tempfile.mkdtemp(prefix="r"))  # short: the names of its sockets may not be long
    (folder / "ray").mkdir()  # where a cluster says where it is; Ray makes it only where it starts
    head = subprocess.Popen(
        [sys.executable, "-c", RAY_NODES, str(TIMEOUT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            **RAY,
            "RAY_TMPDIR": str(folder),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
    )
    try:
        assert head.stdout is not None
        for line in head.stdout:  # Ray may talk before
            if line.startswith("{"):
                yield RayCluster(**json.loads(line))
                return
        raise AssertionError("the Ray cluster did not start")
    finally:
        head.communicate()
        shutil.rmtree(folder, ignore_errors=True)


SLURM_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")

SLURM_CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=8192 State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Slurm:
    """A Slurm cluster of this machine only.

    Attributes:
        folder: Where everything of it lies.
        environment: What its commands need.
    """

    folder: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str) -> str:
        """Runs a command of Slurm and returns its output."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout


@contextmanager
def slurm() -> Iterator[Slurm]:
    """Runs munge, Slurm's controller and one node."""
    begins("a cluster")
    if os.geteuid() != 0:
        pytest.skip("Slurm's node must be run by root")
    missing = [name for name in SLURM_PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"Slurm is not installed (no {', '.join(missing)})")
    cluster = Slurm(Path(tempfile.mkdtemp(prefix="slurm-")))
    folder = cluster.folder
    _write_configuration(folder)
    munged = ["munged", "--foreground", "--force", *_munge_files(folder)]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for command in (
            munged,
            ["slurmctld", "-D", "-f", str(folder / "slurm.conf")],
            ["slurmd", "-D", "-f", str(folder / "slurm.conf")],
        ):
            log = stack.enter_context((folder / f"{command[0]}.out").open("w"))
            stack.enter_context(_daemon(command, log))
            if command is munged:
                _wait((folder / "munge.socket").exists, folder)
        _wait(lambda: "idle" in cluster.run("sinfo", "--noheader", "--format=%t"), folder)
        try:
            yield cluster
        finally:  # what still runs would outlive the daemons
            cluster.run("scancel", "--full", "--user=root")
            _wait(lambda: not cluster.run("squeue", "--noheader"), folder)


def _write_configuration(folder: Path) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    text = SLURM_CONF.format(
        folder=folder,
        host=socket.gethostname().split(".")[0],
        user="root",
        controller_port=free_port(),
        node_port=free_port(),
        cores=os.cpu_count(),
    )
    (folder / "slurm.conf").write_text(text, encoding="utf-8")


def _munge_files(folder: Path) -> list[str]:
    names = {"socket": "socket", "key-file": "key", "pid-file": "pid"}
    names |= {"seed-file": "seed", "log-file": "log"}
    return [f"--{option}={folder}/munge.{name}" for option, name in names.items()]


@contextmanager
def _daemon(command: list[str], log: IO[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _wait(condition: Callable[[], bool], folder: Path) -> None:
    def holds() -> bool:
        with suppress(subprocess.CalledProcessError):  # it does not answer yet
            return condition()
        return False

    try:
        wait_for(holds)
    except AssertionError as error:
        error.add_note("\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.out")))
        raise
