"""Initial weights are those of Keras, and each replica's are its seed's."""

import math

import torch

from echo_exp.models import EncoderDecoder, Seq2Seq
from echo_exp.models.initializers import generators, glorot_uniform, orthogonal
from echo_exp.models.lstm import LSTM
from echo_exp.task.problem import Stream, random_stream


def _model(*seeds: int) -> EncoderDecoder:
    return EncoderDecoder(n_features=9, n_outputs=9, n_in=4, n_out=2, units=6, seeds=seeds)


def test_weights_are_drawn_from_a_stream_of_their_own() -> None:
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


def test_kernels_are_uniform_within_glorots_bounds() -> None:
    kernel = glorot_uniform(100, 80, generators([0])).detach()
    bound = math.sqrt(6 / 180)
    assert 0.98 * bound < kernel.abs().max() <= bound
    assert abs(float(kernel.std()) / (bound / math.sqrt(3)) - 1) < 0.02


def test_recurrent_kernels_have_orthonormal_rows() -> None:
    kernel = orthogonal(5, 20, generators([0, 1]))
    products = kernel @ kernel.transpose(1, 2)
    torch.testing.assert_close(products, torch.eye(5).expand(2, 5, 5), atol=1e-5, rtol=0)


def test_each_replica_begins_as_the_single_net_of_its_seed() -> None:
    many = _model(3, 4, 0)
    for replica, seed in enumerate((3, 4, 0)):
        for stacked, single in zip(many.parameters(), _model(seed).parameters(), strict=True):
            assert torch.equal(stacked[replica : replica + 1], single)


def test_seeds_differ_and_the_surroundings_do_not_matter() -> None:
    torch.manual_seed(1)
    first = _model(0).encoder.first.kernel
    torch.manual_seed(2)
    assert torch.equal(first, _model(0).encoder.first.kernel)
    assert not torch.equal(first, _model(1).encoder.first.kernel)
