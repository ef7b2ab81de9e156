"""The LSTM layer equals `torch.nn.LSTM`, step for step and gradient for gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from echo_exp.models.initializers import generators
from echo_exp.models.lstm import LSTM, MANY, State, _tanh_of_many

SIZES = st.integers(1, 5)


def _layer(features: int, units: int, replicas: int = 1) -> LSTM:
    layer = LSTM(features, units, generators(range(replicas))).double()
    with torch.no_grad():
        layer.bias.uniform_(-1, 1)
    return layer


def _state(layer: LSTM, batch: int) -> State:
    shape = layer.kernel.shape[0], batch, layer.units
    return torch.randn(shape).double(), torch.randn(shape).double()


def _torch_order(gates: Tensor) -> Tensor:
    """Reorders the gates: ours are o, i, f, g; torch's are i, f, g, o."""
    o, i, f, g = gates.chunk(4, -1)
    return torch.cat([i, f, g, o], -1)


def _peer(layer: LSTM, replica: int = 0) -> nn.LSTM:
    """`torch.nn.LSTM` with the weights of one replica and its second bias zero."""
    peer = nn.LSTM(layer.kernel.shape[1], layer.units, batch_first=True).double()
    bias = _torch_order(layer.bias[replica, 0])
    peer.load_state_dict(
        {
            "weight_ih_l0": _torch_order(layer.kernel[replica]).T,
            "weight_hh_l0": _torch_order(layer.recurrent_kernel[replica]).T,
            "bias_ih_l0": bias,
            "bias_hh_l0": torch.zeros_like(bias),
        }
    )
    return peer


@given(st.integers(1, 3), SIZES, SIZES, SIZES, SIZES)
@settings(max_examples=25, deadline=None)
def test_every_replica_equals_torchs_layer(
    replicas: int, batch: int, timesteps: int, features: int, units: int
) -> None:
    torch.manual_seed(0)
    layer = _layer(features, units, replicas)
    x = torch.randn(replicas, batch, timesteps, features).double()
    state = _state(layer, batch)
    outputs, after = layer(x, state)
    for r in range(replicas):
        before = tuple(part[r : r + 1] for part in state)
        expected, (hidden, cell) = _peer(layer, r)(x[r], before)
        torch.testing.assert_close(outputs[r], expected)
        torch.testing.assert_close(after[0][r], hidden[0])
        torch.testing.assert_close(after[1][r], cell[0])


def test_gradients_equal_those_of_torchs_layer() -> None:
    layer = _layer(3, 4)
    peer = _peer(layer)
    x = torch.randn(1, 2, 6, 3).double()
    state = _state(layer, 2)
    weights = torch.randn(2, 6, 4).double()
    outputs, after = layer(x, state)
    ((outputs[0] * weights).sum() + after[1].square().sum()).backward()
    expected, (_, cell) = peer(x[0], state)
    ((expected * weights).sum() + cell.square().sum()).backward()
    for ours, theirs in (
        (layer.kernel, peer.weight_ih_l0),
        (layer.recurrent_kernel, peer.weight_hh_l0),
    ):
        assert ours.grad is not None
        torch.testing.assert_close(_torch_order(ours.grad[0]).T, theirs.grad)
    assert layer.bias.grad is not None
    torch.testing.assert_close(_torch_order(layer.bias.grad[0, 0]), peer.bias_ih_l0.grad)


@pytest.mark.parametrize("timesteps", [1, 4])
def test_the_handwritten_backward_pass_passes_gradcheck(timesteps: int) -> None:
    layer = _layer(3, 2, replicas=2)
    x = torch.randn(2, 3, timesteps, 3, dtype=torch.double, requires_grad=True)
    state = tuple(part.requires_grad_() for part in _state(layer, 3))

    def run(x: Tensor, h: Tensor, c: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        outputs, after = layer(x, (h, c))
        return outputs, *after

    assert torch.autograd.gradcheck(run, (x, *state, *layer.parameters()))


@pytest.mark.parametrize("which", [0, 1])
def test_either_part_of_the_state_alone_has_a_gradient(which: int) -> None:
    layer = _layer(3, 2, replicas=2)
    x, state = torch.randn(2, 3, 4, 3).double(), _state(layer, 3)
    state[which].requires_grad_()
    (ours,) = torch.autograd.grad(layer(x, state)[0].sum(), [state[which]])
    (plain,) = torch.autograd.grad(_plain(layer, x, state).sum(), [state[which]])
    torch.testing.assert_close(ours, plain)


def test_gradients_equal_autograd_through_plain_gates() -> None:
    layer = _layer(3, 4, replicas=2)
    x = torch.randn(2, 3, 5, 3).double()
    state = _state(layer, 3)
    weights = torch.randn(2, 3, 5, 4).double()
    ours = torch.autograd.grad((layer(x, state)[0] * weights).sum(), list(layer.parameters()))
    plain = torch.autograd.grad((_plain(layer, x, state) * weights).sum(), list(layer.parameters()))
    torch.testing.assert_close(ours, plain)


def _plain(layer: LSTM, x: Tensor, state: State) -> Tensor:
    h, c = state
    outputs = []
    for step in x.unbind(2):
        gates = step @ layer.kernel + h @ layer.recurrent_kernel + layer.bias
        o, i, f, g = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs, 2)


@given(st.integers(1, 3), SIZES, SIZES, SIZES, SIZES)
@settings(max_examples=25, deadline=None)
def test_integers_act_like_their_one_hot_vectors(
    replicas: int, batch: int, timesteps: int, values: int, units: int
) -> None:
    layer = _layer(values, units, replicas)
    integers = torch.randint(values, (replicas, batch, timesteps))
    one_hot = functional.one_hot(integers, values).double()
    state = _state(layer, batch)
    results = []
    for x in (integers, one_hot):
        outputs = layer(x, state)[0]
        gradients = torch.autograd.grad(outputs.square().sum(), list(layer.parameters()))
        results.append((outputs, *gradients))
    torch.testing.assert_close(*results)


@given(SIZES, SIZES)
@settings(max_examples=10, deadline=None)
def test_a_window_run_in_two_parts_equals_the_whole(first: int, second: int) -> None:
    layer = _layer(3, 4)
    x = torch.randn(1, 2, first + second, 3).double()
    state = _state(layer, 2)
    whole, end = layer(x, state)
    head, between = layer(x[:, :, :first], state)
    tail, last = layer(x[:, :, first:], between)
    torch.testing.assert_close(torch.cat([head, tail], 2), whole)
    torch.testing.assert_close(last, end)


def test_one_projected_timestep_can_serve_all_timesteps() -> None:
    layer = _layer(3, 4, replicas=2)
    x = torch.randn(2, 3, 1, 3).double()
    state = _state(layer, 3)
    expanded, _ = layer.recur(layer.project(x).expand(-1, -1, 4, -1), state)
    repeated, _ = layer(x.repeat(1, 1, 4, 1), state)
    torch.testing.assert_close(expanded, repeated)


@pytest.mark.parametrize("timesteps", [1, 3])
def test_no_state_acts_like_a_state_of_zero(timesteps: int) -> None:
    layer = _layer(3, 4, replicas=2)
    x = torch.randn(2, 3, timesteps, 3).double()
    zero = tuple(torch.zeros(2, 3, 4).double() for _ in range(2))
    results = []
    for state in (None, zero):
        outputs, after = layer(x, state)
        loss = outputs.square().sum() + after[1].square().sum()
        results.append((outputs, *after, *torch.autograd.grad(loss, list(layer.parameters()))))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("given_state", [True, False])
def test_a_masked_timestep_has_no_effect(given_state: bool) -> None:
    layer = _layer(3, 4)
    x = torch.randn(1, 1, 6, 3).double()
    present = torch.tensor([[[False, True, False, True, True, False]]])
    state = _state(layer, 1) if given_state else None
    outputs, after = layer(x, state, present)
    expected, last = layer(x[:, :, present[0, 0]], state)
    torch.testing.assert_close(outputs[:, :, present[0, 0]], expected)
    torch.testing.assert_close(after, last)
    for skipped, before in ((2, 1), (5, 4)):
        torch.testing.assert_close(outputs[:, :, skipped], outputs[:, :, before])
    ours, theirs = (
        torch.autograd.grad(hidden.square().sum(), list(layer.parameters()))
        for hidden in (outputs[:, :, present[0, 0]], expected)
    )
    torch.testing.assert_close(ours, theirs)


def test_tanh_of_many_elements_is_right_to_the_last_digits() -> None:
    x = torch.linspace(-20, 20, 10_001)
    torch.testing.assert_close(_tanh_of_many(x, torch.empty_like(x)), x.tanh(), rtol=0, atol=2e-7)


def test_many_elements_give_the_same_results_as_few() -> None:
    layer = _layer(3, 4).float()
    x = torch.randn(1, MANY, 5, 3)
    outputs, after = layer(x)
    few, before = layer(x[:, :7])
    torch.testing.assert_close(outputs[:, :7], few)
    torch.testing.assert_close(after[1][:, :7], before[1])


def test_the_inputs_are_not_changed() -> None:
    layer = _layer(3, 4)
    x = torch.randn(1, 1, 1, 3).double()
    projected, state = layer.project(x), _state(layer, 1)
    copies = [part.clone() for part in (projected, *state)]
    layer.recur(projected, state)
    torch.testing.assert_close([projected, *state], copies)


@pytest.mark.parametrize("skipped", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_the_unrolled_layer_gives_the_same_results(skipped: bool, given: bool) -> None:
    layer = LSTM(3, 4, generators([1, 2]))
    x = torch.randn(2, 5, 6, 3)
    present = torch.rand(2, 5, 6) < 0.5 if skipped else None
    state = (torch.randn(2, 5, 4), torch.randn(2, 5, 4)) if given else None
    outputs, (hidden, cell) = layer(x, state, present)
    steps = layer.unrolled(layer.project(x), state, present)
    assert torch.allclose(steps.hidden, outputs, atol=1e-6)
    assert torch.allclose(steps.hidden[:, :, -1], hidden, atol=1e-6)
    assert torch.allclose(steps.cell[:, :, -1], cell, atol=1e-6)
    output, _, _, candidate = steps.gates.chunk(4, -1)
    if present is None:
        assert torch.allclose(output * steps.cell.tanh(), steps.hidden, atol=1e-6)
    assert candidate.min() < 0 < output.min()
