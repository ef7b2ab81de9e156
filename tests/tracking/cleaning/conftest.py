"""A store to be cleaned."""

from pathlib import Path

import pytest

from ..stores import MadeStore


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return MadeStore.at(tmp_path / "outputs")
