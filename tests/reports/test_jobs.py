"""The jobs of a sweep, read back from a real store."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra.initialize import initialize_config_dir
from mlflow.entities import Metric, Param, Run
from mlflow.tracking import MlflowClient

from echo_exp import configuration
from echo_exp.commands import report
from echo_exp.reports import jobs
from echo_exp.reports.records import NEVER_RUN
from echo_exp.settings import SettingError
from echo_exp.sweeps import study
from echo_exp.sweeps.search.goals import Constraint
from echo_exp.tracking import PRUNED_TAG, TrackingSettings
from echo_exp.tracking.access.connection import Access, reach
from echo_exp.tracking.ui.view import MEMBER, SWEPT_TAG, member

from . import made

METRICS = {"test/accuracy": 0.75, "fit_seconds": 3.0}


@pytest.fixture
def access(tmp_path: Path) -> Access:
    access = reach(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"))
    access.client.create_experiment("echo", (tmp_path / "artifacts").as_uri())
    return access


def _create(client: MlflowClient, tags: Mapping[str, str]) -> Run:
    experiment = client.get_experiment_by_name("echo")
    assert experiment is not None
    return client.create_run(experiment.experiment_id, tags={**tags})


def _parent(client: MlflowClient, *marks: str) -> Run:
    tags = {"kind": "sweep", SWEPT_TAG: "model.units, seed", "mlflow.runName": "a sweep"}
    run = _create(client, tags)
    if marks:
        columns = ["job", "settings", "fingerprint", "code", "problem"]
        rows = [[n, f"job {n}", mark, "", ""] for n, mark in enumerate(marks)]
        client.log_text(
            run.info.run_id, json.dumps({"columns": columns, "data": rows}), "plan.json"
        )
    return client.get_run(run.info.run_id)


def _run(
    client: MlflowClient, parent: Run, mark: str, status: str = "FINISHED", **params: Any
) -> str:
    tag = {member(parent.info.run_id): MEMBER, "kind": "run", "fingerprint": mark}
    run_id = str(_create(client, tag).info.run_id)
    given = {"replicas": 1, "seed": 1} | {k.replace("__", "."): v for k, v in params.items()}
    metrics = [Metric(name, score, 0, 0) for name, score in METRICS.items()]
    metrics += [Metric("val/accuracy", epoch / 100, epoch, epoch) for epoch in (25, 50)]
    client.log_batch(run_id, metrics, [Param(k, str(v)) for k, v in given.items()])
    client.set_terminated(run_id, status)
    return run_id


def test_the_report_of_a_study_belongs_to_the_parent_with_its_cells(access: Access) -> None:
    parents = {}
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        cells = {n: study.wanted(made.study({"model.units": n}).cells) for n in (5, 6, 7)}
    for units in (5, 6, 6):
        parents[units] = _parent(access.client).info.run_id
        mark = study.cells_mark(wanted.fingerprint for wanted in cells[units])
        access.client.set_tag(parents[units], study.CELLS, mark)
    settings = TrackingSettings(uri=access.uri, experiment="echo")
    found = {n: [r.info.run_id for r in report._parents(access, settings, cells[n])] for n in cells}
    assert found == {5: [parents[5]], 6: [parents[6]], 7: []}


def test_settings_have_their_types_and_seeds_are_grouped(access: Access) -> None:
    parent = _parent(access.client, "a", "b", "c")
    for mark, units, seed in (("a", 10, 1), ("b", 10, 2), ("c", 20, 1)):
        _run(access.client, parent, mark, model__units=units, seed=seed, model__stateful=True)
    found = jobs.read(access, parent)
    assert found.factors == ("model.units",)
    assert [(s.named, len(s.jobs)) for s in found.settings] == [("units 10", 2), ("units 20", 1)]
    assert found.settings[0].values == {"model.units": 10}
    assert found.settings[0].scores("test/accuracy").tolist() == [0.75, 0.75]
    assert found.shared == {"replicas": 1, "model.stateful": True}


def test_names_have_only_the_digits_that_distinguish_settings(access: Access) -> None:
    parent = _create(access.client, {"kind": "sweep", SWEPT_TAG: "optimizer.learning_rate"})
    for mark, rate in (("a", 0.123456), ("b", 0.5432109), ("c", 0.5432111)):
        _run(access.client, parent, mark, optimizer__learning_rate=rate)
    names = [setting.named for setting in jobs.read(access, parent).settings]
    assert names == ["lr 0.1235", "lr 0.5432109", "lr 0.5432111"]


def test_a_trial_that_its_search_gave_up_is_called_pruned(access: Access) -> None:
    parent = _parent(access.client)
    _run(access.client, parent, "a", model__units=1)
    given_up = _run(access.client, parent, "b", "KILLED", model__units=2)
    access.client.set_tag(given_up, PRUNED_TAG, "25")
    assert {job.status for job in jobs.read(access, parent).jobs} == {"FINISHED", "pruned"}


def test_a_planned_job_has_its_newest_finished_run_or_else_its_newest_run(access: Access) -> None:
    parent = _parent(access.client, "a", "b", "c")
    finished = _run(access.client, parent, "a", model__units=1)
    _run(access.client, parent, "a", "FAILED", model__units=1)
    killed = _run(access.client, parent, "b", "KILLED", model__units=2)
    found = jobs.read(access, parent)
    assert [(job.status, job.run_id) for job in found.jobs] == [
        ("FINISHED", finished),
        ("KILLED", killed),
        (NEVER_RUN, None),
    ]
    assert found.jobs[2].named == "job 2"


def test_a_run_of_another_sweep_may_belong_to_this_one(access: Access) -> None:
    other, parent = _parent(access.client), _parent(access.client, "a")
    run_id = _run(access.client, other, "a", model__units=1)
    access.client.set_tag(run_id, member(parent.info.run_id), MEMBER)
    assert [job.run_id for job in jobs.read(access, parent).finished] == [run_id]


def test_an_older_sweep_finds_its_jobs_by_their_parent_only(access: Access) -> None:
    parent = _create(access.client, {"kind": "sweep"})
    for seed in (1, 2):
        tags = {"mlflow.parentRunId": parent.info.run_id, "kind": "run"}
        run_id = _create(access.client, tags).info.run_id
        params = [Param("seed", str(seed)), Param("replicas", "1")]
        access.client.log_batch(run_id, [Metric("test/accuracy", 0.5, 0, 0)], params)
        access.client.set_terminated(run_id)
    found = jobs.read(access, access.client.get_run(parent.info.run_id))
    assert found.axes == ("seed",)
    assert len(found.finished) == 2


def test_replicas_are_seeds(access: Access) -> None:
    parent = _parent(access.client, "a")
    run_id = _run(access.client, parent, "a", replicas=2, model__units=1)
    table = {"columns": ["seed", "test/accuracy"], "data": [[7, 0.5], [8, None]]}
    access.client.log_text(run_id, json.dumps(table), "replicas.json")
    (job,) = jobs.read(access, parent).jobs
    assert job.seeds == [7, 8]
    np.testing.assert_array_equal(job.scores["test/accuracy"], [0.5, np.nan])


def test_replicas_have_the_scores_of_their_last_validation(access: Access, tmp_path: Path) -> None:
    parent = _parent(access.client, "a")
    run_id = _run(access.client, parent, "a", replicas=2, model__units=1)
    table = {"columns": ["seed", "test/accuracy"], "data": [[7, 0.5], [8, 0.6]]}
    access.client.log_text(run_id, json.dumps(table), "replicas.json")
    epochs = {"seed": [7] * 3 + [8] * 3, "epoch": [1, 2, 3] * 2}
    validated = {"val/loss": [np.nan, 1, 2, np.nan, 3, 4], "val/accuracy": [np.nan, 0.1, 0.2] * 2}
    pd.DataFrame(epochs | validated).to_parquet(tmp_path / "curves.parquet")
    access.client.log_artifact(run_id, str(tmp_path / "curves.parquet"))
    (setting,) = jobs.read(access, parent).settings
    assert setting.scores("val/loss").tolist() == [2, 4]
    assert setting.measured("val/accuracy")
    assert setting.fulfils(Constraint("val/accuracy", False, 0.2))
    assert not setting.fulfils(Constraint("val/loss", True, 2.9))


def test_curves_of_seeds_with_different_epochs_end_where_they_do(access: Access) -> None:
    parent = _parent(access.client, "a", "b")
    longer = _run(access.client, parent, "a", model__units=1, seed=1)
    _run(access.client, parent, "b", model__units=1, seed=2)
    access.client.log_metric(longer, "val/accuracy", 0.9, step=75)
    (setting,) = jobs.read(access, parent).settings
    epochs, values = jobs.curves(access, [setting])["units 1"]
    assert epochs.tolist() == [25, 50, 75]
    np.testing.assert_array_equal(values, [[0.25, 0.25], [0.5, 0.5], [0.9, np.nan]])


def test_a_sweep_without_a_finished_job_is_refused_with_the_reason(access: Access) -> None:
    parent = _parent(access.client, "a")
    run_id = _run(access.client, parent, "a", "FAILED")
    access.client.set_tag(run_id, "error", "DivergedError: not finite\nmore")
    with pytest.raises(SettingError, match="has finished: DivergedError: not finite"):
        jobs.read(access, parent)
