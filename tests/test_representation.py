"""One-hot integers: what goes in, what the loss is, what comes out."""

import math

import pytest
import torch
from torch.nn import functional

from echo_exp.representation import OneHot
from echo_exp.settings import SettingError


def test_integers_go_in_as_categories() -> None:
    windows = torch.randint(9, (2, 3, 4))
    assert torch.equal(OneHot(9).encode(windows), windows)
    assert (OneHot(9).n_features, OneHot(9).n_outputs) == (9, 9)


def test_the_loss_is_each_replicas_mean_cross_entropy() -> None:
    outputs, targets = torch.randn(2, 3, 4, 9), torch.randint(9, (2, 3, 4))
    losses = OneHot(9).loss(outputs, targets)
    expected = [
        functional.cross_entropy(outputs[r].reshape(12, 9), targets[r].reshape(12))
        for r in range(2)
    ]
    torch.testing.assert_close(losses, torch.stack(expected))


def test_ignorance_costs_the_logarithm_of_the_number_of_values() -> None:
    losses = OneHot(100).loss(torch.zeros(1, 7, 5, 100), torch.zeros(1, 7, 5, dtype=torch.long))
    assert losses.tolist() == pytest.approx([math.log(100)])


def test_decoding_inverts_the_one_hot_vectors() -> None:
    integers = torch.randint(9, (2, 3, 4))
    assert torch.equal(OneHot(9).decode(functional.one_hot(integers, 9)), integers)


@pytest.mark.parametrize("n_values", [1, 0, "many", None])
def test_too_few_values_are_refused(n_values: int) -> None:
    with pytest.raises(SettingError, match=r"problem\.n_values"):
        OneHot(n_values)
