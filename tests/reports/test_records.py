"""A study's runs, read back from a real store."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Param
from mlflow.tracking import MlflowClient

from echo_exp.reports import records
from echo_exp.running.resume import REPEATS
from echo_exp.sweeps.study import Cell, Wanted
from echo_exp.tracking import UnreachableError
from echo_exp.tracking.access import database, server
from echo_exp.tracking.access.connection import Access, reach

CELL = Cell({"model.units": 1}, {})


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Access:
    folder = tmp_path_factory.mktemp("store")
    access = reach(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"))
    access.client.create_experiment("study/made", (folder / "artifacts").as_uri())
    return access


@pytest.fixture(scope="module")
def client(access: Access) -> MlflowClient:
    return access.client


def _run(
    client: MlflowClient,
    mark: str,
    status: str,
    replicas: int = 1,
    seed: int = 5,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> str:
    experiment = client.get_experiment_by_name("study/made")
    assert experiment is not None
    tags = {**tags, "kind": "run", "fingerprint": mark}
    run = client.create_run(experiment.experiment_id, tags=tags)
    run_id = str(run.info.run_id)
    client.log_batch(run_id, params=[Param("replicas", str(replicas)), Param("seed", str(seed))])
    for name, value in {"fit_seconds": 3.0, "parameters": 10.0, "test/accuracy": 0.75}.items():
        client.log_metric(run_id, name, value)
    for epoch in (25, 50):
        client.log_metric(run_id, "val/accuracy", epoch / 100, step=epoch)
    client.set_terminated(run_id, status)
    return run_id


def _wanted(mark: str, seeds: range = range(5, 6)) -> Wanted:
    return Wanted(CELL, 50, seeds, mark, f"{mark} but seeds")


def _read(access: Access, mark: str) -> records.Record:
    (record,) = records.read(access, "study/made", [_wanted(mark)])
    return record


def test_a_run_of_one_seed_is_read_from_its_metrics(access: Access, client: MlflowClient) -> None:
    run_id = _run(client, "one", "FINISHED")
    record = _read(access, "one")
    assert (record.finished, record.runs, record.seeds) == (True, [run_id], [5])
    assert (record.seconds, record.parameters) == (3.0, 10)
    assert record.scores["test/accuracy"].tolist() == [0.75]
    assert record.scores["val/accuracy"].tolist() == [0.5]
    assert np.isnan(record.epochs_to_solve).tolist() == [True]
    epochs, values = record.curves["val/accuracy"]
    assert epochs.tolist() == [25, 50]
    assert values.tolist() == [[0.25], [0.5]]


def test_a_diverged_seed_counts_as_nothing_right(
    access: Access, client: MlflowClient, tmp_path: Path
) -> None:
    run_id = _run(client, "many", "FINISHED", replicas=2)
    table = {
        "columns": ["seed", "test/accuracy", "test/loss", "epochs_to_solve", "diverged"],
        "data": [[5, 0.9, 0.1, 25, None], [6, None, None, None, 30]],
    }
    (tmp_path / "replicas.json").write_text(json.dumps(table), encoding="utf-8")
    validated = {
        "val/loss": [np.nan, 0.2, np.nan, 0.1, np.nan, 0.3, np.nan, np.nan],
        "val/accuracy": [np.nan, 0.8, np.nan, 0.9, np.nan, 0.7, np.nan, np.nan],
    }
    pd.DataFrame({"seed": [5] * 4 + [6] * 4, **validated}).to_parquet(tmp_path / "curves.parquet")
    for file in ("replicas.json", "curves.parquet"):
        client.log_artifact(run_id, str(tmp_path / file))
    record = _read(access, "many")
    assert record.seeds == [5, 6]
    assert record.scores["test/accuracy"].tolist() == [0.9, 0]
    assert record.scores["val/accuracy"].tolist() == [0.9, 0]
    assert np.isnan(record.scores["test/loss"]).tolist() == [False, True]
    assert record.diverged == 1
    epochs, values = record.curves["val/accuracy"]
    assert epochs.tolist() == [2, 4]
    assert values.tolist() == pytest.approx(np.array([[0.8, 0.7], [0.9, 0]]))


def test_a_finished_run_is_preferred_to_a_newer_failed_one(
    access: Access, client: MlflowClient
) -> None:
    finished = _run(client, "twice", "FINISHED")
    _run(client, "twice", "FAILED")
    assert _read(access, "twice").runs == [finished]


def _part(client: MlflowClient, cell: str, seed: int, code: str = "now") -> str:
    """A finished run of one seed of a cell."""
    tags = {REPEATS: f"{cell} but seeds", "code": code}
    return _run(client, f"{cell} {seed} {code}", "FINISHED", seed=seed, tags=tags)


def test_a_cell_is_made_of_the_runs_that_have_its_seeds(
    access: Access, client: MlflowClient
) -> None:
    made = [_part(client, "added to", seed) for seed in (6, 5, 7)]
    wanted = _wanted("added to", range(5, 8))
    (record,) = records.read(access, "study/made", [wanted])
    assert (record.finished, record.seeds) == (True, [5, 6, 7])
    assert record.runs == [made[1], made[0], made[2]]
    assert record.scores["test/accuracy"].tolist() == [0.75] * 3
    assert record.curves["val/accuracy"][1].tolist() == [[0.25] * 3, [0.5] * 3]
    assert record.seconds == 9.0
    (part,) = records.read(access, "study/made", [_wanted("added to", range(5, 7))])
    assert (part.seeds, part.further) == ([5, 6], 1)
    cells = [_wanted("added to", range(5, 6)), _wanted("added to", range(6, 8))]
    assert [each.further for each in records.read(access, "study/made", cells)] == [0, 0]


def test_the_runs_of_a_cell_have_the_same_code(access: Access, client: MlflowClient) -> None:
    wanted = _wanted("changed", range(5, 7))
    old = [_part(client, "changed", seed, "old") for seed in (5, 6)]
    _part(client, "changed", 6)
    (record,) = records.read(access, "study/made", [wanted])
    assert record.runs == old
    new = _part(client, "changed", 5)
    (record,) = records.read(access, "study/made", [wanted])
    assert new in record.runs
    assert not {*old} & {*record.runs}


def test_a_cell_with_only_some_of_its_seeds_has_not_finished(
    access: Access, client: MlflowClient
) -> None:
    _part(client, "begun", 5)
    _part(client, "begun", 9)  # which is not wanted
    (record,) = records.read(access, "study/made", [_wanted("begun", range(5, 8))])
    assert (record.status, record.runs) == (records.INCOMPLETE, [])
    assert record.error == "1 of 3 seeds finished"


def test_an_unfinished_run_counts_only_if_its_seeds_have_not_finished(
    access: Access, client: MlflowClient
) -> None:
    _part(client, "superseded", 5)
    tags = {REPEATS: "superseded but seeds"}
    failed = {seed: _run(client, "", "FAILED", seed=seed, tags=tags) for seed in (6, 5)}
    (record,) = records.read(access, "study/made", [_wanted("superseded", range(5, 7))])
    assert (record.status, record.runs) == ("FAILED", [failed[6]])


def test_a_run_that_was_killed_before_its_settings_were_stored_is_ignored(
    access: Access, client: MlflowClient
) -> None:
    experiment = client.get_experiment_by_name("study/made")
    assert experiment is not None
    tags = {"kind": "run", REPEATS: "killed but seeds"}
    client.create_run(experiment.experiment_id, tags=tags)
    assert _read(access, "killed").status == records.NEVER_RUN


def test_the_reason_of_added_seeds_that_failed_without_a_run_is_known(
    access: Access, client: MlflowClient
) -> None:
    _part(client, "refused part", 5)
    experiment = client.get_experiment_by_name("study/made")
    assert experiment is not None
    tags = {"kind": "sweep", "failed.refused part but seeds": "no memory"}
    client.create_run(experiment.experiment_id, tags=tags)
    (record,) = records.read(access, "study/made", [_wanted("refused part", range(5, 8))])
    assert (record.status, record.error) == ("FAILED", "no memory")


def test_the_curve_of_a_run_that_ends_early_is_filled(access: Access, client: MlflowClient) -> None:
    """A score that only some runs have is left out; a seed without a value has diverged."""
    for seed in (5, 6):
        run_id = _part(client, "shorter", seed)
        if seed == 6:
            client.log_metric(run_id, "val/accuracy", 0.75, step=75)
            client.log_metric(run_id, "test/edits", 2.0)
    (record,) = records.read(access, "study/made", [_wanted("shorter", range(5, 7))])
    epochs, values = record.curves["val/accuracy"]
    assert epochs.tolist() == [25, 50, 75]
    assert values.tolist() == [[0.25, 0.25], [0.5, 0.5], [0.0, 0.75]]
    assert "test/edits" not in record.scores


@pytest.mark.parametrize(("mark", "status"), [("failed", "FAILED"), (None, "never run")])
def test_an_unfinished_run_has_a_status_and_no_scores(
    access: Access, client: MlflowClient, mark: str | None, status: str
) -> None:
    if mark is not None:
        _run(client, mark, status)
    record = _read(access, mark or "unknown")
    assert (record.finished, record.status) == (False, status)
    assert not record.scores
    assert not len(record.seeds)
    assert record.error == ""


def test_a_failed_run_gives_its_reason_in_one_line(access: Access, client: MlflowClient) -> None:
    run_id = _run(client, "diverged", "FAILED")
    client.set_tag(run_id, "error", "DivergedError: the loss\nand more")
    assert _read(access, "diverged").error == "DivergedError: the loss"
    client.set_terminated(run_id, "FINISHED")
    client.update_run(run_id, status="RUNNING")  # it is tried again
    assert _read(access, "diverged").error == ""


def test_a_job_that_failed_before_it_had_a_run_is_known_from_its_sweep(
    access: Access,
    client: MlflowClient,
) -> None:
    experiment = client.get_experiment_by_name("study/made")
    assert experiment is not None
    for why in ("problem.n_out=2 is not allowed", "model.units=9 is not allowed"):  # the newest
        tags = {"kind": "sweep", "failed.refused": why}
        client.create_run(experiment.experiment_id, tags=tags)
    record = _read(access, "refused")
    assert (record.status, record.runs) == ("FAILED", [])
    assert record.error == "model.units=9 is not allowed"
    _run(client, "refused", "RUNNING")
    assert _read(access, "refused").status == "RUNNING"


def test_a_store_without_the_study_has_no_runs(access: Access, client: MlflowClient) -> None:
    (record,) = records.read(access, "study/other", [_wanted("one")])
    assert record.status == "never run"


def test_the_cells_of_a_study_are_read_together(
    access: Access, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = [f"together {number}" for number in range(5)]
    made = [_run(client, mark, "FINISHED") for mark in marks]
    asked: list[str] = []
    search = MlflowClient.search_runs

    def counted(self: MlflowClient, experiments: list[str], query: str, **given: object) -> object:
        asked.append(query)
        return search(self, experiments, query, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(MlflowClient, "search_runs", counted)
    cells = [_wanted(mark) for mark in ("none", *marks)]
    found = records.read(access, "study/made", cells)
    assert [each.runs for each in found] == [[], *([run_id] for run_id in made)]
    sweeps = [query for query in asked if "kind" in query]
    assert len(asked) - len(sweeps) == 1  # the runs, which no sweep has


def test_a_database_and_a_server_find_the_same_cells(access: Access, client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name("study/made")
    assert experiment is not None
    number, values = experiment.experiment_id, ["found", "also found"]
    ids = {_run(client, "found", status) for status in ("FINISHED", "FAILED")}
    ids.add(_run(client, "also found", "RUNNING"))
    _run(client, "not asked for", "FINISHED")
    client.delete_run(_run(client, "found", "FINISHED"))
    client.create_run(number, tags={"kind": "sweep", "fingerprint": "found"})
    other = client.create_experiment("study/other than made")
    client.create_run(other, tags={"kind": "run", "fingerprint": "found"})
    found = sorted(database.tagged(access.uri, number, "fingerprint", values))
    assert {each.run_id for each in found} == ids
    assert found == sorted(server.tagged(client, number, "fingerprint", values))


def test_a_cell_in_an_unreachable_store_is_not_reported_as_missing(
    access: Access, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(client, "away", "FINISHED", replicas=2)

    def away(*_: object) -> None:
        raise ConnectionError("timed out")

    assert _read(access, "away").status == records.UNREADABLE
    monkeypatch.setattr(Access, "folder", away)
    with pytest.raises(UnreachableError, match=r"replicas\.json .*timed out"):
        _read(access, "away")
