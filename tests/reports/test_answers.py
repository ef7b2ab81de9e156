"""Which cells of a study are compared, and which are left out."""

import dataclasses

import numpy as np
import pytest

from echo_exp.reports import answers
from echo_exp.reports.answers import Answers
from echo_exp.settings import SettingError
from echo_exp.sweeps.significance import holm

from .made import record, study

LOW, HIGH = (0.1, 0.2, 0.3, 0.2, 0.1, 0.2), (0.7, 0.9, 0.8, 0.9, 0.7, 0.8)


def _pairs(found: Answers) -> list[tuple[object, object]]:
    return [
        (c.reference.cell.attributes["model.units"], c.other.cell.attributes["model.units"])
        for c in found.comparisons
    ]


def test_the_first_value_is_the_reference_of_the_others() -> None:
    asked = study({"model.units": [3, 1, 2]})
    found = answers.answer(asked, [record(cell, HIGH) for cell in asked.cells])
    assert _pairs(found) == [(3, 1), (3, 2)]
    assert found.levels() == [3, 1, 2]


def test_cells_are_compared_where_panel_and_axis_are_equal() -> None:
    asked = study(
        {"labels": {"task": "a"}, "batch_size": [1, 7], "model.units": [1, 2]},
        {"labels": {"task": "b"}, "batch_size": 7, "model.units": 2},
        panel="task",
        x="batch_size",
    )
    found = answers.answer(asked, [record(cell, HIGH) for cell in asked.cells])
    places = [
        (c.reference.cell.attributes["task"], c.reference.cell.attributes["batch_size"])
        for c in found.comparisons
    ]
    assert places == [("a", 1), ("a", 7)]  # b has only one value
    assert found.panels() == ["a", "b"]


def test_the_difference_is_the_other_minus_the_reference() -> None:
    asked = study({"model.units": [1, 2]})
    found = answers.answer(
        asked, [record(asked.cells[0], LOW), record(asked.cells[1], HIGH, solved=[50] * 6)]
    )
    (comparison,) = found.comparisons
    assert comparison.difference.difference.value == pytest.approx(np.mean(HIGH) - np.mean(LOW))
    assert comparison.difference.effect == 1
    assert comparison.p == comparison.difference.p == pytest.approx(2 / 2**6)  # of six seeds
    (solving,) = found.solving
    assert solving.p < 0.01
    assert answers.survival(solving.reference).median.value == np.inf


def test_p_values_are_corrected_for_the_comparisons_of_their_metric() -> None:
    asked = study({"model.units": [1, 2, 3]}, also=["test/loss"])
    scores = (LOW, HIGH, LOW)
    records = [record(c, s) for c, s in zip(asked.cells, scores, strict=True)]
    found = answers.answer(asked, records)
    for metric in ("test/accuracy", "test/loss"):
        mine = [c for c in found.comparisons if c.metric == metric]
        assert [c.p for c in mine] == holm([c.difference.p for c in mine])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((LOW, HIGH), "units 2 is higher in 1 (by 0.617 on average) of 1 comparisons."),
        ((HIGH, LOW), "units 2 is lower in 1 (by 0.617 on average) of 1 comparisons."),
        ((LOW, LOW), "units 2 is not told apart in 1 of 1 comparisons."),
        ((LOW[:3], HIGH[:3]), "units 2 has too few seeds to tell in 1 of 1 comparisons."),
        ((LOW, ()), "Nothing can be compared yet: 1 of 2 cells have finished."),
    ],
)
def test_the_answer_is_one_sentence(scores: tuple[tuple[float, ...], ...], expected: str) -> None:
    asked = study({"model.units": [1, 2]})
    records = [record(c, s) for c, s in zip(asked.cells, scores, strict=True)]
    assert answers.sentence(answers.answer(asked, records)).endswith(expected)


def test_unfinished_cells_are_not_compared() -> None:
    asked = study({"model.units": [1, 2, 3]})
    scores = (LOW, (), HIGH)
    records = [record(c, s) for c, s in zip(asked.cells, scores, strict=True)]
    found = answers.answer(asked, records)
    assert _pairs(found) == [(1, 3)]
    assert len(found.records) == 3


def test_a_selected_setting_is_chosen_by_validation_not_by_test() -> None:
    asked = study({"model.units": 1, "seed": [1, 2]}, select=["seed"])
    found = answers.answer(
        asked,
        [
            record(asked.cells[0], HIGH, validation=LOW),
            record(asked.cells[1], LOW, validation=HIGH),
        ],
    )
    assert [r.cell.attributes["seed"] for r in found.compared] == [2]


def test_at_equal_accuracy_the_smaller_loss_is_chosen() -> None:
    asked = study({"model.units": 1, "seed": [1, 2]}, select=["seed"])
    losses = (0.2, 0.1)
    found = answers.answer(
        asked, [record(c, HIGH, loss=x) for c, x in zip(asked.cells, losses, strict=True)]
    )
    assert [r.cell.attributes["seed"] for r in found.compared] == [2]


def test_a_diverged_seed_does_not_make_its_cell_the_best() -> None:
    asked = study({"model.units": 1, "seed": [1, 2]}, select=["seed"])
    found = answers.answer(
        asked,
        [
            record(asked.cells[0], [0.9, np.nan]),
            record(asked.cells[1], [0.8, 0.8]),
        ],
    )
    assert [r.cell.attributes["seed"] for r in found.compared] == [2]


def test_without_the_reference_nothing_is_compared() -> None:
    asked = study({"model.units": [1, 2, 3], "batch_size": [1, 7]}, x="batch_size")
    records = [
        record(cell, () if cell.settings == {"model.units": 1, "batch_size": 1} else HIGH)
        for cell in asked.cells
    ]
    found = answers.answer(asked, records)
    assert _pairs(found) == [(1, 2), (1, 3)]  # of batch size 7
    assert found.levels() == [1, 2, 3]


def test_a_metric_is_compared_among_the_values_that_have_it() -> None:
    asked = study({"model.units": [1, 2, 3]}, also=["test/incomplete_accuracy"])
    records = [record(cell, HIGH) for cell in asked.cells]
    records[1:] = [
        dataclasses.replace(r, scores={**r.scores, "test/incomplete_accuracy": np.array(LOW)})
        for r in records[1:]
    ]
    found = answers.answer(asked, records)
    assert _pairs(found) == [(1, 2), (1, 3), (2, 3)]
    assert [c.metric for c in found.comparisons] == ["test/accuracy"] * 2 + [
        "test/incomplete_accuracy"
    ]


def test_the_same_runs_in_two_panels_are_one_comparison() -> None:
    asked = study(
        {"labels": {"task": "a"}, "model.units": [1, 2]},
        {"labels": {"task": "b"}, "model.units": [1, 2]},
        panel="task",
    )
    found = answers.answer(
        asked, [record(c, s) for c, s in zip(asked.cells, (LOW, HIGH) * 2, strict=True)]
    )
    assert [c.p for c in found.comparisons] == [found.comparisons[0].difference.p] * 2


@pytest.mark.parametrize(("seeds", "decidable"), [(5, False), (6, True)])
def test_the_answer_says_when_there_are_too_few_seeds(seeds: int, decidable: bool) -> None:
    asked = study({"model.units": [1, 2]})
    few = [record(c, s[:seeds]) for c, s in zip(asked.cells, (LOW, HIGH), strict=True)]
    found = answers.answer(asked, few)
    assert found.comparisons[0].decidable is decidable
    assert (found.comparisons[0].p < 0.05) is decidable


@pytest.mark.parametrize(("seeds", "decidable"), [(3, False), (4, True)])
def test_the_epochs_to_solve_of_too_few_seeds_decide_nothing(seeds: int, decidable: bool) -> None:
    asked = study({"model.units": [1, 2]})
    never, soon = ([np.nan] * seeds, [10.0] * seeds)
    found = answers.answer(
        asked,
        [record(c, HIGH[:seeds], s) for c, s in zip(asked.cells, (never, soon), strict=True)],
    )
    (solving,) = found.solving
    assert solving.decidable is decidable
    assert (solving.p < 0.05) is decidable


def test_where_nothing_was_tested_no_other_comparison_needs_more_seeds() -> None:
    asked = study({"model.units": [1, 2, 3]}, also=["test/loss"])
    records = [record(c, s) for c, s in zip(asked.cells, (LOW, HIGH, HIGH), strict=True)]
    records[2].scores["test/loss"][:] = np.nan
    found = answers.answer(asked, records)
    by_loss = [c for c in found.comparisons if c.metric == "test/loss"]
    assert [c.decidable for c in by_loss] == [True, False]
    assert by_loss[0].p < 0.05


def test_a_metric_that_no_run_has_is_explained() -> None:
    asked = study({"model.units": [1, 2]}, metric="test/acuracy")
    with pytest.raises(SettingError, match=r"study.metric=test/acuracy .* test/accuracy"):
        answers.answer(asked, [record(cell, HIGH) for cell in asked.cells])


def test_a_further_metric_that_no_run_has_is_left_out() -> None:
    asked = study({"model.units": [1, 2]}, also=["test/mae"])
    found = answers.answer(asked, [record(cell, HIGH) for cell in asked.cells])
    assert found.metrics == ["test/accuracy"]


def test_a_law_is_fitted_to_the_epochs_until_each_accuracy() -> None:
    asked = study({"model.units": [1, 2, 4]}, law=["model.units"])
    times = [[80.0, 82, 81], [40.0, 41, 42], [20.0, 21, np.nan]]
    records = [
        record(cell, [0.6] * 3, solved=t) for cell, t in zip(asked.cells, times, strict=True)
    ]
    half, most, solved = answers.answer(asked, records).laws
    assert [law.accuracy for law in (half, most, solved)] == [0.5, 0.9, 0.99]
    assert (half.reached, most.reached, solved.reached) == (9, 8, 8)  # 0.6 is all of the last seed
    assert solved.exponents is not None
    assert solved.exponents["model.units"].low < -0.7 < solved.exponents["model.units"].high
    assert answers.answer(study({"model.units": [1, 2]}), records[:2]).laws == []
