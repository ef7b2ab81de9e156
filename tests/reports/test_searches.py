"""The report of a search, ranked by its objective, for made-up trials with known answers."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from echo_exp.reports import sweep_page
from echo_exp.reports.jobs import Jobs
from echo_exp.settings import SettingError
from echo_exp.sweeps.search.goals import Constraint, Goals, Objective

from .sweeps import sweep

FEWEST = Goals([Objective("parameters", "minimize")], [Constraint("val/accuracy", False, 0.7)])
RATES = (0.001, 0.002, 0.003)


def _accuracy(values: Mapping[str, Any]) -> float:
    """A score that grows with the units and the rate."""
    return float(values["model.units"] / 50 + 10 * values["optimizer.learning_rate"])


def _search(goals: Goals, importances: Mapping[str, float] | None = None) -> Jobs:
    found = sweep(_accuracy, model__units=(20, 35, 40), optimizer__learning_rate=RATES, seed=(1,))
    jobs = [
        dataclasses.replace(
            job,
            scores={
                **job.scores,
                "val/accuracy": job.scores["test/accuracy"],
                "parameters": np.array([100.0 * job.parameters["model.units"]]),
            },
        )
        for job in found.jobs
    ]
    important = {goals.objectives[0].metric: importances} if importances else {}
    return dataclasses.replace(found, jobs=jobs, goals=goals, importances=important)


def test_the_best_trial_is_chosen_by_the_objective_within_the_constraints(tmp_path: Path) -> None:
    said, lines = sweep_page.write(_search(FEWEST), {}, tmp_path)
    assert said == (
        "Best with val/accuracy at least 0.7: units 35, lr 0.001: 3,500; 2 others score the same."
    )
    assert len(lines) == 6
    ranking = pd.read_csv(tmp_path / "ranking.csv")
    assert ranking["mean"].tolist() == [3500] * 3 + [4000] * 3
    assert ranking["p_holm"].isna().all()
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "3 of 9 settings violate a constraint and are not ranked" in text


def test_the_ranking_follows_the_direction_of_the_objective(tmp_path: Path) -> None:
    most = Goals([Objective("parameters", "maximize")], [])
    said, _ = sweep_page.write(_search(most), {}, tmp_path)
    assert said.startswith("Best: units 40, lr 0.001: 4,000")


def test_another_metric_can_be_chosen(tmp_path: Path) -> None:
    said, _ = sweep_page.write(_search(FEWEST), {}, tmp_path, "test/accuracy")
    assert said.startswith("Best with val/accuracy at least 0.7: units 40, lr 0.003: 0.8300")


def test_a_metric_that_no_trial_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="metric=test/mae"):
        sweep_page.write(_search(FEWEST), {}, tmp_path, "test/mae")


def test_if_no_trial_meets_the_constraints_the_report_says_so(tmp_path: Path) -> None:
    never = Goals(FEWEST.objectives, [Constraint("val/accuracy", False, 0.99)])
    said, lines = sweep_page.write(_search(never), {}, tmp_path)
    assert said == "No job with val/accuracy at least 0.99 has finished."
    assert lines == []
    assert not list(tmp_path.glob("*.png"))


def test_a_search_shows_optunas_importances_instead_of_shares_of_the_variance(
    tmp_path: Path,
) -> None:
    found = _search(FEWEST, {"model.units": 0.75, "optimizer.learning_rate": 0.25})
    sweep_page.write(found, {}, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| model.units | 0.750 |" in text
    assert "share of the variance |" not in text
    assert (tmp_path / "importance.png").exists()


def test_the_objective_and_constraints_are_read_from_the_tags_of_the_run() -> None:
    assert Goals.of_tags(FEWEST.tags) == FEWEST
    assert Goals.of_tags({"kind": "sweep"}) is None
    assert Goals.of_tags({"objectives": "edited by somebody"}) is None
