"""The GRU layer equals `torch.nn.GRU`, or the equations of Cho et al. 2014, in NumPy."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echo_exp.models.dense import project
from echo_exp.models.gru import GRU, GRULayer
from echo_exp.models.initializers import generators
from echo_exp.models.lstm import MANY
from echo_exp.settings import SettingError

from ..parity.torch_nets import gru as torch_gru
from ..parity.torch_nets import torch_order

Array = NDArray[np.float64]
SIZES = st.integers(1, 5)
ORDERS = pytest.mark.parametrize("reset", ["after", "before"])
MASKED = pytest.mark.parametrize("masked", [False, True])


def _layer(features: int, units: int, replicas: int = 1, reset: str = "after") -> GRULayer:
    layer = GRULayer(features, units, generators(range(replicas)), reset).double()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if "bias" in name:
                parameter.uniform_(-1, 1)
    return layer


@given(st.integers(1, 3), SIZES, SIZES, SIZES, SIZES)
@settings(max_examples=25, deadline=None)
def test_every_replica_equals_torchs_layer(
    replicas: int, batch: int, timesteps: int, features: int, units: int
) -> None:
    torch.manual_seed(0)
    layer = _layer(features, units, replicas)
    x = torch.randn(replicas, batch, timesteps, features).double()
    state = torch.randn(replicas, batch, units).double()
    outputs = layer(x, state)
    for r in range(replicas):
        expected, _ = torch_gru(layer, r)(x[r], state[r : r + 1])
        torch.testing.assert_close(outputs[r], expected)


def test_gradients_equal_those_of_torchs_layer() -> None:
    layer = _layer(3, 4)
    peer = torch_gru(layer)
    x, state = torch.randn(1, 2, 6, 3).double(), torch.randn(1, 2, 4).double()
    weights = torch.randn(2, 6, 4).double()
    (layer(x, state)[0] * weights).sum().backward()
    (peer(x[0], state)[0] * weights).sum().backward()
    for ours, theirs in zip(layer.parameters(), peer.parameters(), strict=True):
        assert ours.grad is not None
        torch.testing.assert_close(torch_order(ours.grad[0]).T.squeeze(), theirs.grad)


def _cho(layer: GRULayer, x: Array, h: Array) -> Array:
    """The equations of the paper for one replica, gate by gate: [B, T, F] -> [B, T, U]."""
    w, u = (
        np.split(kernel.detach().numpy()[0], 3, -1)
        for kernel in (layer.kernel, layer.recurrent_kernel)
    )
    b = np.split(layer.bias.detach().numpy()[0, 0], 3)
    outputs = []
    for t in range(x.shape[1]):
        z, r = (1 / (1 + np.exp(-(x[:, t] @ w[i] + h @ u[i] + b[i]))) for i in (0, 1))
        h = z * h + (1 - z) * np.tanh(x[:, t] @ w[2] + (r * h) @ u[2] + b[2])
        outputs.append(h)
    return np.stack(outputs, 1)


def test_a_reset_before_the_product_equals_the_paper() -> None:
    layer = _layer(3, 4, reset="before")
    x, state = torch.randn(1, 2, 6, 3).double(), torch.randn(1, 2, 4).double()
    expected = _cho(layer, x[0].numpy(), state[0].numpy())
    np.testing.assert_allclose(layer(x, state)[0].detach(), expected, rtol=1e-12)
    assert not np.allclose(_cho(_layer(3, 4), x[0].numpy(), state[0].numpy()), expected)


@ORDERS
@MASKED
@pytest.mark.parametrize("timesteps", [1, 4])
def test_the_handwritten_backward_pass_passes_gradcheck(
    reset: str, masked: bool, timesteps: int
) -> None:
    layer = _layer(3, 2, replicas=2, reset=reset)
    x = torch.randn(2, 3, timesteps, 3, dtype=torch.double, requires_grad=True)
    state = torch.randn(2, 3, 2, dtype=torch.double, requires_grad=True)
    present = torch.rand(2, 3, timesteps) < 0.7 if masked else None
    assert torch.autograd.gradcheck(
        lambda x, state, *_: layer(x, state, present), (x, state, *layer.parameters())
    )


@ORDERS
@MASKED
@pytest.mark.parametrize("given_state", [True, False])
def test_gradients_equal_autograd_through_the_unrolled_layer(
    reset: str, masked: bool, given_state: bool
) -> None:
    layer = _layer(3, 4, replicas=2, reset=reset)
    x = torch.randn(2, 3, 5, 3).double()
    state = torch.randn(2, 3, 4, dtype=torch.double, requires_grad=True) if given_state else None
    present = torch.rand(2, 3, 5) < 0.5 if masked else None
    asked = [*layer.parameters(), *([state] if state is not None else [])]
    weights = torch.randn(2, 3, 5, 4).double()
    by_hand = layer(x, state, present)
    unrolled = layer.unrolled(project(x, layer.kernel), state, present)
    ours, autograds = (
        torch.autograd.grad((outputs * weights).sum(), asked) for outputs in (by_hand, unrolled)
    )
    torch.testing.assert_close(by_hand, unrolled)
    torch.testing.assert_close(ours, autograds)


@ORDERS
def test_a_window_run_in_two_parts_equals_the_whole(reset: str) -> None:
    layer = _layer(3, 4, reset=reset)
    x, state = torch.randn(1, 2, 5, 3).double(), torch.randn(1, 2, 4).double()
    head = layer(x[:, :, :2], state)
    tail = layer(x[:, :, 2:], head[:, :, -1])
    torch.testing.assert_close(torch.cat([head, tail], 2), layer(x, state))


@ORDERS
def test_many_elements_give_the_same_results_as_few(reset: str) -> None:
    layer = _layer(3, 4, reset=reset).float()
    x = torch.randn(1, MANY, 5, 3)
    torch.testing.assert_close(layer(x)[:, :7], layer(x[:, :7]))


@ORDERS
def test_the_inputs_are_not_changed(reset: str) -> None:
    layer = _layer(3, 4, reset=reset)
    given_ = [*layer.parameters(), torch.randn(1, 1, 2, 3).double(), torch.randn(1, 1, 4).double()]
    copies = [part.detach().clone() for part in given_]
    layer(*given_[-2:]).sum().backward()
    torch.testing.assert_close([part.detach() for part in given_], copies)


@ORDERS
def test_a_masked_timestep_has_no_effect(reset: str) -> None:
    layer = _layer(3, 4, reset=reset)
    x, state = torch.randn(1, 1, 6, 3).double(), torch.randn(1, 1, 4).double()
    present = torch.tensor([[[False, True, False, True, True, False]]])
    outputs = layer(x, state, present)
    torch.testing.assert_close(outputs[:, :, present[0, 0]], layer(x[:, :, present[0, 0]], state))
    torch.testing.assert_close(outputs[:, :, 0, :], state)
    torch.testing.assert_close(outputs[:, :, 5], outputs[:, :, 4])


def _network(**changes: Any) -> GRU:
    sizes: dict[str, Any] = {
        "n_features": 9, "n_outputs": 9, "n_in": 5, "n_out": 5, "units": 20, "seeds": [0],
    }  # fmt: skip
    return GRU(**sizes | changes)


def test_the_number_of_parameters_is_that_of_keras() -> None:
    """Three kernels and three recurrent kernels, and a second bias if the product has one."""
    for reset, biases in (("after", 2), ("before", 1)):
        count = sum(parameter.numel() for parameter in _network(reset=reset).parameters())
        assert count == 60 * (9 + 20 + biases) + 21 * 9


def test_an_unknown_reset_is_refused() -> None:
    with pytest.raises(SettingError, match=r"model\.reset=never .* after or before"):
        _network(reset="never")
