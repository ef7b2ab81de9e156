"""`echo-exp` alone is the tutorial's seq2seq baseline: its output, its run and its artifacts."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from .conftest import Program

Baseline = tuple[Program, subprocess.CompletedProcess[str]]


def test_the_command_prints_the_echo_the_scores_and_the_ui_command(
    baseline: Baseline,
) -> None:
    program, done = baseline
    assert done.returncode == 0, done.stderr
    listed = re.findall(r"^Expected: \[.*\] Predicted: \[.*\]", done.stdout, re.MULTILINE)
    assert len(listed) == 21
    run = program.runs()[0]
    for words in ("loss", "accuracy", "sequence accuracy", "2,100 complete windows", "echo-exp-ui"):
        assert words in done.stdout
    assert f"runs/{run.info.run_id}" in done.stdout


def test_progress_is_shown_in_plain_lines_only(baseline: Baseline) -> None:
    _, done = baseline
    lines = done.stderr.strip().splitlines()
    assert 10 <= len(lines) <= 12
    pattern = r"epoch [\d,]+ of 500: loss \d.*, accuracy \d.*, [\d,]+ epochs/s, [\d,]+ s left"
    assert all(re.fullmatch(pattern, line) for line in lines), done.stderr


def test_the_network_learns_to_echo(baseline: Baseline) -> None:
    program, _ = baseline
    metrics = program.runs()[0].data.metrics
    assert metrics["test/accuracy"] > 0.97
    assert metrics["test/accuracy_low"] < metrics["test/accuracy"] <= metrics["test/accuracy_high"]
    assert 25 <= metrics["epochs_to_solve"] <= 500
    assert metrics["parameters"] == 80 * (100 + 20 + 1) + 100 * 21


def test_every_epoch_has_one_point_and_the_run_is_finished(baseline: Baseline) -> None:
    program, _ = baseline
    (run,) = program.runs()
    assert run.info.status == "FINISHED"
    for key in ("train/loss", "train/accuracy"):
        assert [step for step, _ in program.history(run, key)] == list(range(1, 501))
    for key in ("val/loss", "val/accuracy", "val/sequence_accuracy"):
        assert [step for step, _ in program.history(run, key)] == list(range(25, 501, 25))


def test_parameters_are_flat_and_few_and_tags_record_the_origin(baseline: Baseline) -> None:
    program, _ = baseline
    data = program.runs()[0].data
    assert data.params["model"] == "Seq2Seq"
    assert data.params["model.units"] == "20"
    assert data.params["seed"] == "1"
    assert len(data.params) < 40
    assert {"fingerprint", "machine", "version.torch", "version.python"} <= data.tags.keys()
    assert data.tags["threads"] == "1"


def test_artifacts_include_configuration_samples_figure_and_checkpoints(baseline: Baseline) -> None:
    program, _ = baseline
    folder = Path(program.runs()[0].info.artifact_uri.removeprefix("file://"))
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert config["problem"]["n_in"] == 5
    assert config["representation"]["n_values"] == 100  # resolved
    assert yaml.safe_load((folder / "overrides.yaml").read_text(encoding="utf-8")) == []
    samples = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    assert samples["columns"] == ["window", "expected", "predicted", "correct"]
    assert len(samples["data"]) == 21
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == ["best.ckpt", "last.ckpt"]


def test_checkpoints_load_without_running_code(baseline: Baseline) -> None:
    program, _ = baseline
    for path in (program.folder / "outputs").glob("**/*.ckpt"):
        checkpoint = torch.load(path, weights_only=True)
        assert checkpoint["echo_epochs"] >= 25
        assert checkpoint["state_dict"]["model.lstm.first.bias"].shape == (1, 1, 80)


def test_a_progress_bar_is_drawn_on_request(program: Program) -> None:
    done = program.run("epochs=50", "tracking=none", "trainer.progress=bar")
    assert "100%" in done.stderr
    assert "accuracy" in done.stderr
    assert "epochs/s" in done.stderr


def test_without_tracking_no_store_is_made(program: Program) -> None:
    done = program.run("epochs=25", "tracking=none")
    assert done.returncode == 0
    assert not (program.folder / "outputs" / "mlflow.db").exists()
    assert "checkpoints" in done.stdout


@pytest.mark.parametrize(
    "variation",
    [
        ("tracking=none",),
        ("tracking=none", "trainer.progress=none", "trainer.validate_every=10"),
        ("tracking=none", "trainer.progress=bar", "trainer.validate_every=1000"),
    ],
)
def test_tracking_progress_and_validation_do_not_change_the_training(
    baseline: Baseline, program: Program, variation: tuple[str, ...]
) -> None:
    reference, _ = baseline
    assert program.run(*variation).returncode == 0
    weights = [reference.weights(), program.weights()]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_encoder_decoder_baseline_runs_too(program: Program) -> None:
    arguments = ("experiment=encoder_decoder_baseline", "epochs=200")
    done = program.run(*arguments)
    assert done.returncode == 0, done.stderr
    (run,) = program.runs()
    assert run.data.params["model"] == "EncoderDecoder"
    assert run.data.params["batch_size"] == "21"
    assert [step for step, _ in program.history(run, "val/loss")] == [100, 200]


def test_help_and_configuration_are_printed_without_importing_torch(program: Program) -> None:
    for argument in ("--help", "--cfg=job", "model.unts=5"):
        probe = (
            "import sys; from echo_exp.commands.train import main\n"
            "sys.argv = ['echo-exp', sys.argv[1]]\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "print(sorted({'torch', 'pytorch_lightning', 'mlflow', 'pandas'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", probe, argument],
            cwd=program.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]"


def test_the_training_process_does_not_import_mlflow() -> None:
    probe = (
        "import sys\n"
        "from echo_exp.export import arrays\n"
        "from echo_exp.running import stacked_runs, training_run\n"
        "print('mlflow' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
