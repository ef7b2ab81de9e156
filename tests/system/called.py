"""A command called in the process of the test, which saves the imports."""

import importlib
import logging
import subprocess

import pytest

from .written import PROJECT

COMMANDS = {name: main.partition(":")[0] for name, main in PROJECT["scripts"].items()}
"""The modules of the commands."""


class Called:
    """Calls a command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        self._monkeypatch.setattr("sys.argv", [name, *arguments])
        code = 0
        before = logging.root.manager.disable
        try:
            importlib.import_module(COMMANDS[name]).main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            logging.disable(before)  # commands silence what libraries log
        return subprocess.CompletedProcess(arguments, code, *self._capsys.readouterr())
