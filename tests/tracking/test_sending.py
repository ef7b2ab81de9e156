"""Collected metrics are sent now and then; runs that are trained together take turns."""

from types import SimpleNamespace
from typing import Any

import pytest

from echo_exp.tracking import Run, StoredRun
from echo_exp.tracking import store as module


class _Sent:
    """A store that notes when a run sends what."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[tuple[str, float, list[int]]] = []

    def send(self, command: str, run_id: str, series: Any) -> None:
        assert command == "metrics"
        self.sent.append((run_id, self.now, [step for _, steps, _, _ in series for step in steps]))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> _Sent:
    store = _Sent()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: store.now))
    return store


def _run(store: _Sent, run_id: str) -> Run:
    stored = StoredRun(run_id, "0", "a run", "RUNNING", {}, None, None, {}, 0)
    return Run(store, stored)  # type: ignore[arg-type]


def test_runs_with_different_phases_take_turns_and_leave_nothing_out(sent: _Sent) -> None:
    runs = [_run(sent, name) for name in "abcd"]
    for place, run in enumerate(runs):
        run.send_every(4.0, phase=place / 4)
    for step in range(1, 13):
        sent.now += 1.0
        for run in runs:
            run.log_metrics([step], {"loss": [1.0]})
    assert [name for name, _, _ in sent.sent] == list("dcba") * 3
    for run in runs:
        run.flush()
        steps = [step for name, _, sent_ in sent.sent if name == run.run_id for step in sent_]
        assert steps == [*range(1, 13)]


def test_a_run_is_never_asked_to_send_more_often(sent: _Sent) -> None:
    run = _run(sent, "a")
    run.send_every(0.01, phase=0.0)
    assert run.send_seconds == module.SEND_SECONDS
