"""The report of a sweep, for made-up jobs with known answers."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from echo_exp.reports import sweep_figures, sweep_page
from echo_exp.reports.jobs import Job, Jobs
from echo_exp.reports.records import FAILED, FINISHED, NEVER_RUN
from echo_exp.settings import SettingError
from echo_exp.sweeps import plan, table
from echo_exp.sweeps.job import JobResult, Status

from .sweeps import sweep

SEEDS = (1, 2, 3)


def _accuracy(values: Mapping[str, Any]) -> float:
    """An accuracy that grows with the units and hardly depends on the seed."""
    return float(values["model.units"] / 50 + values["seed"] / 1000)


def _text(folder: Path) -> str:
    return (folder / "report.md").read_text(encoding="utf-8")


def _drawn(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.png")}


def test_one_factor_is_answered_by_its_best_value(tmp_path: Path) -> None:
    found = sweep(_accuracy, model__units=(10, 20, 40), seed=SEEDS)
    said, lines = sweep_page.write(found, {}, tmp_path)
    assert said == "Best: units 40: 0.8020 (0.7995 to 0.8045, 3 seeds); all 2 others are worse."
    assert lines[0] == "  units 40  0.8020 (0.7995 to 0.8045, 3 seeds)"
    assert lines[1].endswith("worse")
    assert said.replace(":", ":") in _text(tmp_path)
    assert _drawn(tmp_path) == {"scores"}
    ranking = pd.read_csv(tmp_path / "ranking.csv")
    assert ranking["model.units"].tolist() == [40, 20, 10]
    assert ranking["seeds"].tolist() == [3, 3, 3]
    assert len(pd.read_csv(tmp_path / "jobs.csv")) == 9


def test_two_factors_have_their_shares_of_the_variance(tmp_path: Path) -> None:
    rates = {"model__units": (10, 20), "optimizer__learning_rate": (0.001, 0.003), "seed": SEEDS}
    sweep_page.write(sweep(_accuracy, **rates), {}, tmp_path)
    assert _drawn(tmp_path) == {"scores", "importance"}
    assert "| model.units |" in _text(tmp_path)


def test_four_factors_are_drawn_one_by_one_and_as_lines(tmp_path: Path) -> None:
    found = sweep(
        _accuracy,
        model__units=(10, 20),
        model__layers=(1, 2),
        optimizer__learning_rate=(0.001, 0.003),
        representation=("OneHot", "Scaled"),
        seed=(1, 2),
    )
    said, _ = sweep_page.write(found, {}, tmp_path)
    assert _drawn(tmp_path) == {"scores", "importance", "parallel"}
    assert "7 of the 15 others cannot be told apart" in said  # half have 20 units


def test_seeds_alone_are_one_setting(tmp_path: Path) -> None:
    found = sweep(lambda v: v["seed"] / 10, seed=SEEDS)
    said, _ = sweep_page.write(found, {}, tmp_path)
    assert said == "0.2000 (0.0000 to 0.4484, 3 seeds)."


def test_a_single_job_also_has_a_report(tmp_path: Path) -> None:
    said, _ = sweep_page.write(sweep(lambda _: 0.5, seed=[1]), {}, tmp_path)
    assert said == "0.5000 (1 seed)."


def test_unequal_seeds_and_failures_are_counted(tmp_path: Path) -> None:
    def accuracy(values: Mapping[str, Any]) -> float | None:
        return None if values == {"model.units": 40, "seed": 3} else _accuracy(values)

    made = sweep(accuracy, model__units=(20, 40), seed=SEEDS)
    missing = Job(NEVER_RUN, "model.units=80 seed=1", {})
    found = Jobs(made.run_id, made.name, made.command, made.axes, [*made.jobs, missing])
    said, lines = sweep_page.write(found, {}, tmp_path)
    assert said.startswith("Best: units 40: 0.8015 (0.7951 to 0.8079, 2 seeds, 1 failed); ")
    assert lines[-2:] == [
        "1 of 7 jobs: FAILED: DivergedError: the loss is not finite",
        "1 of 7 jobs: never run",
    ]
    assert "**never run**: model.units=80 seed=1" in _text(tmp_path)


def test_a_metric_for_which_smaller_is_better_is_ranked_that_way(tmp_path: Path) -> None:
    found = sweep(_accuracy, model__units=(10, 40), seed=SEEDS)
    said, _ = sweep_page.write(found, {}, tmp_path, "test/loss")
    assert said.startswith("Best: units 40: 0.1980 ")


def test_a_metric_that_no_run_has_is_refused_with_a_list_of_metrics(tmp_path: Path) -> None:
    found = sweep(_accuracy, model__units=(10, 40), seed=SEEDS)
    with pytest.raises(SettingError, match="test/accuracy, test/loss"):
        sweep_page.write(found, {}, tmp_path, "test/mae")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("metric", ["test/accuracy_low", "epochs_to_solve", "val/gradient_norm"])
def test_a_metric_without_a_better_direction_is_refused(tmp_path: Path, metric: str) -> None:
    found = sweep(_accuracy, model__units=(10, 40), seed=SEEDS)
    with pytest.raises(SettingError, match=r"it must be one of test/accuracy, test/loss"):
        sweep_page.write(found, {}, tmp_path, metric)


def test_seeds_that_several_jobs_share_count_once(tmp_path: Path) -> None:
    made = sweep(_accuracy, model__units=[10], seed=(1, 2))
    both = Job(FINISHED, "both", {"model.units": 10, "seed": 2, "replicas": 2}, "x", [2, 3])
    scores = {"test/accuracy": np.array([0.202, 0.203])}
    jobs = [*made.jobs, dataclasses.replace(both, scores=scores)]
    said, _ = sweep_page.write(dataclasses.replace(made, jobs=jobs), {}, tmp_path)
    assert said == "units 10: 0.2020 (0.1995 to 0.2045, 3 seeds)."


def test_the_screen_and_the_report_count_the_same_seeds() -> None:
    starts = [(1, 2, True), (2, 3, True), (4, 1, True), (1, 9, False)]  # seed, replicas, finished
    axes, jobs, rows = ("seed", "replicas"), [], []
    for number, (seed, replicas, done) in enumerate(starts):
        own = {"seed": seed, "replicas": replicas}
        seeds, scores = range(seed, seed + replicas), {"test/accuracy": np.full(replicas, 0.5)}
        status = FINISHED if done else FAILED
        jobs.append(Job(status, "", own, "x", seeds if done else (), scores if done else {}))
        result = JobResult(Status.FINISHED if done else Status.FAILED, "", {"test/accuracy": 0.5})
        rows.append((plan.Job(number, [], parameters=own, varied=own), result))
    (report,) = Jobs("abc", "a sweep", "", axes, jobs).ranking("test/accuracy")
    (screen,) = table.ranked([job for job, _ in rows], {j.number: r for j, r in rows}, axes)
    assert (report.seeds, report.lost) == (screen.seeds, screen.lost) == (3, 6)


def test_settings_drawn_by_a_search_are_scattered_over_each_axis() -> None:
    full = sweep(
        _accuracy, model__units=(10, 20, 40), optimizer__learning_rate=(1.0, 2.0), seed=[1]
    )
    assert sweep_figures.gridded(full.settings, full.factors)
    drawn = [full.jobs[0], full.jobs[3], full.jobs[4]]
    rates = (0.001, 0.0312, 0.8)
    drawn = [
        dataclasses.replace(j, parameters=dict(j.parameters) | {"optimizer.learning_rate": rate})
        for j, rate in zip(drawn, rates, strict=True)
    ]
    found = dataclasses.replace(full, jobs=drawn)
    assert not sweep_figures.gridded(found.settings, found.factors)
    means = {each.setting: each for each in found.ranking("test/accuracy")}
    figure = sweep_figures.scores(found.settings, found.factors, means, "test/accuracy")
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log"]


def test_the_name_of_a_sweep_is_escaped(tmp_path: Path) -> None:
    found = sweep(_accuracy, model__units=(10, 40), seed=SEEDS)
    evil = dataclasses.replace(found, name="</title><script>alert(1)</script>")
    sweep_page.write(evil, {}, tmp_path)
    assert "<script>" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_factor_that_no_finished_job_has_is_not_drawn(tmp_path: Path) -> None:
    found = sweep(_accuracy, model__units=(10, 40), seed=SEEDS)
    more = dataclasses.replace(found, axes=["model.units", "model.heads", "a.b", "seed"])
    sweep_page.write(more, {}, tmp_path, "test/loss")
    assert "parallel" not in _drawn(tmp_path)


def test_names_of_settings_are_escaped(tmp_path: Path) -> None:
    evil = ("<script>alert(1)</script>", "a,b|c*d")
    found = sweep(lambda v: len(v["note"]) / 50, note=evil, seed=SEEDS)
    sweep_page.write(found, {}, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in html
    assert "a,b|c*d" in html
    assert set(pd.read_csv(tmp_path / "ranking.csv")["note"]) == {*evil}


def test_a_thousand_jobs_are_ranked_and_only_the_best_listed(tmp_path: Path) -> None:
    found = sweep(_accuracy, model__units=range(1, 126), seed=range(8))
    said, lines = sweep_page.write(found, {}, tmp_path)
    assert said.startswith("Best: units 125: ")
    assert lines[-1] == "  and 115 more settings"
    assert "75 more are in `ranking.csv`" in _text(tmp_path)


def test_curves_are_drawn_where_there_are_some(tmp_path: Path) -> None:
    found = sweep(_accuracy, model__units=(10, 40), seed=SEEDS)
    epochs = np.arange(1.0, 5)
    line = epochs, np.outer(epochs / 4, [0.9, 0.8, np.nan])
    sweep_page.write(found, {"units 40": line}, tmp_path)
    assert "curves" in _drawn(tmp_path)
    assert "data:image/png" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("seeds", "banded"), [(1, False), (3, True)])
def test_curves_have_a_band_if_a_setting_has_several_seeds(seeds: int, banded: bool) -> None:
    line = np.arange(1.0, 5), np.ones((4, seeds))
    (axes,) = sweep_figures.curves({"units 40": line}, "val/accuracy").axes
    assert ("of seeds" in axes.get_ylabel()) == banded


def test_the_same_jobs_give_the_same_bytes(tmp_path: Path) -> None:
    found = sweep(_accuracy, model__units=(10, 40), model__layers=(1, 2), seed=SEEDS)
    for name in ("a", "b"):
        sweep_page.write(found, {}, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
