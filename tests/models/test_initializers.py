"""Initial weights have Keras' distributions, and each replica's depend only on its seed."""

import math
from typing import Any

import pytest
import torch

from echo_exp.models import EncoderDecoder, ManyToOne, OneToOne, Seq2Seq
from echo_exp.models.gate_biases import GateBiases
from echo_exp.models.initializers import generators, glorot_uniform, orthogonal, uniform
from echo_exp.models.lstm import LSTM
from echo_exp.settings import SettingError
from echo_exp.task.problem import Stream, random_stream

SIZES: dict[str, Any] = {"n_features": 9, "n_outputs": 9, "n_in": 4, "n_out": 4, "units": 6}
CHRONO = {"chrono": 20, "decoder_chrono": 5}


def _model(*seeds: int, **settings: Any) -> EncoderDecoder:
    return EncoderDecoder(**SIZES, seeds=seeds, **settings)


def _gates(layer: LSTM) -> tuple[torch.Tensor, ...]:
    """The biases of the output, input, forget and candidate gates, each [R, 1, U]."""
    return layer.bias.detach().chunk(4, -1)


def test_weights_are_drawn_from_their_own_random_stream() -> None:
    for seed, generator in zip((0, 5), generators([0, 5]), strict=True):
        first = {stream: int(random_stream(seed, stream).integers(2**63)) for stream in Stream}
        assert generator.initial_seed() == first.pop(Stream.WEIGHTS)
        assert generator.initial_seed() not in first.values()


def test_forget_gates_begin_at_one_and_other_biases_at_zero() -> None:
    layer = LSTM(3, 5, generators([0, 1]))
    o, i, f, g = layer.bias.chunk(4, -1)
    assert torch.equal(f, torch.ones(2, 1, 5))
    assert not torch.cat([o, i, g]).any()
    model = Seq2Seq(n_features=3, n_outputs=3, n_in=2, n_out=2, units=5, seeds=[0])
    assert not model.dense.bias.any()


@pytest.mark.parametrize("network", [Seq2Seq, EncoderDecoder, ManyToOne, OneToOne])
def test_the_forget_bias_applies_to_every_layer(network: Any) -> None:
    model = network(**SIZES, seeds=[0, 1], layers=2, forget_bias=-2.5)
    stack = model.encoder if network is EncoderDecoder else model.lstm
    for layer in (stack.first, *stack.others):
        o, i, f, g = _gates(layer)
        assert torch.equal(f, torch.full((2, 1, 6), -2.5))
        assert not torch.cat([o, i, g]).any()


def test_the_decoder_has_its_own_biases() -> None:
    model = _model(0, forget_bias=3)
    assert (_gates(model.encoder.first)[2] == 3).all()
    assert (_gates(model.decoder.first)[2] == 1).all()
    model = _model(0, chrono=20, decoder_forget_bias=0)
    assert _gates(model.encoder.first)[1].all()
    assert not model.decoder.first.bias.any()


def test_chrono_spreads_memory_evenly_up_to_the_longest_dependency() -> None:
    o, i, f, g = GateBiases(chrono=20).draw(20_000, generators([0])).detach().chunk(4, -1)
    assert torch.equal(i, -f)
    assert not torch.cat([o, g]).any()
    u = f.exp().double()
    assert 1 <= u.min() < 1.01
    assert 18.99 < u.max() <= 19.0001
    assert float(u.mean()) == pytest.approx(10, abs=0.1)
    assert float(u.std()) == pytest.approx(18 / math.sqrt(12), abs=0.1)


def test_the_shortest_dependency_leaves_all_gates_half_open() -> None:
    assert not LSTM(3, 5, generators([0]), GateBiases(chrono=2)).bias.any()


def test_chrono_changes_only_the_biases() -> None:
    keras, chrono = (
        dict(_model(0, 1, layers=2, **each).named_parameters()) for each in ({}, CHRONO)
    )
    differing = {name for name in keras if not torch.equal(keras[name], chrono[name])}
    assert differing == {
        f"{part}.{layer}.bias" for part in ("encoder", "decoder") for layer in ("first", "others.0")
    }


def test_the_layers_of_a_network_draw_different_biases() -> None:
    model = _model(0, layers=2, chrono=20, decoder_chrono=20)
    layers = [
        each for stack in (model.encoder, model.decoder) for each in (stack.first, *stack.others)
    ]
    assert len({float(layer.bias.detach().abs().sum()) for layer in layers}) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chrono": 1}, r"model\.chrono=1 .* from 2 to"),
        ({"chrono": 2.5}, r"model\.chrono=2\.5 .* integer"),
        ({"decoder_chrono": 0}, r"model\.decoder_chrono=0 .* from 2 to"),
        ({"forget_bias": math.nan}, r"model\.forget_bias=nan .* number"),
        ({"forget_bias": None}, r"model\.forget_bias=null .* number"),
        ({"decoder_forget_bias": "much"}, r"model\.decoder_forget_bias=much .* number"),
        ({"forget_bias": 2, "chrono": 9}, r"model\.forget_bias=2 .* model\.chrono=9 draws"),
    ],
)
def test_biases_that_are_not_allowed_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        _model(0, **settings)


def test_kernels_are_uniform_within_glorots_bounds() -> None:
    kernel = glorot_uniform(100, 80, generators([0])).detach()
    bound = math.sqrt(6 / 180)
    assert 0.98 * bound < kernel.abs().max() <= bound
    assert abs(float(kernel.std()) / (bound / math.sqrt(3)) - 1) < 0.02


def test_recurrent_kernels_have_orthonormal_rows() -> None:
    kernel = orthogonal(5, 20, generators([0, 1]))
    products = kernel @ kernel.transpose(1, 2)
    torch.testing.assert_close(products, torch.eye(5).expand(2, 5, 5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("settings", [{}, CHRONO], ids=["keras", "chrono"])
def test_each_replica_starts_as_the_single_network_of_its_seed(settings: dict[str, int]) -> None:
    many = _model(3, 4, 0, **settings)
    for replica, seed in enumerate((3, 4, 0)):
        alone = _model(seed, **settings)
        for stacked, single in zip(many.parameters(), alone.parameters(), strict=True):
            assert torch.equal(stacked[replica : replica + 1], single)


def test_weights_depend_on_the_seed_and_not_on_torchs_random_state() -> None:
    torch.manual_seed(1)
    first = _model(0).encoder.first.kernel
    torch.manual_seed(2)
    assert torch.equal(first, _model(0).encoder.first.kernel)
    assert not torch.equal(first, _model(1).encoder.first.kernel)


def test_drawing_other_numbers_does_not_change_the_weights() -> None:
    one, other = generators([0]), generators([0])
    numbers = uniform(4, one, 2, 3)
    assert ((numbers >= 2) & (numbers <= 3)).all()
    weights = glorot_uniform(1, 4, other)
    assert torch.equal(glorot_uniform(1, 4, one), weights)
    raw = weights.detach() / math.sqrt(6 / 5) / 2 + 2.5  # the same numbers would be these
    assert not torch.isclose(numbers, raw).any()
