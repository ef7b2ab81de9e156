"""What `pytest --quick` skips says why, and all else is run."""

import os
import subprocess
import sys
from pathlib import Path

from .quick import begins

ROOT = Path(__file__).parents[1]
TESTS = """
import pytorch_lightning
import torch
from matplotlib.figure import Figure
from echo_exp.tracking import Store
from tests.quick import begins

def test_training():
    pytorch_lightning.Trainer().fit(None)

def test_export():
    torch.export.export(torch.nn.Linear(1, 1), (torch.ones(1),))

def test_figure():
    Figure().savefig("figure.png")

def test_store():
    Store("sqlite:///store.db")

def test_program():
    begins("the program")

def test_other():
    pass
"""


def _quick_session(folder: Path) -> str:
    """Runs a quick session of these tests; returns what it prints."""
    begins("another session")
    (folder / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-p", "tests.quick", "--rootdir=."]
    return subprocess.run(
        [*command, "-c", os.devnull, "-p", "no:cacheprovider", "-rs", "--quick", "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_what_takes_long_is_skipped_and_all_else_runs(tmp_path: Path) -> None:
    told = _quick_session(tmp_path)
    assert "1 passed, 5 skipped" in told, told
    for reason in ("a training", "an export", "a figure", "a writer process", "the program"):
        assert f"begins {reason}" in told
    assert not (tmp_path / "store.db").exists()
