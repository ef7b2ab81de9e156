"""`echo-exp-inspect` and `inspect=true`: figures of what happens inside a network."""

from pathlib import Path

import pytest
import torch

from echo_exp.commands import inspect as app
from echo_exp.inspection.settings import FIGURES

from .conftest import Program
from .test_baseline import Baseline

WRITTEN = {*(f"{name}.png" for name in FIGURES if name != "attention"), "measurements.json"}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_command_writes_figures_prints_findings_and_logs_both(
    baseline: Baseline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, _ = baseline
    monkeypatch.chdir(program.folder)
    monkeypatch.setattr("sys.argv", ["echo-exp-inspect", "sequences=200"])
    app.main()
    run = program.runs()[0]
    folder = Path("outputs/inspections") / run.info.run_id
    assert _names(folder) == WRITTEN
    assert _names(Path(run.info.artifact_uri.removeprefix("file://")) / "inspection") == WRITTEN
    out = capsys.readouterr().out
    assert "1.00 of those at position 5" in out
    assert "of the integers are wrong" in out
    assert str(folder) in out


def test_an_inspection_replaces_an_earlier_one(
    baseline: Baseline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, _ = baseline
    monkeypatch.chdir(program.folder)
    for name in ("confusion", "errors"):
        monkeypatch.setattr("sys.argv", ["echo-exp-inspect", "sequences=20", f"figures=[{name}]"])
        app.main()
    run = program.runs()[0]
    written = {"errors.png", "measurements.json"}
    assert _names(Path("outputs/inspections") / run.info.run_id) == written
    assert _names(Path(run.info.artifact_uri.removeprefix("file://")) / "inspection") == written
    assert "\n\n" not in capsys.readouterr().out


def test_a_run_is_inspected_on_demand_without_changing_a_bit(
    baseline: Baseline, program: Program
) -> None:
    reference, _ = baseline
    done = program.run("inspect=true")
    assert done.returncode == 0, done.stderr
    (run,) = program.runs()
    folder = Path(run.info.artifact_uri.removeprefix("file://")) / "inspection"
    assert _names(folder) == WRITTEN
    assert str(folder) in done.stdout
    assert run.info.status == "FINISHED"
    weights = [reference.weights(), program.weights()]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
