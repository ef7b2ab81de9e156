"""Integers as categories or numbers: inputs, losses and decoded outputs."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from echo_exp.settings import SettingError
from echo_exp.task.representation import OneHot, Representation, Scaled


def test_one_hot_reads_integers_as_categories() -> None:
    windows = torch.randint(9, (2, 3, 4))
    assert torch.equal(OneHot(9).encode(windows), windows)
    assert (OneHot(9).n_features, OneHot(9).n_outputs) == (9, 9)


def test_the_loss_is_each_integers_cross_entropy() -> None:
    outputs, targets = torch.randn(2, 3, 4, 9), torch.randint(9, (2, 3, 4))
    right = outputs.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(OneHot(9).loss(outputs, targets), -right)


def test_a_uniform_guess_has_the_loss_log_of_the_number_of_values() -> None:
    losses = OneHot(100).loss(torch.zeros(1, 7, 5, 100), torch.zeros(1, 7, 5, dtype=torch.long))
    torch.testing.assert_close(losses, torch.full((1, 7, 5), math.log(100)))


def test_decoding_inverts_the_one_hot_vectors() -> None:
    integers = torch.randint(9, (2, 3, 4))
    assert torch.equal(OneHot(9).decode(functional.one_hot(integers, 9)), integers)


def test_marks_are_categories_after_the_integers_and_before_the_missing_value() -> None:
    windows = torch.tensor([0, 8, 9, 10, -1])  # 9 and 10 are marks
    representation = OneHot(9, n_marks=2, sentinel=True)
    assert representation.encode(windows).tolist() == [0, 8, 9, 10, 11]
    assert (representation.n_features, representation.n_outputs) == (12, 9)


def test_scaled_reads_marks_as_separate_features() -> None:
    encoded = Scaled(9, n_marks=2).encode(torch.tensor([4, 8, 9, 10]))
    assert encoded.tolist() == [[0.5, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert Scaled(9, n_marks=2).n_features == 3


@pytest.mark.parametrize("n_values", [1, 0, "many", None])
def test_too_few_values_are_refused(n_values: int) -> None:
    for representation in (OneHot, Scaled):
        with pytest.raises(SettingError, match=r"problem\.n_values"):
            representation(n_values)


def test_two_values_are_enough() -> None:
    assert (OneHot(2).n_outputs, Scaled(2).largest) == (2, 1)


def test_scaled_reads_integers_as_numbers_from_0_to_1() -> None:
    encoded = Scaled(101).encode(torch.tensor([[0, 50, 100]]))
    assert encoded.shape == (1, 3, 1)
    assert encoded.flatten().tolist() == [0.0, 0.5, 1.0]


@given(st.integers(2, 1_000_000), st.data())
def test_decoding_inverts_the_scaling(n_values: int, data: st.DataObject) -> None:
    integers = torch.tensor(data.draw(st.lists(st.integers(0, n_values - 1), min_size=1)))
    scaled = Scaled(n_values)
    assert torch.equal(scaled.decode(scaled.encode(integers)), integers)


def test_outputs_are_read_as_the_nearest_valid_integer() -> None:
    outputs = torch.tensor([-3.0, 0.149, 0.151, 0.94, 7.0, math.nan, math.inf]).unsqueeze(-1)
    assert Scaled(11).decode(outputs).tolist() == [0, 1, 2, 9, 10, 0, 10]


def test_the_loss_of_scaled_integers_is_the_squared_error() -> None:
    losses = Scaled(11).loss(torch.tensor([[0.5], [0.0]]), torch.tensor([3, 10]))
    torch.testing.assert_close(losses, torch.tensor([0.04, 1.0]))


def test_scaled_integers_are_also_scored_by_their_distance() -> None:
    distances = torch.tensor([0, 1, -1, 2, -2, 5, -5, 6, -6])
    targets = torch.full_like(distances, 10)
    outputs = (targets + distances).unsqueeze(-1) / 20
    scores = {name: v.tolist() for name, v in Scaled(21).scores(outputs, targets).items()}
    assert scores == {
        "accuracy": [True] * 1 + [False] * 8,
        "within_1": [True] * 3 + [False] * 6,
        "within_5": [True] * 7 + [False] * 2,
        "mae": [0, 1, 1, 2, 2, 5, 5, 6, 6],
    }


def test_categories_are_scored_as_right_or_wrong_only() -> None:
    outputs, targets = torch.randn(50, 3), torch.randint(3, (50,))
    scores = OneHot(3).scores(outputs, targets)
    assert scores.keys() == {"accuracy"}
    assert torch.equal(scores["accuracy"], outputs.argmax(-1) == targets)


def test_a_network_that_prefers_no_value_is_never_right() -> None:
    assert not OneHot(3).right(torch.zeros(3, 3), torch.arange(3)).any()


@pytest.mark.parametrize("representation", [OneHot(5), Scaled(5)])
def test_right_answers_are_those_that_accuracy_counts(representation: Representation) -> None:
    outputs, targets = torch.rand(50, representation.n_outputs), torch.randint(5, (50,))
    right = representation.right(outputs, targets)
    assert torch.equal(right, representation.decode(outputs) == targets)
    assert torch.equal(right, representation.scores(outputs, targets)["accuracy"])
