"""Runs and curves as data frames, read from made-up stores."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

import echo_exp
from echo_exp.settings import SettingError

from . import stored

SETTINGS = [
    {"seed": seed, "model.units": units, "optimizer.learning_rate": rate}
    for seed, units, rate in itertools.product((1, 2), (10, 20), (0.001, 1e-05))
]
EPOCHS = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two sweeps, the second of a single setting, and a study."""
    uri = stored.make(tmp_path_factory.mktemp("store"))
    stored.sweep(uri, SETTINGS, EPOCHS)
    stored.sweep(uri, [{"seed": seed, "model.units": 30} for seed in (1, 2, 3)])
    for scale, units in (("quick", 5), ("full", 7)):
        tags = {"study": "made", "scale": scale}
        stored.sweep(uri, [{"model.units": units}], name="study/made", tags=tags)
    return uri


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A store for one test."""
    return stored.make(tmp_path)


def _sweeps(uri: str) -> list[str]:
    """The ids of the sweeps, the oldest first."""
    client = MlflowClient(uri)
    every = [found.experiment_id for found in client.search_experiments()]
    order = ["attributes.start_time ASC"]
    return [r.info.run_id for r in client.search_runs(every, "tags.kind = 'sweep'", order_by=order)]


def _typed(uri: str, *values: Any) -> "pd.Series[Any]":
    """The column of a setting with these values in the first runs; the last run lacks it."""
    stored.sweep(uri, [*({"number": n, "it": v} for n, v in enumerate(values)), {"number": -1}])
    return echo_exp.runs(sweep="last", tracking_uri=uri)["it"]


def test_a_run_is_a_row_with_the_settings_that_differ_first(store: str) -> None:
    frame = echo_exp.runs(sweep=_sweeps(store)[0], tracking_uri=store)
    names = ["model.units", "optimizer.learning_rate", "seed"]
    assert list(frame.columns[:3]) == names
    pd.testing.assert_frame_equal(frame[names], pd.DataFrame(SETTINGS)[names])
    assert frame["seed"].dtype == np.int64
    assert frame["optimizer.learning_rate"].dtype == np.float64


def test_scores_come_next_then_name_status_times_and_id(store: str) -> None:
    frame = echo_exp.runs(sweep=_sweeps(store)[0], tracking_uri=store)
    scores = list(frame.columns[3:-5])
    assert sorted(scores) == sorted(stored.SCORES)
    first = ["test/accuracy", "test/accuracy_low", "test/accuracy_high", "test/loss"]
    assert scores[:6] == [*first, "val/accuracy", "val/loss"]
    assert frame["test/loss"].tolist() == [3 / len(stored.SCORES)] * len(frame)
    assert list(frame.columns[-5:]) == ["name", "status", "start_time", "duration", "run_id"]
    assert frame["start_time"][0] == pd.Timestamp(stored.START + 1000, unit="ms", tz="UTC")
    assert frame["duration"][0] == pd.Timedelta(seconds=2.5)
    assert frame["status"].unique().tolist() == ["FINISHED"]


def test_settings_that_all_runs_share_are_an_attribute(store: str) -> None:
    shared = echo_exp.runs(sweep=_sweeps(store)[0], tracking_uri=store).attrs["shared"]
    assert shared["model"] == "Seq2Seq"
    assert shared["epochs"] == 500
    assert shared["model.stateful"] is True
    assert shared["model.padding"] is None
    assert shared["optimizer.epsilon"] == 1e-07


@pytest.mark.parametrize(
    ("values", "dtype", "read"),
    [
        ((1, 2), "Int64", [1, 2, None]),
        ((1, 0.5), "float64", [1.0, 0.5, None]),
        ((1e-07, float("inf")), "float64", [1e-07, float("inf"), None]),
        ((True, False), "boolean", [True, False, None]),
        ((None, 3), "Int64", [None, 3, None]),
        (("relu", "007"), "str", ["relu", "007", None]),
        (("auto", 3), "object", ["auto", 3, None]),
        ((2**70, 1), "object", [2**70, 1, None]),
        ((True, "auto"), "object", [True, "auto", None]),
    ],
)
def test_a_setting_has_one_type(
    own: str, values: Sequence[Any], dtype: str, read: Sequence[Any]
) -> None:
    column = _typed(own, *values)
    assert column.dtype == dtype
    assert [None if pd.isna(value) else value for value in column] == read


def test_null_and_absent_settings_are_both_missing_values(own: str) -> None:
    stored.sweep(own, [{"seed": 1, "it": None}, {"seed": 2}])
    frame = echo_exp.runs(sweep="last", tracking_uri=own)
    assert "it" not in frame
    assert frame.attrs["shared"]["it"] is None


def test_the_last_sweep_is_the_newest_of_the_store(store: str) -> None:
    frame = echo_exp.runs(sweep="last", tracking_uri=store)
    assert frame.attrs["shared"]["model.units"] == 7


@pytest.mark.parametrize(
    ("asked", "units"),
    [
        ({"study": "made"}, [5, 7]),
        ({"study": "made", "filter": "params.`model.units` = '7'"}, [7]),
        ({"experiment": "study/made"}, [5, 7]),
        ({"filter": "params.`model.units` LIKE '3%'"}, [30, 30, 30]),
        ({"filter": "metrics.`test/accuracy` > 2"}, []),
    ],
)
def test_each_argument_chooses_its_runs(
    store: str, asked: dict[str, Any], units: list[int]
) -> None:
    frame = echo_exp.runs(**asked, tracking_uri=store)
    every = frame.assign(**frame.attrs["shared"])
    assert every.get("model.units", pd.Series()).tolist() == units


@pytest.mark.parametrize(("scale", "units"), [("quick", 5), ("full", 7)])
def test_the_runs_of_one_scale_of_a_study_can_be_chosen(store: str, scale: str, units: int) -> None:
    frame = echo_exp.runs(study="made", scale=scale, tracking_uri=store)
    assert frame.attrs["shared"]["model.units"] == units


def test_runs_can_be_given_by_id(store: str) -> None:
    ids = echo_exp.runs(filter="", tracking_uri=store)["run_id"]
    frame = echo_exp.runs(runs=[ids[9], ids[1], ids[1]], tracking_uri=store)
    assert frame["run_id"].tolist() == [ids[1], ids[9]]
    assert echo_exp.runs(runs=[], tracking_uri=store).empty


def test_a_run_that_has_not_ended_has_no_duration(own: str) -> None:
    number = stored.experiment(own)
    MlflowClient(own).create_run(str(number))
    frame = echo_exp.runs(experiment="echo", tracking_uri=own)
    assert frame["status"].tolist() == ["RUNNING"]
    assert frame["duration"].isna().tolist() == [True]


def test_deleted_runs_are_left_out(own: str) -> None:
    stored.sweep(own, SETTINGS[:2])
    ids = echo_exp.runs(sweep="last", tracking_uri=own)["run_id"]
    MlflowClient(own).delete_run(ids[0])
    assert echo_exp.runs(sweep="last", tracking_uri=own)["run_id"].tolist() == [ids[1]]
    with pytest.raises(SettingError, match=f"runs={ids[0]} .* or it was deleted"):
        echo_exp.runs(runs=ids, tracking_uri=own)


def test_a_frame_survives_parquet(store: str, tmp_path: Path) -> None:
    frame = echo_exp.runs(study="made", tracking_uri=store)
    frame.to_parquet(tmp_path / "runs.parquet")
    again = pd.read_parquet(tmp_path / "runs.parquet")
    pd.testing.assert_frame_equal(again, frame)
    assert again.attrs == frame.attrs


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "sweep=, study=, experiment=, runs= or filter= must select"),
        ({"sweep": "last", "study": "made"}, "study=made .* cannot be combined with sweep="),
        ({"scale": "full"}, "scale=full .* it needs study="),
        ({"study": "made", "scale": "huge"}, "scale=huge .* has runs of the scales full, quick"),
        ({"sweep": "123"}, "sweep=123 .* `last` or the id of a sweep of sqlite.* tracking_uri="),
        ({"study": "other"}, "study=other .* has no such study; it has made"),
        ({"experiment": "other"}, "experiment=other .* it has Default, echo, study/made"),
        ({"runs": ["123"]}, "runs=123 .* has no such training"),
        ({"runs": "123"}, "runs=123 .* must be a list of ids"),
        ({"filter": "units > 3 or"}, "filter=units > 3 or is not allowed: Invalid clause"),
        ({"sweep": "last", "filter": "metrics.m > 'a'"}, "Expected numeric value type"),
        ({"sweep": 3}, "sweep=3 .* must be a string"),
    ],
)
def test_unknown_runs_are_refused(store: str, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words) as error:
        echo_exp.runs(**asked, tracking_uri=store)
    assert "\n" not in str(error.value)


def test_a_training_is_refused_as_a_sweep(store: str) -> None:
    first = _sweeps(store)[0]
    run = echo_exp.runs(sweep=first, tracking_uri=store)["run_id"][0]
    with pytest.raises(SettingError, match=f"a single run; sweep={first} selects its sweep"):
        echo_exp.runs(sweep=run, tracking_uri=store)


def test_asking_for_a_deleted_sweep_or_experiment_says_how_to_restore_it(own: str) -> None:
    client = MlflowClient(own)
    parent = stored.sweep(own, SETTINGS[:1], name="study/made")
    client.delete_run(parent)
    with pytest.raises(SettingError, match=f"sweep={parent} .* restores it"):
        echo_exp.runs(sweep=parent, tracking_uri=own)
    client.delete_experiment(str(stored.experiment(own, "study/made")))
    for asked in ({"study": "made"}, {"experiment": "study/made"}):
        with pytest.raises(SettingError, match=r"was deleted in MLflow.* restores it"):
            echo_exp.runs(**asked, tracking_uri=own)


def test_a_missing_store_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="there is no such store yet"):
        echo_exp.runs(sweep="last", tracking_uri=f"sqlite:///{tmp_path}/none.db")
    assert not list(tmp_path.iterdir())


def test_curves_have_one_row_per_run_metric_and_epoch(store: str) -> None:
    frame = echo_exp.runs(sweep=_sweeps(store)[0], tracking_uri=store)
    long = echo_exp.curves(frame, ["train/loss"], tracking_uri=store)
    settings = ["model.units", "optimizer.learning_rate", "seed"]
    assert list(long) == ["run_id", *settings, "metric", "epoch", "value"]
    assert long["run_id"].tolist() == [run for run in frame["run_id"] for _ in range(EPOCHS)]
    assert long["epoch"].tolist() == [*range(1, EPOCHS + 1)] * len(frame)
    assert long["value"].tolist() == [1 / epoch for epoch in long["epoch"]]
    assert long["metric"].unique().tolist() == ["train/loss"]
    assert long["model.units"].tolist() == frame["model.units"].repeat(EPOCHS).tolist()


def test_curves_of_some_runs_have_the_settings_in_which_these_differ(store: str) -> None:
    frame = echo_exp.runs(sweep=_sweeps(store)[0], tracking_uri=store)
    part = frame[(frame["seed"] == 1) & (frame["model.units"] == 10)]
    long = echo_exp.curves(part, tracking_uri=store)
    assert list(long.columns[1:2]) == ["optimizer.learning_rate"]
    pd.testing.assert_frame_equal(echo_exp.curves(list(part["run_id"]), None, store), long)


@pytest.fixture
def logged(own: str) -> tuple[str, str]:
    """A store and a run that the client has written."""
    client = MlflowClient(own)
    run = client.create_run(str(stored.experiment(own))).info.run_id
    values = {3: float("nan"), 1: float("inf"), 2: -0.5}
    client.log_batch(run, [Metric("val/loss", v, 0, step) for step, v in values.items()])
    client.log_batch(run, [Metric("train/loss", 1.0, 0, 2), Metric("test/accuracy", 0.5, 0, 0)])
    return own, run


def test_metrics_are_ordered_and_values_are_those_that_were_logged(
    logged: tuple[str, str],
) -> None:
    uri, run = logged
    long = echo_exp.curves([run], tracking_uri=uri)
    assert long["metric"].tolist() == ["train/loss", *["val/loss"] * 3]
    assert long["epoch"].tolist() == [2, 1, 2, 3]
    np.testing.assert_array_equal(long["value"], [1.0, np.inf, -0.5, np.nan])
    last = echo_exp.runs(runs=[run], tracking_uri=uri)
    assert last["val/loss"].isna().tolist() == [True]


def test_other_metrics_can_be_chosen(logged: tuple[str, str]) -> None:
    uri, run = logged
    long = echo_exp.curves([run], ["test/accuracy"], tracking_uri=uri)
    assert long[["metric", "epoch", "value"]].to_numpy().tolist() == [["test/accuracy", 0, 0.5]]
    for wrong, words in ((["loss"], "metrics=loss .* the runs have"), ("loss", "a list of names")):
        with pytest.raises(SettingError, match=words):
            echo_exp.curves([run], wrong, tracking_uri=uri)


def test_curves_require_runs(store: str) -> None:
    with pytest.raises(SettingError, match="must have a column run_id"):
        echo_exp.curves(pd.DataFrame({"seed": [1]}), tracking_uri=store)
    assert echo_exp.curves([], tracking_uri=store).empty
