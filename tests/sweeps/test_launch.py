"""How the cores of a machine are divided among the jobs of a sweep."""

import os

import joblib
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from echo_exp import configuration
from echo_exp.sweeps import launch


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores."""
    monkeypatch.setattr(joblib, "cpu_count", lambda **_: 8)
    for pool in launch.POOLS:
        monkeypatch.setenv(pool, "untouched")


def _composed(*settings: str) -> DictConfig:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        return compose("config", [*settings], return_hydra_config=True)


@pytest.mark.parametrize(("threads", "jobs"), [("auto", 8), ("1", 8), ("3", 2), ("9", 1)])
def test_joblib_runs_as_many_jobs_as_the_cores_allow(threads: str, jobs: int) -> None:
    config = _composed("launch=joblib", f"trainer.threads={threads}")
    assert config.hydra.launcher.n_jobs == jobs


@pytest.mark.parametrize(("threads", "cores"), [("auto", 1), ("3", 3)])
def test_on_a_cluster_a_job_has_a_core_for_each_thread_and_one_if_that_is_automatic(
    threads: str, cores: int
) -> None:
    assert _composed("launch=ray", f"trainer.threads={threads}").hydra.launcher.cpus == cores
    slurm = _composed("launch=slurm", f"trainer.threads={threads}").hydra.launcher
    assert slurm.cpus_per_task == cores


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        (["launch=ray"], "1"),
        (["launch=ray", "hydra.launcher.cpus=4"], "4"),
        (["launch=slurm", "hydra.launcher.cpus_per_task=2"], "2"),
        (["launch=ray", "trainer.threads=3"], "3"),
        (["launch=joblib", "trainer.threads=3"], "3"),
        (["launch=joblib"], "untouched"),  # joblib divides the cores among its processes
        ([], "untouched"),
        (["trainer.threads=0"], "untouched"),
    ],
)
def test_the_processes_of_a_launcher_may_use_the_cores_of_their_job(
    settings: list[str], limit: str
) -> None:
    launch.limit_threads(_composed(*settings))
    assert {os.environ[pool] for pool in launch.POOLS} == {limit}
