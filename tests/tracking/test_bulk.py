"""Many runs are read at once, each of them once."""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from echo_exp.tracking.access import bulk, database
from echo_exp.tracking.access.connection import Access
from echo_exp.tracking.access.rows import Info, Rows
from echo_exp.tracking.access.selection import Selection


def test_a_run_of_two_sweeps_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def search(names: str) -> Iterator[Rows]:
        yield Rows(
            [Info(name, None, "FINISHED", 0, 1) for name in names],
            [(name, "seed", name) for name in names],
            [(name, "test/accuracy", float(ord(name))) for name in names],
        )

    monkeypatch.setattr(bulk, "queries", lambda *_: ["ab", "bc"])
    monkeypatch.setattr(database, "search", search)
    access = cast("Access", SimpleNamespace(uri="sqlite:///a.db"))
    found = bulk.read(access, Selection(study="mine", filter="any"))
    assert [info.run_id for info in found.infos] == ["a", "b", "c"]
    assert found.params == {"seed": ["a", "b", "c"]}
    np.testing.assert_array_equal(found.scores["test/accuracy"], [97, 98, 99])
