"""The table of a sweep: every job, the best settings, and all of it as columns."""

from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.table import BEST, MOST_ROWS, best, columns, ranking, summary, table

ROWS = [
    (0, "seed=1 model.units=5", JobResult(Status.FINISHED, metrics={"test/accuracy": 0.25})),
    (1, "seed=2 model.units=5", JobResult(Status.EARLIER, metrics={"test/accuracy": 0.75})),
    (2, "seed=1 model.units=9", JobResult(Status.FINISHED, metrics={"test/accuracy": 0.875})),
    (3, "seed=2 model.units=9", JobResult(Status.FAILED, "it broke\nhere")),
]


def test_each_job_has_a_row() -> None:
    lines = table(ROWS).splitlines()
    assert len(lines) == 5
    assert lines[1].split() == ["0", "seed=1", "model.units=5", "0.2500", "ok"]
    assert lines[4].split() == ["3", "seed=2", "model.units=9", "failed"]
    timed = JobResult(Status.FINISHED, metrics={"test/accuracy": 1.0, "fit_seconds": 12.345})
    assert table([(7, "", timed)]).splitlines()[1].split() == ["7", "1.0000", "12.3", "ok"]


def test_of_many_jobs_only_those_that_failed_are_shown() -> None:
    many = ROWS * MOST_ROWS
    assert len(table(many).splitlines()) == 1 + MOST_ROWS
    assert len(table([ROWS[0]] * MOST_ROWS).splitlines()) == 1 + MOST_ROWS
    assert table([ROWS[0]] * (MOST_ROWS + 1)) == ""
    assert len(table([ROWS[3]] * 1000).splitlines()) == 1 + MOST_ROWS


def test_the_summary_counts_every_end() -> None:
    stopped = (4, "seed=3", JobResult(Status.STOPPED, "stopped by SIGTERM"))
    assert summary(ROWS) == "3 of 4 jobs succeeded, 1 failed"
    assert summary([*ROWS, stopped]) == "3 of 5 jobs succeeded, 1 failed, 1 stopped"
    assert summary(ROWS[:3]) == "3 of 3 jobs succeeded"


def test_the_best_settings_are_told_over_their_seeds() -> None:
    assert ranking(ROWS) == [
        ("best settings", "accuracy", "jobs"),
        ("model.units=9", "0.8750", "1"),
        ("model.units=5", "0.5000", "2"),
    ]
    assert best(ROWS).strip().splitlines()[1] == "model.units=9  0.8750    1"


def test_one_setting_has_nothing_to_be_compared_with() -> None:
    assert ranking(ROWS[:2]) == []
    assert best(ROWS[:2]) == ""


def test_only_the_first_few_of_the_best_are_told() -> None:
    rows = [
        (n, f"model.units={n}", JobResult(Status.FINISHED, metrics={"test/accuracy": n / 9}))
        for n in range(BEST + 1)
    ]
    named = [line[0] for line in ranking(rows)[1:]]
    assert named == [f"model.units={n}" for n in range(BEST, 0, -1)]


def test_the_columns_hold_every_metric_of_every_job() -> None:
    found = columns(ROWS)
    assert found["test/accuracy"] == [0.25, 0.75, 0.875, None]
    assert found["result"] == ["ok", "ok, finished earlier", "ok", "failed"]
    assert found["error"] == ["", "", "", "it broke"]
    assert {len(column) for column in found.values()} == {4}


def test_the_columns_of_the_metrics_are_in_the_order_of_their_names() -> None:
    rows = [
        (n, "", JobResult(Status.FINISHED, metrics={name: 1.0})) for n, name in enumerate("cab")
    ]
    assert list(columns(rows)) == ["job", "settings", "result", "error", "a", "b", "c"]
