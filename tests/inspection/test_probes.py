"""The linear probe is linear discriminant analysis."""

import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from echo_exp.inspection.probes import Reader


def _states(spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """States of 20 values in 4 units, around means that no single unit distinguishes."""
    random = torch.Generator().manual_seed(1)
    labels = torch.randint(20, (3000,), generator=random)
    means = torch.randn(20, 4, generator=random)
    return means[labels] + spread * torch.randn(3000, 4, generator=random), labels


def test_the_probe_agrees_with_that_of_scikit_learn() -> None:
    states, labels = _states(spread=0.3)
    ours = Reader.of(states[:2000], states[2000:]).read(labels[:2000], 20)
    peer = LinearDiscriminantAnalysis(solver="lsqr").fit(states[:2000], labels[:2000])
    theirs = torch.from_numpy(peer.predict(states[2000:]))
    assert (ours == theirs).double().mean() > 0.99  # but for the ridge


def test_values_without_spread_are_all_read_correctly() -> None:
    states, labels = _states(spread=0.0)
    told = Reader.of(states[:2000], states[2000:]).read(labels[:2000], 20)
    assert torch.equal(told, labels[2000:])


@pytest.mark.parametrize("states", [torch.zeros(900, 3), torch.full((900, 1), 7.0)])
def test_uninformative_states_are_read_as_the_most_frequent_value(states: torch.Tensor) -> None:
    labels = torch.arange(900) % 4
    labels[:30] = 2
    assert (Reader.of(states[:600], states[600:]).read(labels[:600], 5) == 2).all()


def test_the_probe_never_answers_a_value_that_it_was_not_fitted_to() -> None:
    states, labels = _states(spread=1.0)
    seen = labels[:2000] != 7
    told = Reader.of(states[:2000][seen], states[2000:]).read(labels[:2000][seen], 20)
    assert not (told == 7).any()
