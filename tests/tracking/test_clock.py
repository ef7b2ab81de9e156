"""Recorded times rise evenly, whatever happens to the system's clock."""

import time

import pytest
import torch

from echo_exp.tracking import Run, StoredRun
from echo_exp.tracking.clock import Clock
from echo_exp.training.recorder import Recorder

from ..trainers import make_data, make_module, make_trainer


class FakeRun(Run):
    """Keeps the points that it receives."""

    def __init__(self, latest: int = 0) -> None:
        stored = StoredRun("r", "0", "a run", "RUNNING", {}, None, None, {}, latest)
        super().__init__(store=None, stored=stored)  # type: ignore[arg-type]
        self.times: list[int] = []

    def log_metrics(self, steps, values, timestamps=None) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        super().log_metrics(steps, values, timestamps)
        self.times += self._metrics[-1][2]

    def flush(self) -> None:
        """Sends nothing."""


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system's clock that is set back by an hour each time that it is read."""
    hours = iter(range(10**6))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600 * next(hours))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * time.time()))


@pytest.mark.usefixtures("backwards")
def test_a_clock_never_goes_backwards() -> None:
    clock = Clock()
    times = [clock.now() for _ in range(100)]
    assert times == sorted(times)
    assert times[-1] - times[0] < 60


@pytest.mark.usefixtures("backwards")
def test_a_clock_starts_after_the_last_recorded_time() -> None:
    after = Clock().now()
    assert Clock(after).now() >= after


@pytest.mark.usefixtures("backwards")
def test_neither_timestamps_nor_durations_follow_a_clock_that_is_set_back() -> None:
    torch.manual_seed(1)
    times: list[int] = []
    for _ in range(2):  # a run and its resumption
        run = FakeRun(latest=max(times, default=0))
        recorder = Recorder(run)
        make_trainer(recorder).fit(make_module(), make_data(20))
        assert 0 < recorder.seconds < 600
        times += run.times
    assert len(times) > 20
    assert times == sorted(times)
