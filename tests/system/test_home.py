"""What commands leave outside their folder, on a machine with an empty home folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .servers import free_port

TOLD = (
    "XDG_",
    "MPL",
    "MLFLOW_",
    "ORT_",
    "RAY_",
    "TORCH",
    "PYTHONDONTWRITEBYTECODE",
    "DO_NOT_TRACK",
)
"""Variables that would keep libraries from writing where they do by themselves."""

CACHES = {".cache/matplotlib", ".config/matplotlib"}
"""Plain caches of libraries, in the home folder."""

TORCH = "torchinductor_"
"""PyTorch's cache, an empty folder, in the temporary one."""

SMALL = (
    *("problem.length=8", "problem.n_values=9", "problem.n_in=2", "problem.n_out=2"),
    *("batch_size=7", "epochs=2", "model.units=4", "trainer.validate_every=1"),
)
STUDY = """
# @package _global_
defaults: [_base]
study:
  name: mine
  question: What is left?
  compare: seed
  scales: {full: [{seed: [1, 2], epochs: 2}]}
"""
STUDIES = ("--config-dir", "my_conf", "study=mine")

COMMANDS = (
    ("echo_exp", *SMALL),
    ("echo_exp", "-m", *SMALL, "seed=1,2", "launch=joblib", "export=false"),
    ("echo_exp", "-m", *SMALL, "model.units=range(3, 9)", "hydra/sweeper=optuna",
     "hydra.sweeper.trials=2", "export=false"),
    ("echo_exp", *STUDIES, "export=false"),
    ("echo_exp.commands.report", *STUDIES),
    ("echo_exp.commands.predict", "[1,2,3,4,5]"),
    ("echo_exp.commands.inspect",),
    ("echo_exp.commands.export",),
    ("echo_exp.commands.sync",),
    ("echo_exp.commands.clean", "remove=[checkpoints,leftovers]", "yes=true"),
)  # fmt: skip


def _environment(home: Path, temporary: Path) -> dict[str, str]:
    for folder in (home, temporary):
        folder.mkdir()
    plain = {name: value for name, value in os.environ.items() if not name.startswith(TOLD)}
    return {**plain, "HOME": str(home), "TMPDIR": str(temporary), "COLUMNS": "100"}


def _ui(folder: Path, environment: Mapping[str, str]) -> None:
    """Starts the UI and ends it as Ctrl-C does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "echo_exp.commands.ui", f"port={free_port()}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Look at the runs: http://127.0.0.1")
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0


def test_no_command_writes_outside_its_folder_except_plain_caches(tmp_path: Path) -> None:
    home, temporary, folder = tmp_path / "home", tmp_path / "tmp", tmp_path / "here"
    environment = _environment(home, temporary)
    (folder / "my_conf" / "study").mkdir(parents=True)
    (folder / "my_conf" / "study" / "mine.yaml").write_text(STUDY, encoding="utf-8")
    for module, *arguments in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, (module, arguments, done.stderr)
        assert "not added" not in done.stderr
    _ui(folder, environment)
    left = {str(path.relative_to(home)) for path in home.glob("*/*")}
    assert left <= CACHES
    there = [path.name for path in temporary.iterdir()]
    assert [name for name in there if not name.startswith(TORCH)] == []
    assert {path.name for path in folder.iterdir()} == {"my_conf", "outputs"}
