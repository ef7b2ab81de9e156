"""The linear recurrences equal the sequential equations of their papers, in complex float64."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from echo_exp.models import SSM, SelectiveSSM
from echo_exp.models.initializers import generators
from echo_exp.models.selective_ssm import SelectiveRecurrence
from echo_exp.models.ssm import LinearRecurrence
from echo_exp.settings import SettingError

Array = NDArray[Any]
SIZES = st.integers(1, 4)
RECURRENCES = pytest.mark.parametrize("kind", ["linear", "selective"])


def _made(kind: str, units: int, states: int, replicas: int = 1) -> Any:
    seeds = generators(range(replicas))
    if kind == "linear":
        return LinearRecurrence(units, states, seeds, (0.3, 0.99), 1.0).double()
    return SelectiveRecurrence(units, states, seeds).double()


def _width(kind: str, units: int, states: int) -> int:
    return 2 * states if kind == "linear" else units * states


def _numbers(layer: nn.Module, replica: int) -> dict[str, Array]:
    return {name: p[replica].detach().numpy() for name, p in layer.named_parameters()}


def _linear(w: dict[str, Array], x: Array, state: Array, present: Array) -> tuple[Array, Array]:
    """Orvieto et al. 2023, equations 2 and 6, for one replica: [B, T, U] -> [B, T, U]."""
    half = state.shape[-1] // 2
    s = state[:, :half] + 1j * state[:, half:]
    a = np.exp(-np.exp(w["decay_log"]) + 1j * np.exp(w["phase_log"]))
    b = w["kernel"][:, :half] + 1j * w["kernel"][:, half:]
    c = w["read_kernel"][:half] - 1j * w["read_kernel"][half:]
    outputs = []
    for t in range(x.shape[1]):
        new = a * s + np.exp(w["gain_log"]) * (x[:, t] @ b)
        s = np.where(present[:, t, None], new, s)
        outputs.append((s @ c).real + w["skip"] * x[:, t])
    return np.stack(outputs, 1), np.concatenate([s.real, s.imag], -1)


def _selective(w: dict[str, Array], x: Array, state: Array, present: Array) -> tuple[Array, Array]:
    """Gu & Dao 2023, algorithm 2, for one replica: [B, T, U] -> [B, T, U]."""
    rate = np.exp(w["rate_log"])  # [U, S]
    s = state.reshape(len(x), *rate.shape)
    outputs = []
    for t in range(x.shape[1]):
        u = x[:, t]
        step = np.log1p(np.exp(u @ w["narrow_kernel"] @ w["step_kernel"] + w["step_bias"]))
        written, read = u @ w["write_kernel"], u @ w["read_kernel"]
        new = np.exp(-step[..., None] * rate) * s + (step * u)[..., None] * written[:, None]
        s = np.where(present[:, t, None, None], new, s)
        outputs.append(np.einsum("bus,bs->bu", s, read) + w["skip"] * u)
    return np.stack(outputs, 1), s.reshape(len(x), -1)


EQUATIONS = {"linear": _linear, "selective": _selective}


@RECURRENCES
@given(st.integers(1, 3), SIZES, st.integers(1, 30), SIZES, SIZES, st.booleans(), st.booleans())
@settings(max_examples=20, deadline=None)
def test_every_replica_equals_the_sequential_equations(
    kind: str, replicas: int, batch: int, timesteps: int, units: int, states: int,
    given_state: bool, masked: bool,
) -> None:  # fmt: skip
    layer = _made(kind, units, states, replicas)
    x = torch.randn(replicas, batch, timesteps, units).double()
    there = torch.rand(replicas, batch, timesteps) < (0.7 if masked else 2)
    before = torch.randn(replicas, batch, _width(kind, units, states)).double() * given_state
    outputs, after = layer(x, before if given_state else None, there if masked else None)
    for r in range(replicas):
        numbers = _numbers(layer, r)
        expected = EQUATIONS[kind](numbers, x[r].numpy(), before[r].numpy(), there[r].numpy())
        for ours, theirs in zip((outputs, after), expected, strict=True):
            np.testing.assert_allclose(ours[r].detach(), theirs, rtol=1e-8, atol=1e-10)


@RECURRENCES
def test_gradients_equal_finite_differences(kind: str) -> None:
    layer = _made(kind, 3, 2, replicas=2)
    x = torch.randn(2, 2, 5, 3, dtype=torch.double, requires_grad=True)
    state = torch.randn(2, 2, _width(kind, 3, 2), dtype=torch.double, requires_grad=True)
    present = torch.rand(2, 2, 5) < 0.7
    assert torch.autograd.gradcheck(
        lambda x, state, *_: layer(x, state, present), (x, state, *layer.parameters())
    )


@RECURRENCES
def test_a_long_window_is_exact_to_the_precision_of_32_bits(kind: str) -> None:
    exact = _made(kind, 4, 8)
    x = torch.randn(1, 2, 1000, 4).double()
    expected, _ = exact(x)
    outputs, _ = exact.float()(x.float())
    assert (outputs - expected).abs().max() < 2e-4 * expected.abs().max()


@pytest.mark.parametrize("ring", [(0.9999999, 1.0), (0.0, 1e-9)])
def test_initial_weights_are_finite_at_the_edge_of_the_ring(ring: tuple[float, float]) -> None:
    layer = LinearRecurrence(4, 2000, generators([0]), ring, 0.3)
    assert all(parameter.isfinite().all() for parameter in layer.parameters())


def test_initial_eigenvalues_lie_on_a_ring() -> None:
    layer = LinearRecurrence(4, 2000, generators([0]), (0.5, 0.9), 0.3)
    layer.requires_grad_(False)
    radius, phase = (-layer.decay_log.exp()).exp(), layer.phase_log.exp()
    assert 0.5 <= radius.min() < 0.51
    assert 0.89 < radius.max() <= 0.9
    mean = float(radius.square().mean())
    assert mean == pytest.approx((0.25 + 0.81) / 2, abs=0.01)  # evenly over the area
    assert phase.max() < 0.3
    assert float(phase.mean()) == pytest.approx(0.15, abs=0.01)
    torch.testing.assert_close(layer.gain_log.exp(), (1 - radius.square()).sqrt())


def test_initial_selective_steps_lie_between_a_thousandth_and_a_tenth() -> None:
    layer = SelectiveRecurrence(2000, 3, generators([0]))
    step = nn.functional.softplus(layer.step_bias)
    assert 0.001 <= step.min() < 0.0011
    assert 0.09 < step.max() <= 0.1
    torch.testing.assert_close(layer.rate_log[0, 7].exp(), torch.tensor([1.0, 2.0, 3.0]))


def test_an_input_that_closes_the_step_keeps_the_state() -> None:
    """With a step of zero a timestep neither writes nor forgets, which no fixed decay can do."""
    layer = _made("selective", 2, 3)
    with torch.no_grad():
        layer.step_bias.fill_(-1000)
    before = torch.randn(1, 1, 6).double()
    _, after = layer(torch.randn(1, 1, 50, 2).double(), before)
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("model", [SSM, SelectiveSSM])
def test_a_window_run_in_two_parts_equals_the_whole(model: Any) -> None:
    network = model(n_features=9, n_outputs=9, n_in=8, n_out=8, units=5, seeds=[0, 1], layers=2)
    x = torch.randint(9, (2, 3, 8))
    whole, after = network(x)
    halves: list[Tensor] = []
    state = None
    network.answers = slice(4)
    for part in x.chunk(2, 2):
        outputs, state = network(part, state)
        halves.append(outputs)
    torch.testing.assert_close(torch.cat(halves, 2), whole)
    torch.testing.assert_close(state, after)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"states": 0}, "model.states"),
        ({"r_max": 1.5}, "model.r_max"),
        ({"r_max": "much"}, "model.r_max"),
        ({"r_min": 0.9, "r_max": 0.9}, "model.r_min"),
        ({"r_min": -0.1}, "model.r_min"),
        ({"max_phase": 0}, "model.max_phase"),
        ({"max_phase": math.nan}, "model.max_phase"),
    ],
)
def test_an_impossible_ring_is_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        SSM(n_features=9, n_outputs=9, n_in=5, n_out=5, units=4, seeds=[0], **given)
