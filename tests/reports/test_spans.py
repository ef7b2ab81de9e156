"""The section on the longest span learnt, for made-up records with known answers."""

import numpy as np
import pytest

from echo_exp.reports import answers, spans
from echo_exp.reports.answers import Answers
from echo_exp.reports.sections import Section

from . import made

GRID = {"model.units": [1, 2], "problem.n_in": [5, 10, 20], "problem.length": 50}


def _found(*shares: tuple[int, ...]) -> Answers:
    """The section for arms of which so many of ten seeds learn each span."""
    study = made.study(GRID, x="problem.n_in", span="problem.n_in")
    records = []
    for cell in study.cells:
        arm = cell.settings["model.units"] - 1
        span = [5, 10, 20].index(cell.settings["problem.n_in"])
        learnt = shares[arm][span]
        accuracy = [1.0] * learnt + [0.2] * (10 - learnt)
        solved = [10.0 * (span + 1)] * learnt + [np.nan] * (10 - learnt)
        records.append(made.record(cell, accuracy, solved))
    return answers.answer(study, records)


def _section(*shares: tuple[int, ...]) -> Section:
    section = spans.section(_found(*shares))
    assert section is not None
    return section


def test_the_longest_span_is_learnt_by_half_of_the_seeds_as_are_all_shorter_ones() -> None:
    rows = _section((10, 5, 0), (10, 4, 10)).tables["spans"]
    longest = rows.groupby("level")["longest"].first().tolist()
    assert longest == [10, 5]  # what is learnt beyond a gap does not count


def test_the_answer_begins_with_the_arm_that_reaches_furthest() -> None:
    assert _section((10, 0, 0), (10, 10, 10)).answer == (
        "Longest n_in that at least half of the seeds learn: 2 at least 20, 1 5."
    )


def test_an_arm_that_learns_no_span_is_reported_as_such() -> None:
    assert _section((0, 0, 0), (10, 10, 10)).answer.endswith("1 below 5.")
    assert _section((4, 0, 0), (10, 10, 10)).answer.endswith("1 below 5 (below 5 to 5).")


def test_the_longest_span_has_an_interval_if_seeds_differ() -> None:
    rows = _section((10, 5, 0), (10, 10, 0)).tables["spans"]
    first, second = (rows[rows["level"] == level].iloc[0] for level in (1, 2))
    assert (first["longest_low"], first["longest_high"]) == (5, 10)
    assert (second["longest_low"], second["longest_high"]) == (10, 10)


def test_arms_with_equal_shares_do_not_hide_each_other() -> None:
    (axes,) = _section((10, 5, 0), (10, 5, 0)).figures["spans"].axes
    first, second = (line.get_xydata() for line, *_ in axes.containers)
    assert (first[:, 1] == second[:, 1]).all()
    assert (first[:, 0] < second[:, 0]).all()
    assert (second[:-1, 0] < first[1:, 0]).all()  # spans stay apart


def test_a_single_seed_gives_a_wide_interval() -> None:
    longest = spans._longest([5, 10], [np.array([True]), np.array([False])])
    assert (longest.value, longest.low, longest.high) == (5, 0, 10)


def test_the_share_has_wilsons_interval() -> None:
    row = _section((5, 0, 0), (10, 10, 10)).tables["spans"].iloc[0]
    assert row["share"] == 0.5
    assert row["share_low"] == pytest.approx(0.2366, abs=1e-4)
    assert row["share_high"] == pytest.approx(0.7634, abs=1e-4)


def test_the_epochs_grow_with_a_power_of_the_span() -> None:
    (_, arm) = list(spans._spans(_found((10, 10, 10), (10, 10, 10))))
    assert arm.power is not None
    assert 0.6 < arm.power.value < 1  # 10, 20 and 30 epochs for 5, 10 and 20


@pytest.mark.parametrize(
    ("best", "marked"), [({5: 0.1, 10: 0.1, 20: 0.1}, False), ({5: 0.1, 10: 0.1, 20: 0.2}, True)]
)
def test_a_growth_over_different_selected_settings_is_marked(
    best: dict[int, float], marked: bool
) -> None:
    study = made.study(
        GRID | {"model.units": 1, "rate": [0.1, 0.2]},
        x="problem.n_in",
        span="problem.n_in",
        select=("rate",),
    )
    records = []
    for cell in study.cells:
        span, rate = cell.settings["problem.n_in"], cell.settings["rate"]
        solved = [span + float(seed) for seed in range(10)]
        records.append(made.record(cell, [1.0 if rate == best[span] else 0.9] * 10, solved))
    section = spans.section(answers.answer(study, records))
    assert section is not None
    assert "at least 20 | 10 of 10 | 10 of 10 | 10 of 10 | 0." in section.text
    assert ("† The values of rate selected for these spans differ" in section.text) == marked


def test_a_study_that_asks_for_no_span_has_no_section() -> None:
    study = made.study(GRID, x="problem.n_in")
    records = [made.record(cell, [1.0] * 8) for cell in study.cells]
    assert spans.section(answers.answer(study, records)) is None
