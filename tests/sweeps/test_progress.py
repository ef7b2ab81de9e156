"""The progress of a sweep, as metrics of its parent run."""

from typing import Any, cast

import pytest

from echo_exp.sweeps import progress
from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.progress import SweepProgress
from echo_exp.tracking import Run

ENDED = {
    0: JobResult(Status.FINISHED, metrics={"test/accuracy": 0.5}),
    1: JobResult(Status.EARLIER, metrics={"test/accuracy": 0.75}),
    2: JobResult(Status.FINISHED, metrics={"test/accuracy": 1.0}),
    3: JobResult(Status.FAILED, "it broke"),
}


class _Parent:
    def __init__(self) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, steps: list[int], values: dict[str, list[float]]) -> None:
        self.points.append((steps[0], {name: value for name, (value,) in values.items()}))


def _progress(replicas: int = 1) -> tuple[SweepProgress, _Parent]:
    parent = _Parent()
    return SweepProgress(cast("Run", parent), replicas), parent


def test_the_progress_has_job_counts_and_the_best_and_median_accuracy() -> None:
    assert progress.metrics(ENDED) == {
        "sweep/finished": 3.0,
        "sweep/failed": 1.0,
        "sweep/best_accuracy": 1.0,
        "sweep/median_accuracy": 0.75,
    }
    stopped = {0: JobResult(Status.STOPPED)}
    assert progress.metrics(stopped) == {"sweep/finished": 0.0, "sweep/failed": 0.0}
    assert progress.metrics({}) == {"sweep/finished": 0.0, "sweep/failed": 0.0}


def test_the_step_of_a_point_is_the_number_of_jobs_that_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    told, parent = _progress(replicas=10)
    now[0] += 60
    told.tell(ENDED, last=True)
    ((step, values),) = parent.points
    assert step == 4
    assert values["sweep/networks_a_minute"] == 20  # one had finished before


def test_only_networks_trained_since_the_start_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    parent = _Parent()
    told = SweepProgress(cast("Run", parent), 1, {2: 5}, known=[0])
    now[0] += 60
    told.tell(ENDED, last=True)
    assert parent.points[0][1]["sweep/networks_a_minute"] == 5


def test_no_progress_is_logged_twice_or_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    told, parent = _progress()
    results: dict[int, Any] = {}
    for number, seconds in enumerate((1.0, 1.0, progress.SECONDS)):
        now[0] += seconds
        results[number] = ENDED[0]
        told.tell(results)
    assert [step for step, _ in parent.points] == [1, 3]
    now[0] += progress.SECONDS
    told.tell(results)
    assert len(parent.points) == 2


def test_without_a_store_no_progress_is_logged() -> None:
    SweepProgress(None, 1).tell(ENDED, last=True)
