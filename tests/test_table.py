"""The table of a sweep: every job, the best settings, and all of it as columns."""

from echo_exp.job import JobResult, Status
from echo_exp.table import MOST_ROWS, best, columns, table

ROWS = [
    (0, "seed=1 model.units=5", JobResult(Status.FINISHED, metrics={"test/accuracy": 0.25})),
    (1, "seed=2 model.units=5", JobResult(Status.EARLIER, metrics={"test/accuracy": 0.75})),
    (2, "seed=1 model.units=9", JobResult(Status.FINISHED, metrics={"test/accuracy": 0.875})),
    (3, "seed=2 model.units=9", JobResult(Status.FAILED, "it broke\nhere")),
]


def test_each_job_has_a_row_and_a_failure_its_reason() -> None:
    lines = table(ROWS).splitlines()
    assert len(lines) == 5
    assert lines[1].split() == ["0", "seed=1", "model.units=5", "0.2500", "ok"]
    assert lines[4].endswith("it broke")


def test_of_many_jobs_only_those_that_failed_are_shown() -> None:
    many = ROWS * MOST_ROWS
    assert len(table(many).splitlines()) == 1 + MOST_ROWS
    assert table([ROWS[0]] * (MOST_ROWS + 1)) == ""


def test_the_best_settings_are_told_over_their_seeds() -> None:
    header, first, second = best(ROWS).strip().splitlines()
    assert header.split() == ["best", "settings", "accuracy", "jobs"]
    assert first.split() == ["model.units=9", "0.8750", "1"]
    assert second.split() == ["model.units=5", "0.5000", "2"]
    assert best(ROWS[:2]) == ""  # nothing to compare


def test_the_columns_hold_every_metric_of_every_job() -> None:
    found = columns(ROWS)
    assert found["test/accuracy"] == [0.25, 0.75, 0.875, None]
    assert found["result"] == ["ok", "ok, finished earlier", "ok", "it broke"]
    assert {len(column) for column in found.values()} == {4}
