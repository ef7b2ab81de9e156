"""A shell completes the commands and their settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .called import COMMANDS, Called

COMPLETED = {
    # what has been typed: what may follow
    "echo-exp mod": ["model.", "model="],
    "echo-exp model=seq": ["model=seq2seq", "model=seq2seq_last", "model=seq2seq_padded"],
    "echo-exp model.un": ["model.units="],
    "echo-exp -m seed=1,2 trainer=g": ["trainer=gpu"],
    "echo-exp hydra/sweeper=": ["hydra/sweeper=basic", "hydra/sweeper=optuna"],
    "echo-exp study=top": ["study=topologies"],
    "echo-exp --cfg ": [],
    "echo-exp 'model": [],
    "echo-exp model=nothing ep": [],
}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("line", COMPLETED)
def test_completion_proposes_what_may_follow(
    line: str, shell: str, call: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    done = call("echo-exp", "-sc", f"query={shell}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == COMPLETED[line]


@pytest.mark.parametrize("name", [*COMMANDS])
def test_completion_is_installed_for_each_command(name: str, call: Called) -> None:
    for shell, words in {
        "bash": "complete -o",
        "zsh": "complete -o",
        "fish": "complete -c",
    }.items():
        done = call(name, "--shell-completion", f"install={shell}")
        assert done.returncode == 0
        assert words in done.stdout
        assert name in done.stdout
        assert call(name, "-sc", f"uninstall={shell}").returncode == 0


def test_bash_completes(call: Called, tmp_path: Path) -> None:
    installed = call("echo-exp", "-sc", "install=bash").stdout
    command = tmp_path / "echo-exp"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m echo_exp "$@"\n')
    command.chmod(0o755)
    typed = 'COMP_LINE="echo-exp seed=1 model=seq"; COMP_POINT=26; COMP_CWORD=2'
    script = f"{installed}\n{typed}; hydra_bash_completion; echo ${{COMPREPLY[@]}}"
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (
        "model=seq2seq model=seq2seq_last model=seq2seq_padded\n",
        "",
    )
