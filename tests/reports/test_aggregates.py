"""Aggregates over many tasks, of made-up scores with known answers."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from echo_exp.reports import aggregate_figures, aggregates, answers, study_page
from echo_exp.reports.aggregates import THRESHOLDS
from echo_exp.reports.answers import Answers
from echo_exp.settings import SettingError

from .made import record, study

LOW, HIGH = np.linspace(0.1, 0.3, 10), np.linspace(0.7, 0.9, 10)
TASKS = st.lists(
    st.lists(st.floats(0, 1), min_size=8, max_size=12).map(np.array), min_size=1, max_size=3
)


def _found(**scores: dict[str, list[float]]) -> Answers:
    """The answers to scores by task and units, with the units named ``u1``, ``u2``, ..."""
    tasks = dict.fromkeys(task for own in scores.values() for task in own)
    grids = [
        {"labels": {"task": task}, "model.units": [int(name[1:]) for name in scores]}
        for task in tasks
    ]
    asked = study(*grids, panel="task", tasks="task")
    records = [
        record(cell, scores[f"u{cell.settings['model.units']}"].get(cell.labels["task"], ()))
        for cell in asked.cells
    ]
    return answers.answer(asked, records)


def test_the_interquartile_mean_is_that_of_the_middle_half_of_all_scores() -> None:
    assert aggregates.interquartile_mean([np.array([0.0, 1.0, 0.2, 0.4])]) == pytest.approx(0.3)
    scores = [LOW, HIGH]
    expected = stats.trim_mean([*LOW, *HIGH], 0.25)
    assert aggregates.interquartile_mean(scores) == pytest.approx(expected)


def test_seeds_are_drawn_within_their_task() -> None:
    for own, drawn in zip((LOW, HIGH), aggregates.resampled([LOW, HIGH]), strict=True):
        assert drawn.shape[1] == len(own)
        assert np.isin(drawn, own).all()
        assert (np.sort(drawn) != np.sort(own)).any()


def test_tasks_without_spread_give_an_empty_interval() -> None:
    (found,) = aggregates.aggregate({"a": [np.full(8, 0.2), np.full(8, 0.8)]}, "a")
    assert (found.iqm.low, found.iqm.high) == (found.iqm.value, found.iqm.value)
    assert found.iqm.value == pytest.approx(0.5)


def test_the_interval_contains_the_true_value_about_as_often_as_stated() -> None:
    random = np.random.default_rng(1)
    held = []
    for _ in range(60):
        scores = [np.asarray(random.uniform(low, low + 0.2, 20)) for low in (0.1, 0.4, 0.7)]
        (found,) = aggregates.aggregate({"a": scores}, "a")
        held.append(found.iqm.low <= 0.5 <= found.iqm.high)
    assert np.mean(held) >= 0.85


@pytest.mark.parametrize(
    ("scores", "reference", "expected"),
    [
        ([HIGH], [LOW], 1.0),
        ([LOW], [HIGH], 0.0),
        ([LOW], [LOW], 0.5),
        ([HIGH, LOW], [LOW, LOW], 0.75),
    ],
)
def test_the_improvement_is_the_probability_that_a_seed_beats_one_of_the_reference(
    scores: list[np.ndarray], reference: list[np.ndarray], expected: float
) -> None:
    found = aggregates.improvement(scores, reference)
    assert found.value == pytest.approx(expected)
    assert found.low <= expected <= found.high


def test_the_improvement_is_mann_and_whitneys_statistic() -> None:
    first, second = np.array([0.1, 0.5, 0.5, 0.9]), np.array([0.2, 0.5, 0.8])
    expected = stats.mannwhitneyu(first, second).statistic / 12
    assert aggregates.improvement([first], [second]).value == pytest.approx(expected)


def test_a_profile_is_the_share_of_scores_above_a_threshold() -> None:
    found = aggregates.profile([np.array([0.0, 0.255, 0.505, 1.0]), np.array([1.0])])
    at = {round(t, 2): share for t, share in zip(THRESHOLDS, found.share, strict=True)}
    assert at[0.0] == pytest.approx((3 / 4 + 1) / 2)
    assert at[0.3] == pytest.approx((2 / 4 + 1) / 2)
    assert at[1.0] == 0  # nothing is above all that is right


@settings(max_examples=25, deadline=None)
@given(TASKS)
def test_a_profile_falls_within_its_band(scores: list[np.ndarray]) -> None:
    found = aggregates.profile(scores)
    for values in (found.share, found.low, found.high):
        assert (np.diff(values) <= 1e-12).all()
        assert values.min() >= 0
        assert values.max() <= 1
    assert (found.low <= found.high).all()


@settings(max_examples=25, deadline=None)
@given(TASKS)
def test_an_interquartile_mean_lies_among_the_scores(scores: list[np.ndarray]) -> None:
    (found,) = aggregates.aggregate({"a": scores}, "a")
    every = np.concatenate(scores)
    ends = every.min() - 1e-9, every.max() + 1e-9
    assert ends[0] <= found.iqm.low <= found.iqm.high <= ends[1]
    assert ends[0] <= found.iqm.value <= ends[1]


@pytest.mark.parametrize("seeds", [1, 3, 7])
def test_too_few_seeds_of_one_task_give_no_intervals(seeds: int) -> None:
    found = _found(
        u1={"a": [*LOW], "b": [*LOW[:seeds]]},
        u2={"a": [*HIGH], "b": [*HIGH[:seeds]]},
    )
    (ranking,) = aggregates.rankings(found)
    for each in ranking.aggregates:
        ends = [each.iqm.low, each.iqm.high, *each.profile.low, *each.profile.high]
        ends += [
            e for pair in (each.improvement, each.behind) if pair for e in (pair.low, pair.high)
        ]
        assert np.isnan(ends).all()
        assert not each.told_apart
    told = aggregates.sentence(found, [ranking])
    assert told.endswith("first, too few seeds to tell 1 from it.")


def test_the_highest_mean_comes_first_and_the_others_are_compared_with_it() -> None:
    found = _found(u1={"a": [*LOW], "b": [*LOW]}, u2={"a": [*HIGH], "b": [*HIGH]})
    (ranking,) = aggregates.rankings(found)
    first, second = ranking.aggregates
    assert (ranking.reference, first.level, second.level) == (1, 2, 1)
    assert first.behind is None
    assert second.improvement is None
    assert second.told_apart
    assert aggregates.sentence(found, [ranking]).startswith(
        "By the interquartile mean over 2 tasks: 2 0.800 ("
    )


def test_values_that_cannot_be_told_apart_are_reported() -> None:
    found = _found(u1={"a": [*LOW]}, u2={"a": [*LOW]})
    told = aggregates.sentence(found, aggregates.rankings(found))
    assert told.startswith("By the interquartile mean over 1 task: 1 0.2")
    assert told.endswith(") first, 2 cannot be told apart from the first.")


def test_the_legend_of_the_profiles_names_every_value_that_a_panel_has() -> None:
    found = _found(u1={"a": [*LOW]}, u2={"a": [*HIGH]})
    (ranking,) = aggregates.rankings(found)
    fewer = dataclasses.replace(ranking, aggregates=ranking.aggregates[:1])
    (legend,) = aggregate_figures.profiles(found, [ranking, fewer]).legends
    assert sorted(text.get_text() for text in legend.get_texts()) == ["1", "2"]


def test_a_seed_that_diverged_counts_as_nothing_right() -> None:
    found = _found(u1={"a": [np.nan] * 4, "b": [np.nan] * 4})
    (ranking,) = aggregates.rankings(found)
    assert ranking.aggregates[0].iqm.value == 0
    assert ranking.aggregates[0].seeds == 8


def test_a_value_without_a_task_is_left_out_by_name() -> None:
    found = _found(u1={"a": [*LOW]}, u2={"a": [*HIGH], "b": [*HIGH]})
    (ranking,) = aggregates.rankings(found)
    assert [aggregate.level for aggregate in ranking.aggregates] == [2]
    assert ranking.incomplete == {1: ["b"]}
    assert ranking.reference == 2


def test_if_no_value_has_all_tasks_nothing_is_ranked() -> None:
    found = _found(u1={"a": [*LOW]}, u2={"b": [*HIGH]})
    assert aggregates.rankings(found) == []
    assert aggregates.sentence(found, []) == ""


def test_each_value_of_the_other_axis_is_ranked_separately() -> None:
    asked = study(
        *[
            {"labels": {"task": task, "matched": matched}, "model.units": [1, 2]}
            for task in ("a", "b")
            for matched in ("parameters", "arithmetic")
        ],
        panel="task",
        x="matched",
        tasks="task",
    )
    found = answers.answer(asked, [record(cell, [*LOW]) for cell in asked.cells])
    ranked = aggregates.rankings(found)
    assert [ranking.group for ranking in ranked] == ["parameters", "arithmetic"]
    assert "(matched parameters); " in aggregates.sentence(found, ranked)


def test_a_study_without_tasks_has_no_rankings() -> None:
    found = _found(u1={"a": [*LOW]})
    plain = dataclasses.replace(found, study=dataclasses.replace(found.study, tasks=None))
    assert aggregates.rankings(plain) == []


def test_tasks_must_be_an_axis_of_the_study() -> None:
    with pytest.raises(SettingError, match=r"study\.tasks=model\.units"):
        study({"model.units": [1, 2], "seed": 1}, x="seed", tasks="model.units")


def test_the_report_has_aggregates_in_its_answer_figures_and_tables(tmp_path: Path) -> None:
    found = _found(u1={"a": [*LOW], "b": [*LOW]}, u2={"a": [*HIGH], "b": [*HIGH]}, u3={})
    printed = study_page.write(found, tmp_path)
    assert "\nBy the interquartile mean over 2 tasks: 2 0.800" in printed
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "3 is left out: it has no finished cell for a, b." in text
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 5
    table = pd.read_csv(tmp_path / "aggregates.csv")
    assert table["model.units"].tolist() == [2, 1]
    assert table["iqm"].tolist() == [pytest.approx(0.8), pytest.approx(0.2)]
    profiles = pd.read_csv(tmp_path / "profiles.csv")
    assert len(profiles) == 2 * len(THRESHOLDS)
