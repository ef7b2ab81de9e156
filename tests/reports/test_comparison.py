"""The report that compares any runs."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Metric, Param
from scipy import stats

from echo_exp.reports import comparison
from echo_exp.reports.estimates import Estimate
from echo_exp.reports.jobs import Job
from echo_exp.reports.records import FINISHED
from echo_exp.settings import SettingError
from echo_exp.tracking.access.connection import Access, reach

METRIC = "test/accuracy"


@pytest.fixture
def access(tmp_path: Path) -> Access:
    access = reach(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"))
    for name in ("echo", "other"):
        access.client.create_experiment(name, (tmp_path / "artifacts").as_uri())
    return access


def _run(access: Access, accuracy: float, experiment: str = "echo", **params: Any) -> str:
    folder = access.client.get_experiment_by_name(experiment)
    assert folder is not None
    run_id = access.client.create_run(folder.experiment_id, tags={"kind": "run"}).info.run_id
    scores = {METRIC: accuracy, f"{METRIC}_low": accuracy - 0.1, f"{METRIC}_high": accuracy + 0.1}
    metrics = [Metric(name, score, 0, 0) for name, score in scores.items()]
    metrics += [Metric("val/accuracy", accuracy * e / 2, e, e) for e in (1, 2)]
    given = {"replicas": 1, "seed": 1, **params}
    access.client.log_batch(run_id, metrics, [Param(k, str(v)) for k, v in given.items()])
    access.client.set_terminated(run_id)
    return str(run_id)


def _compare(access: Access, which: Any) -> comparison.Comparison:
    return comparison.compare(access, comparison.find(access, "echo", which), METRIC)


def test_only_the_settings_that_differ_are_compared(access: Access) -> None:
    ids = [_run(access, 0.5, units=10), _run(access, 0.75, units=20)]
    found = _compare(access, ids)
    assert found.axes == ("units",)
    assert [job.named for job in found.jobs] == ["units 10", "units 20"]


def test_a_report_has_scores_differences_and_curves(access: Access, tmp_path: Path) -> None:
    ids = [_run(access, 0.5, units=10), _run(access, 0.75, units=20)]
    found = _compare(access, ids)
    lines = comparison.write(found, comparison.curves_of(access, found), tmp_path / "report")
    assert lines == [
        "units 10: 0.500 (0.400 to 0.600)",
        "units 20: 0.750 (0.650 to 0.850); against the first 0.250 (0.109 to 0.391)",
    ]
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"report.md", "report.html", "runs.csv", "curves.png", "curves.svg"}
    frame = pd.read_csv(tmp_path / "report" / "runs.csv")
    assert frame[["units", METRIC]].to_numpy().tolist() == [[10, 0.5], [20, 0.75]]


def test_runs_of_different_experiments_can_be_given_by_id(access: Access) -> None:
    ids = [_run(access, 0.5, units=1), _run(access, 0.5, "other", units=2)]
    assert len(comparison.find(access, "echo", ids)) == 2


def test_runs_with_the_same_settings_are_told_apart_by_their_ids(access: Access) -> None:
    ids = [_run(access, score, units=1) for score in (0.5, 0.75)]
    for run_id in ids:
        access.client.update_run(run_id, name="the same")
    found = _compare(access, ids)
    assert [each.named.rpartition(" ")[2] for each in found.jobs] == [f"({i[:8]})" for i in ids]
    assert len(comparison.curves_of(access, found)) == 2


def test_runs_can_be_given_by_a_filter_or_as_last(access: Access) -> None:
    low, high = _run(access, 0.2), _run(access, 0.9)
    found = comparison.find(access, "echo", "metrics.`test/accuracy` > 0.5")
    assert [run.info.run_id for run in found] == [high]
    assert [run.info.run_id for run in comparison.find(access, "echo", [low, "last"])] == [
        low,
        high,
    ]


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        ("metrics.m >", "MLflow refuses it"),
        ("params.seed = '9'", "it matches no run of experiment echo"),
        (["nobody"], "it must be `last`"),
        (3, "it must be a list of run ids"),
        ([], "no run"),
    ],
)
def test_an_argument_that_matches_no_runs_is_refused(
    access: Access, which: Any, reason: str
) -> None:
    _run(access, 0.5)
    with pytest.raises(SettingError, match=reason):
        comparison.find(access, "echo", which)


def test_runs_without_scores_are_refused(access: Access) -> None:
    run_id = _run(access, 0.5)
    access.client.update_run(run_id, status="FAILED")
    with pytest.raises(SettingError, match=f"none has finished: {run_id} is FAILED"):
        _compare(access, [run_id])


def test_a_score_over_seeds_has_students_interval() -> None:
    values = np.array([0.4, 0.5, 0.6, np.nan])
    found = comparison.score(Job(FINISHED, "", {}, "x", range(4), {METRIC: values}), METRIC)
    low, high = stats.t.interval(0.95, 2, 0.5, stats.sem(values[:3]))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, low, high))
    assert math.isnan(comparison.score(Job(FINISHED, "", {}), METRIC).value)


def test_the_interval_of_a_share_ends_at_1() -> None:
    values = np.array([0.7, 0.8, 0.9])
    found = comparison.score(Job(FINISHED, "", {}, "x", range(3), {METRIC: values}), METRIC)
    assert found.high == 1
    assert found.low > 0


def test_a_difference_of_equal_intervals_is_wider_by_the_root_of_two() -> None:
    found = comparison.difference(Estimate(0.5, 0.4, 0.6), Estimate(0.7, 0.6, 0.8))
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.2, 0.2 - 0.1 * math.sqrt(2), 0.2 + 0.1 * math.sqrt(2))
    )
