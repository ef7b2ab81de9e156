"""`echo-exp replicas=...`: many seeds as one run, each equal to its single run."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.entities import Run

from .conftest import Program, wait_for
from .nursery import Nursery

SMALL = ("problem.n_values=6", "epochs=150", "trainer.test_sequences=20")
SEEDS = [3, 4, 5]
Done = tuple[Program, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Done:
    """Three seeds as one run."""
    program = Program(tmp_path_factory.mktemp("together"), nursery)
    return program, program.run("seed=3", "replicas=3", *SMALL)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Program:
    """The same seeds, one run after the other."""
    program = Program(tmp_path_factory.mktemp("alone"), nursery)
    assert program.run("-m", "seed=3,4,5", *SMALL).returncode == 0
    return program


def _artifacts(run: Run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


def _table(program: Program) -> pd.DataFrame:
    (run,) = program.runs()
    stored = json.loads((_artifacts(run) / "replicas.json").read_text(encoding="utf-8"))
    return pd.DataFrame(stored["data"], columns=stored["columns"])


def _curves(program: Program) -> pd.DataFrame:
    (run,) = program.runs()
    return pd.read_parquet(_artifacts(run) / "curves.parquet")


def test_the_output_covers_all_replicas(together: Done) -> None:
    _, done = together
    assert done.returncode == 0, done.stderr
    for words in (
        "3 replicas: mean ± std (range)",
        "of 3 replicas reached an accuracy of 0.99",
        "s per replica",
    ):
        assert words in done.stdout


def test_replicas_are_one_run_with_statistics_at_every_epoch(together: Done) -> None:
    program, _ = together
    (run,) = program.runs()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "Seq2Seq, echo 5→5, 20 units, seeds 3–5"
    assert run.data.params["replicas"] == "3"
    curves = _curves(program)
    for key, epochs in (
        ("train/loss", range(1, 151)),
        ("train/accuracy", range(1, 151)),
        ("val/accuracy", range(25, 151, 25)),
        ("test/loss", [0]),  # of the whole run
    ):
        by_epoch = curves.dropna(subset=[key]).groupby("epoch")[key]
        for suffix, expected in (
            ("", by_epoch.mean()),
            ("/std", by_epoch.std()),
            ("/min", by_epoch.min()),
            ("/max", by_epoch.max()),
        ):
            history = program.history(run, key + suffix)
            assert [step for step, _ in history] == list(epochs)
            np.testing.assert_allclose([value for _, value in history], expected, rtol=1e-5)


def test_final_metrics_of_each_replica_are_a_table(together: Done) -> None:
    program, _ = together
    table = _table(program)
    assert table["seed"].tolist() == SEEDS
    (run,) = program.runs()
    for name in ("test/loss", "test/accuracy", "test/sequence_accuracy", "epochs_to_solve"):
        assert run.data.metrics[name] == pytest.approx(table[name].mean())
    assert run.data.metrics["solved"] == table["epochs_to_solve"].notna().mean()


def test_each_replica_equals_the_single_run_of_its_seed(together: Done, alone: Program) -> None:
    curves, table = _curves(together[0]), _table(together[0])
    runs = [run for run in alone.runs() if run.data.tags["kind"] == "run"]
    assert sorted(int(run.data.params["seed"]) for run in runs) == SEEDS
    weights = together[0].weights()
    for run in runs:
        seed = int(run.data.params["seed"])
        replica = curves[curves["seed"] == seed]
        for key in ("train/loss", "val/loss", "test/loss", "train/accuracy"):
            history = [value for _, value in alone.history(run, key)]
            np.testing.assert_allclose(replica[key].dropna(), history, rtol=2e-3, atol=1e-4)
        (row,) = table[table["seed"] == seed].to_dict("records")
        assert row["epochs_to_solve"] == run.data.metrics["epochs_to_solve"]
        path = _artifacts(run) / "checkpoints" / "last.ckpt"
        for name, ours in torch.load(path, weights_only=True)["state_dict"].items():
            theirs = weights[name][SEEDS.index(seed)][None]
            torch.testing.assert_close(theirs, ours, rtol=0, atol=2e-3)


def test_a_killed_run_of_many_seeds_resumes_bit_for_bit(program: Program, together: Done) -> None:
    process = program.start("seed=3", "replicas=3", *SMALL, "trainer.checkpoint_seconds=0.001")
    wait_for(lambda: program.epochs() > 0, process)
    process.kill()
    process.communicate()
    wait_for(lambda: program.runs()[0].info.status == "FAILED")
    assert 0 < program.epochs() < 150
    done = program.run("resume=last")
    assert done.returncode == 0, done.stderr
    ours, expected = program.weights(), together[0].weights()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)
    assert _curves(program).equals(_curves(together[0]))
    assert _table(program).equals(_table(together[0]))
    (run,), (reference,) = program.runs(), together[0].runs()
    for key in ("train/loss", "train/loss/std", "val/accuracy/min", "test/loss"):
        assert program.history(run, key) == together[0].history(reference, key)


def test_diverged_replicas_are_reported_and_the_others_finish(program: Program) -> None:
    done = program.run("replicas=8", "epochs=50", "optimizer.learning_rate=1e35")
    assert done.returncode == 0, done.stderr
    assert "of 8 replicas: seed" in done.stdout
    table = _table(program)
    (run,) = program.runs()
    assert run.info.status == "FINISHED"
    assert run.data.metrics["diverged"] == table["diverged"].notna().sum()
    assert 0 < run.data.metrics["diverged"] < 8
    assert (table["test/loss"].isna() == table["diverged"].notna()).all()
    curves = _curves(program).merge(table[["seed", "diverged"]], on="seed")
    frozen = curves["epoch"] >= curves["diverged"]
    assert (curves["train/loss"].isna() == frozen).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_message_says_what_is_missing(program: Program) -> None:
    done = program.run("trainer=gpu")
    assert done.returncode == 2
    assert "trainer.accelerator=gpu" in done.stderr
    assert "CUDA" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert program.runs() == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("topology", ["seq2seq", "encoder_decoder"])
def test_a_gpu_trains_the_same_networks(program: Program, topology: str) -> None:
    arguments = (f"model={topology}", "replicas=4", "epochs=50", "trainer.test_sequences=20")
    assert program.run(*arguments).returncode == 0
    assert program.run(*arguments, "trainer=gpu").returncode == 0
    cpu, gpu = (program.history(run, "train/loss") for run in program.runs())
    np.testing.assert_allclose(gpu, cpu, rtol=1e-3)
