"""The section on other lengths, for made-up records with known answers."""

import dataclasses

import numpy as np
import pytest

from echo_exp.reports import answers, lengths
from echo_exp.reports.answers import Answers
from echo_exp.reports.sections import Section

from . import made


def _found(at: dict[int, dict[int, float]], metric: str = "test/accuracy", **more: str) -> Answers:
    """The section for arms whose seeds all have the same scores at some lengths."""
    study = made.study({"model.units": [*at]}, lengths=metric, **more)
    records = []
    for cell in study.cells:
        record = made.record(cell, [1.0] * 8)
        scores = {
            f"{metric}_at_{length}": np.full(8, value)
            for length, value in at[cell.settings["model.units"]].items()
        }
        records.append(dataclasses.replace(record, scores={**record.scores, **scores}))
    return answers.answer(study, records)


def _section(at: dict[int, dict[int, float]]) -> Section:
    section = lengths.section(_found(at))
    assert section is not None
    return section


def test_each_arm_has_a_row_for_each_length() -> None:
    table = _section({1: {10: 0.9, 20: 0.5}, 2: {10: 0.8, 20: 0.7}}).tables["lengths"]
    assert table[["model.units", "length"]].to_numpy().tolist() == [
        [1, 10],
        [1, 20],
        [2, 10],
        [2, 20],
    ]
    assert table["test/accuracy"].tolist() == pytest.approx([0.9, 0.5, 0.8, 0.7])


def test_the_answer_is_about_the_greatest_length() -> None:
    answer = _section({1: {10: 0.9, 20: 0.5}, 2: {10: 0.8, 20: 0.7}}).answer
    assert answer == "The highest accuracy at length 20: 2 0.700 (0.700 to 0.700)."


def test_of_losses_the_lowest_is_the_best_and_an_arm_that_diverged_is_not() -> None:
    arms = {1: {20: float("nan")}, 2: {20: 0.5}, 3: {20: 0.25}}
    section = lengths.section(_found(arms, metric="test/loss"))
    assert section is not None
    assert section.answer.startswith("The lowest loss at length 20: 3 0.250")


def test_a_length_that_an_arm_lacks_is_left_blank() -> None:
    text = _section({1: {10: 0.9, 20: 0.5}, 2: {10: 0.8}}).text
    assert "| all | 2 | 0.800 (0.800 to 0.800) | – |" in text


def test_the_table_begins_with_its_lengths() -> None:
    text = _section({1: {10: 0.9, 20: 0.5}}).text
    assert "| 10 | 20 |\n|---|---|---|---|\n| all | 1 | " in text


def test_lengths_are_drawn_in_their_order() -> None:
    (axes,) = _section({1: {100: 0.1, 9: 0.9}, 2: {100: 0.2, 9: 0.8}}).figures["lengths"].axes
    assert [np.asarray(line.get_xdata()).tolist() for line in axes.lines] == [[9, 100], [9, 100]]


def test_without_other_lengths_there_is_no_section() -> None:
    assert lengths.section(_found({1: {}, 2: {}})) is None
