"""Measured gates, attention and gradients, of networks for which these are known."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import echo_exp
from echo_exp import EchoModule, EchoProblem
from echo_exp.inspection import attribution, measurements
from echo_exp.inspection.findings import findings
from echo_exp.inspection.traces import trace
from echo_exp.models import (
    GRU,
    SSM,
    Attention,
    Gated,
    SelectiveSSM,
    Transformer,
    WithAttention,
    WithGates,
)
from echo_exp.training import walks

from .. import matrix
from . import nets
from .nets import OPEN, SHUT, V

PROBLEM = EchoProblem(length=10, n_values=V, n_in=3, n_out=3)
SIZES: dict[str, Any] = {"n_features": V, "n_outputs": V, "n_in": 3, "n_out": 3, "units": 8}
ATTENTIVE = {
    "attention": Attention(**SIZES, seeds=[1], layers=2),
    "transformer": Transformer(**SIZES, seeds=[1], layers=2, heads=2),
}
GATED: dict[str, Any] = {
    name: network(**SIZES, seeds=[1], layers=2)
    for name, network in matrix.topologies().items()
    if issubclass(network, WithGates)
} | {"gru before": GRU(**SIZES, seeds=[1], layers=2, reset="before")}


def _windows(module: EchoModule) -> torch.Tensor:
    return walks.fresh(module, 0, 20)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ATTENTIVE)
def test_attention_weights_add_up_to_one_and_are_zero_at_missing_timesteps(
    name: str, masked: bool
) -> None:
    x = torch.randint(V, (1, 5, 3), generator=torch.Generator().manual_seed(0))
    present = torch.tensor([False, True, True]).expand(1, 5, 3) if masked else None
    model = ATTENTIVE[name]
    assert isinstance(model, WithAttention)
    for weights in model.attention(x, None, present).values():
        assert weights.shape == (1, 5, 3, 3)
        torch.testing.assert_close(weights.sum(-1), torch.ones(1, 5, 3))
        assert not (masked and weights[:, :, 1:, 0].any())


@pytest.mark.parametrize("name", GATED)
def test_the_states_shown_equal_those_of_the_network(name: str) -> None:
    model, x = GATED[name], torch.randint(V, (1, 5, 3))
    present = torch.tensor([True, False, True]).expand(1, 5, 3)
    _, before = model(x)
    _, after = model(x, before, present)
    shown = model.gates(x, before, present)
    for layer, first, last in zip(shown.values(), before, after, strict=True):
        assert torch.equal(layer.hidden[:, :, 0], first)
        torch.testing.assert_close(layer.hidden[:, :, -1], last)
        for gate in layer.gates.values():
            assert gate.shape == layer.hidden[:, :, 1:].shape


def test_measured_gates_equal_those_that_were_set() -> None:
    model = GRU(**SIZES, seeds=[1])
    with torch.no_grad():
        for name, value in model.layers[0].named_parameters():
            value.zero_()
            if name == "bias":
                value[..., :8], value[..., 8:16] = OPEN, SHUT  # update, reset
    module = nets.module(model, PROBLEM, 4)
    gates = measurements.gates(trace(module, _windows(module), walks.keep)["gru"])
    assert gates.names == ("update", "reset")
    assert np.allclose(gates.mean[0], 1)
    assert np.allclose(gates.mean[1], 0)
    assert gates.open.tolist() == [[1, 1, 1], [0, 0, 0]]
    assert gates.closed.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_the_measured_share_that_a_state_space_block_keeps_equals_that_which_was_set() -> None:
    slow, selective = SSM(**SIZES, seeds=[1]), SelectiveSSM(**SIZES, seeds=[1])
    with torch.no_grad():
        slow.body.blocks[0].get_parameter("recurrence.decay_log").fill_(math.log(-math.log(0.95)))
        selective.body.blocks[0].get_parameter("recurrence.step_bias").fill_(-30)  # a step of 0
    for model, expected in ((slow, 0.95), (selective, 1.0)):
        module = nets.module(model, PROBLEM, 4)
        gates = measurements.gates(trace(module, _windows(module), walks.keep)[model.kind])
        assert gates.names == ("kept",)
        assert np.allclose(gates.mean, expected)
        assert gates.open.tolist() == [[1, 1, 1]]


def test_a_decoder_set_to_attend_to_an_integer_attends_to_its_timestep() -> None:
    model = Attention(**SIZES, seeds=[1])
    nets.set_gates(model.encoder.first, output=OPEN, input_=OPEN, forget=SHUT, first=0)
    with torch.no_grad():
        model.query_kernel.zero_()
        model.key_kernel.copy_(torch.eye(8).unsqueeze(0))
        model.score_kernel.zero_()
        model.score_kernel[:, 7] = 200.0
    x = torch.tensor([[[7, 1, 2], [3, 7, 0], [4, 5, 7]]])  # [R, B, T]
    weights = model.attention(x)["decoder"]  # [R, B, n_out, T]
    expected = torch.eye(3).unsqueeze(1).expand(3, 3, 3).unsqueeze(0)
    torch.testing.assert_close(weights, expected)


def test_a_transformer_with_zero_queries_attends_equally_to_all_it_may() -> None:
    model = Transformer(**SIZES, seeds=[1], position="none")
    with torch.no_grad():
        first: Any = model.blocks[0]
        first.query_kernel.zero_()
    module = nets.module(model, PROBLEM, 4)
    found = attribution.attention(module, _windows(module))
    assert not found.by_answer
    assert found.windows == 20 * 8
    expected = np.tril(np.ones((3, 3))) / np.arange(1, 4)[:, None]
    assert np.allclose(found.weights["block 1 head 1"], expected)


def test_the_gradient_is_only_at_the_timestep_that_an_answer_depends_on() -> None:
    newest = nets.newest_only(PROBLEM, 4)
    assert np.allclose(attribution.gradient(newest, _windows(newest)).share, np.eye(3), atol=1e-6)
    first = nets.first_only(PROBLEM, 8)
    assert np.allclose(attribution.gradient(first, _windows(first)).share[:, 0], 1, atol=1e-6)


@pytest.mark.parametrize("name", GATED)
def test_each_layer_is_drawn_by_its_name(name: str, tmp_path: Path) -> None:
    model = GATED[name]
    layers = [layer.replace(" ", "_") for layer in model.gates(torch.randint(V, (1, 5, 3)))]
    echo_exp.inspect(nets.trained(nets.module(model, PROBLEM, 4)), tmp_path, sequences=20)
    for layer in layers:
        assert {f"states_{layer}", f"probes_{layer}"} <= {path.stem for path in tmp_path.iterdir()}


class _WithoutGates(GRU):
    """A network that shows only its hidden states."""

    def gates(self, *given: Any) -> dict[str, Gated]:
        return {name: shown._replace(gates={}) for name, shown in super().gates(*given).items()}


def test_layers_without_gates_show_their_states_and_say_that_they_have_no_gates(
    tmp_path: Path,
) -> None:
    network = nets.trained(nets.module(_WithoutGates(**SIZES, seeds=[1]), PROBLEM, 4))
    found = echo_exp.inspect(network, tmp_path, sequences=20)
    assert found.left_out["gates"] == "the layers of _WithoutGates have no gates"
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert {"states", "probes"} <= drawn
    assert "gates" not in drawn


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (GATED["gru"], {"states_gru", "gates_gru_2", "probes_gru"}),
        (ATTENTIVE["attention"], {"attention", "states_encoder", "gates_decoder_2"}),
        (ATTENTIVE["transformer"], {"attention"}),
    ],
)
def test_every_network_has_the_figures_that_it_supports(
    model: Any, expected: set[str], tmp_path: Path
) -> None:
    network = nets.trained(nets.module(model, PROBLEM, 4))
    found = echo_exp.inspect(network, tmp_path, sequences=20)
    expected |= {"gradient", "confusion", "errors", "skill"}
    assert expected <= {path.stem for path in tmp_path.glob("*.png")}
    assert not any("gradient" in sentence for sentence in findings(found))
