"""The minimal GRU's scan equals the sequential equations of Feng et al. 2024."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from echo_exp.models.initializers import generators
from echo_exp.models.min_gru import MinGRU, MinGRULayer

Array = NDArray[np.float64]
SIZES = st.integers(1, 5)


def _layer(features: int, units: int, replicas: int = 1) -> MinGRULayer:
    layer = MinGRULayer(features, units, generators(range(replicas))).double()
    with torch.no_grad():
        layer.bias.uniform_(-1, 1)
    return layer


def _sequential(layer: MinGRULayer, x: Array, h: Array, present: Array, replica: int = 0) -> Array:
    """The paper's equations timestep by timestep: [B, T, F] -> [B, T, U]."""
    gate, candidate = np.split(
        x @ layer.kernel[replica].detach().double().numpy()
        + layer.bias[replica].detach().double().numpy(),
        2,
        -1,
    )
    outputs = []
    for t in range(x.shape[1]):
        z = 1 / (1 + np.exp(-gate[:, t]))
        h = np.where(present[:, t, None], (1 - z) * h + z * candidate[:, t], h)
        outputs.append(h)
    return np.stack(outputs, 1)


@given(st.integers(1, 3), SIZES, st.integers(1, 40), SIZES, SIZES, st.booleans())
@settings(max_examples=25, deadline=None)
def test_every_replica_equals_the_sequential_equations(
    replicas: int, batch: int, timesteps: int, features: int, units: int, given_state: bool
) -> None:
    layer = _layer(features, units, replicas)
    x = torch.randn(replicas, batch, timesteps, features).double()
    present = torch.rand(replicas, batch, timesteps) < 0.7
    state = torch.randn(replicas, batch, units).double() * given_state
    outputs = layer(x, state if given_state else None, present).detach().numpy()
    for r in range(replicas):
        expected = _sequential(layer, x[r].numpy(), state[r].numpy(), present[r].numpy(), r)
        np.testing.assert_allclose(outputs[r], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", [0.1, 1, 30])
def test_a_long_window_is_exact_to_the_precision_of_32_bits(scale: float) -> None:
    """Gates stay open, change or stick: over 1,000 timesteps products underflow, sums do not."""
    layer = _layer(3, 8).float()
    x = scale * torch.randn(1, 2, 1000, 3)
    hidden = torch.randn(1, 2, 8)
    outputs = layer(x, hidden)
    expected = _sequential(
        layer, x[0].double().numpy(), hidden[0].double().numpy(), np.ones((2, 1000), dtype=bool)
    )
    np.testing.assert_allclose(outputs[0].detach(), expected, rtol=2e-5, atol=2e-6 * scale)
    gradients = torch.autograd.grad(outputs.square().sum(), list(layer.parameters()))
    exact = layer.double()
    squares = exact(x.double(), hidden.double()).square().sum()
    for ours, theirs in zip(
        gradients, torch.autograd.grad(squares, list(exact.parameters())), strict=True
    ):
        error = (ours - theirs).abs().max() / theirs.abs().max()
        assert error < 1e-5


@pytest.mark.parametrize("timesteps", [1, 2, 5])
def test_gradients_equal_finite_differences(timesteps: int) -> None:
    layer = _layer(3, 2, replicas=2)
    x = torch.randn(2, 3, timesteps, 3, dtype=torch.double, requires_grad=True)
    state = torch.randn(2, 3, 2, dtype=torch.double, requires_grad=True)
    present = torch.rand(2, 3, timesteps) < 0.7
    assert torch.autograd.gradcheck(
        lambda x, state, *_: layer(x, state, present), (x, state, *layer.parameters())
    )


def test_integers_act_like_their_one_hot_vectors() -> None:
    layer = _layer(6, 4, replicas=2)
    integers = torch.randint(6, (2, 3, 5))
    one_hot = functional.one_hot(integers, 6).double()
    torch.testing.assert_close(layer(integers), layer(one_hot))


def test_each_layer_has_two_kernels_and_two_biases() -> None:
    model = MinGRU(n_features=9, n_outputs=9, n_in=5, n_out=5, units=20, seeds=[0], layers=2)
    expected = 40 * (9 + 1) + 40 * (20 + 1) + 21 * 9
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
