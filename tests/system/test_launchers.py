"""The same sweep on every launcher: each job is stored once, whatever happens to a machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.entities import Run

from .clusters import RAY, RayCluster, Slurm, ray_cluster, slurm
from .conftest import TIMEOUT, Program, wait_for
from .faults import Record, counted, tell

SWEEP = ("-m", "seed=1,2", "epochs=5")
# Long enough to be caught in the middle.
EPOCHS = 1000
LONG = (f"epochs={EPOCHS}", "trainer.checkpoint_seconds=0.2")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayCluster]:
    for name, value in RAY.items():
        monkeypatch.setenv(name, value)
    with ray_cluster() as cluster:
        yield cluster


@pytest.fixture
def slurm_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    with slurm() as cluster:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        yield cluster


def _jobs(program: Program) -> list[Run]:
    return [run for run in program.runs() if run.data.tags["kind"] == "run"]


def _assert_swept(program: Program, seeds: int = 2) -> None:
    """Asserts that every job has finished, once, under the one parent."""
    parents = [run for run in program.runs() if run.data.tags["kind"] == "sweep"]
    jobs = _jobs(program)
    assert [parent.info.status for parent in parents] == ["FINISHED"]
    assert [job.info.status for job in jobs] == ["FINISHED"] * seeds
    assert sorted(int(job.data.params["seed"]) for job in jobs) == [*range(1, seeds + 1)]
    parent_id = parents[0].info.run_id
    assert {job.data.tags["mlflow.parentRunId"] for job in jobs} == {parent_id}


def _tell(program: Program, record: Record, fault: str) -> None:
    found = [counted(program.client, job.info.run_id, ("train/loss",)) for job in _jobs(program)]
    tell(record, fault, *((EPOCHS, *each) for each in found))


def test_every_local_launcher_runs_the_same_sweep_with_the_same_results(program: Program) -> None:
    losses = []
    for number, launcher in enumerate(
        ("launch=basic", "launch=joblib", "hydra/launcher=submitit_local")
    ):
        there = Program(program.folder / str(number), program.nursery)
        there.folder.mkdir()
        done = there.run(*SWEEP, launcher)
        assert done.returncode == 0, done.stderr
        assert "2 of 2 jobs succeeded" in done.stdout
        _assert_swept(there)
        fingerprints = [job.data.tags["fingerprint"] for job in _jobs(there)]
        by_fingerprint = zip(fingerprints, _jobs(there), strict=True)
        losses.append({name: job.data.metrics["test/loss"] for name, job in by_fingerprint})
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-5)  # a stack adds in another order


@pytest.mark.fault
def test_a_sweep_uses_every_node_of_a_ray_cluster_and_survives_the_loss_of_one(
    program: Program, ray: RayCluster, record_property: Record
) -> None:
    process = program.start(
        *("-m", "seed=1,2,3", *LONG, "sweep.fused=false"),
        *("launch=ray", f"hydra.launcher.address={ray.address}"),
    )

    # Each node has one core, so two jobs that train at once are on both.
    wait_for(lambda: len(list(program.folder.glob("**/last.ckpt"))) == 2, process)
    nodes = {job.data.tags["ray.node"] for job in _jobs(program)}
    assert len(nodes) == 2
    assert ray.other in nodes
    ray.kill_other()
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert "was lost" in err
    _assert_swept(program, seeds=3)
    _tell(program, record_property, "node of a Ray cluster killed (SIGKILL)")


def test_slurm_runs_a_sweep(program: Program, slurm_here: Slurm) -> None:
    done = program.run(*SWEEP, "launch=slurm", "hydra.launcher.mem_gb=1", "sweep.fused=false")
    assert done.returncode == 0, done.stderr
    _assert_swept(program)
    for job in _jobs(program):
        assert job.data.tags["slurm.job"].isdigit()
    (script,) = program.folder.glob("outputs/sweeps/*/slurm/*/*_submission.sh")
    options = script.read_text(encoding="utf-8")
    for option in ("array=0-1%2", "cpus-per-task=1", "mem=1GB", "time=240", "signal=USR2@120"):
        assert f"#SBATCH --{option}\n" in options


@pytest.mark.fault
def test_a_preempted_job_is_queued_again_and_continues(
    program: Program, slurm_here: Slurm, record_property: Record
) -> None:
    process = program.start("seed=1", *LONG, "launch=slurm", "hydra.launcher.mem_gb=1")
    wait_for(lambda: program.epochs() > 0, process)
    (job,) = _jobs(program)
    # A job that waits again after a preemption is held back by Slurm for two minutes.
    name = job.data.tags["slurm.job"]
    slurm_here.run("scancel", "--signal=USR2", name)
    wait_for(lambda: _jobs(program)[0].info.status == "KILLED", process)
    epochs = program.epochs()
    assert epochs > 0
    wait_for(lambda: "BeginTime" in slurm_here.run("squeue", "--noheader", "--format=%r"), process)
    slurm_here.run("scontrol", "update", f"JobId={name}", "StartTime=now")
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    _assert_swept(program, seeds=1)
    (job,) = _jobs(program)
    _tell(program, record_property, "job of Slurm preempted (SIGUSR2) and queued again")


def test_a_launcher_that_is_not_installed_is_explained(tmp_path: Path) -> None:
    hidden = (
        "import sys; sys.modules['ray'] = None; from echo_exp.commands.train import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden, "-m", "seed=1,2", "launch=ray"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "echo-exp: launch=ray is not allowed: it needs Ray; pip install 'echo_exp[ray]' installs it"
    )
    assert list(tmp_path.iterdir()) == []


def test_slurm_without_slurm_is_explained(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(program.folder))
    done = program.run("-m", "seed=1,2", "launch=slurm")
    assert done.returncode == 2
    assert "launch=slurm is not allowed: it needs Slurm" in done.stderr
    assert program.runs() == []


@pytest.mark.fault
def test_no_job_is_lost_when_a_joblib_worker_is_killed(
    program: Program, record_property: Record
) -> None:
    process = program.start("-m", "seed=1,2,3", *LONG, "launch=joblib")
    wait_for(lambda: program.epochs() > 0, process)
    workers = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "loky.backend.popen_loky"],
        capture_output=True,
        text=True,
        check=True,
    )
    os.kill(int(workers.stdout.split()[0]), signal.SIGKILL)
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert "TerminatedWorkerError" in err  # it ends all jobs that run; they are launched again
    _assert_swept(program, seeds=3)
    _tell(program, record_property, "worker of joblib killed (SIGKILL)")


def test_ctrl_c_of_a_joblib_sweep_leaves_no_run_open(program: Program) -> None:
    process = program.start("-m", "seed=1,2", "epochs=50000", LONG[1], "launch=joblib")
    wait_for(lambda: program.epochs() > 0, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, err
    # The writer of a killed worker ends its run by itself, a moment after the program.
    wait_for(lambda: {run.info.status for run in program.runs()} <= {"KILLED", "FAILED"})
