"""How much memory a process may use."""

import resource
from pathlib import Path

import pytest

from echo_exp.configuration import memory


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, none = tmp_path / "memory.max", tmp_path / "none"
    monkeypatch.setattr(memory, "CONTAINER", (none, limit))
    limit.write_text("max\n", encoding="ascii")
    machine = memory._memory()
    limit.write_text("1048576\n", encoding="ascii")
    assert memory._memory() == 2**20 < machine


def test_the_limit_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**20, 2**20))
    assert memory._memory() == 2**20
