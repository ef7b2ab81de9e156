"""The tables of a sweep: the ranking of its settings, its jobs, and both as columns."""

import dataclasses

from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.plan import Job
from echo_exp.sweeps.table import (
    BEST,
    MOST_SETTINGS,
    Row,
    best_of,
    columns,
    jobs,
    pooled,
    ranked,
    ranked_jobs,
    ranking,
    summary,
)


def _row(number: int, named: str, accuracy: float | None, replicas: int = 1) -> Row:
    metrics = {} if accuracy is None else {"test/accuracy": accuracy}
    result = JobResult(Status.FINISHED, metrics=metrics)
    if accuracy is None:
        result = JobResult(Status.FAILED, "it broke\nhere")
    return Job(number, named.split(), f"of {named}", varied={"replicas": replicas}), result


ROWS = [
    _row(0, "epochs=9 seed=1 model.units=5", 0.25),
    _row(1, "epochs=9 seed=2 model.units=5", 0.75),
    _row(2, "epochs=9 seed=1 model.units=9", 0.875),
    _row(3, "epochs=9 seed=2 model.units=9", None),
]


def _ranking(rows: list[Row]) -> list[tuple[str, ...]]:
    settings = ranked([job for job, _ in rows], {job.number: result for job, result in rows})
    return [tuple(line) for line in ranking(settings)]


def test_the_seeds_of_a_setting_share_one_line_of_the_ranking() -> None:
    assert _ranking(ROWS) == [
        ("settings", "accuracy", "95 % interval", "seeds"),
        ("model.units=5", "0.5000", "0.0000 to 1.0000", "2"),
        ("model.units=9", "0.8750", "", "1, 1 failed"),
    ]


def test_each_replica_counts_as_a_seed() -> None:
    job, result = _row(0, "model.units=5 replicas=20", 0.5, replicas=20)
    spread = {**result.metrics, "test/accuracy/std": 0.1, "diverged": 4.0}
    line = _ranking([(job, dataclasses.replace(result, metrics=spread))])[1]
    assert line == ("model.units=5 replicas=20", "0.5000", "0.4467 to 0.5533", "16, 4 failed")


def test_jobs_with_the_same_settings_count_as_one_seed() -> None:
    again = dataclasses.replace(ROWS[0][0], number=7)
    assert _ranking([*ROWS, (again, ROWS[0][1])]) == _ranking(ROWS)


def test_seeds_that_several_jobs_share_count_once() -> None:
    rows = [_row(n, f"model.units=5 seed={n}", 0.5, replicas=3) for n in (1, 2, 4)]
    of = [(dataclasses.replace(j, varied={"seed": j.number, "replicas": 3}), r) for j, r in rows]
    assert _ranking(of)[1][-1] == "6"  # of 1 to 3 and 4 to 6


def test_a_setting_without_seeds_that_count_is_not_ranked() -> None:
    assert [line[0] for line in _ranking([ROWS[0], ROWS[3]])[1:]] == ["model.units=5"]


def test_if_only_the_seed_varies_the_setting_is_named_by_all_overrides() -> None:
    assert _ranking(ROWS[:2])[1][0] == "epochs=9 model.units=5"
    assert _ranking([_row(0, "seed=1", 0.5), _row(1, "seed=2", 0.5)])[1][0] == "the defaults"


def test_of_very_many_settings_only_the_best_are_ranked() -> None:
    rows = [_row(n, f"model.units={n}", n / 99) for n in range(MOST_SETTINGS + 1)]
    assert len(_ranking(rows[1:])) == 1 + MOST_SETTINGS
    named = [line[0] for line in _ranking(rows)[1:]]
    assert named == [f"model.units={n}" for n in range(MOST_SETTINGS, MOST_SETTINGS - BEST, -1)]


def test_each_job_has_a_line_with_its_varied_settings() -> None:
    titles, *lines = jobs(ROWS)
    assert titles == ("job", "settings", "accuracy", "seconds", "result")
    assert lines[0] == ("0", "seed=1 model.units=5", "0.2500", "", "ok")
    assert lines[3] == ("3", "seed=2 model.units=9", "", "", "failed")


def test_if_each_setting_is_a_single_job_one_table_shows_both() -> None:
    rows = [_row(n, f"model.units={n}", value) for n, value in enumerate((0.5, None, 0.75))]
    settings = ranked([job for job, _ in rows], {job.number: result for job, result in rows})
    assert not pooled(rows, settings)
    assert pooled(ROWS, ranked([job for job, _ in ROWS], {j.number: r for j, r in ROWS}))
    titles, *lines = ranked_jobs(rows)
    assert titles == ["job", "settings", "accuracy", "seconds", "result"]
    assert [line[0] for line in lines] == ["2", "0", "1"]


def test_the_best_so_far_names_a_setting_and_counts_its_seeds() -> None:
    every = [job for job, _ in ROWS]
    assert best_of(every, (), {}) == ""
    assert best_of(every, (), {0: ROWS[0][1]}) == "model.units=5 (accuracy 0.2500)"
    both = {0: ROWS[0][1], 1: ROWS[1][1]}
    assert best_of(every, (), both) == "model.units=5 (accuracy 0.5000, 2 seeds)"


def test_the_summary_counts_every_kind_of_end() -> None:
    stopped = (Job(4, ["seed=3"]), JobResult(Status.STOPPED, "stopped by SIGTERM"))
    assert summary(ROWS) == "3 of 4 jobs succeeded, 1 failed"
    assert summary([*ROWS, stopped]) == "3 of 5 jobs succeeded, 1 failed, 1 stopped"
    assert summary(ROWS[:3]) == "3 of 3 jobs succeeded"


def test_the_columns_contain_every_metric_of_every_job() -> None:
    found = columns(ROWS)
    assert found["settings"][0] == "epochs=9 seed=1 model.units=5"
    assert found["test/accuracy"] == [0.25, 0.75, 0.875, None]
    assert found["result"] == ["ok", "ok", "ok", "failed"]
    assert found["error"] == ["", "", "", "it broke"]
    assert {len(column) for column in found.values()} == {4}


def test_the_columns_of_metrics_are_sorted_by_name() -> None:
    rows = [
        (Job(n, []), JobResult(Status.FINISHED, metrics={name: 1.0}))
        for n, name in enumerate("cab")
    ]
    assert list(columns(rows)) == ["job", "settings", "result", "error", "a", "b", "c"]
