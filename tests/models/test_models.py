"""Every network: its shapes, its state and its topology."""

import inspect
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_exp.inspection.recording import recorded
from echo_exp.models import (
    GRU,
    Attention,
    EncoderDecoder,
    ManyToOne,
    MinGRU,
    OneToOne,
    Seq2Seq,
    WithCells,
)
from echo_exp.settings import SettingError

from .. import matrix

SMALL = st.integers(1, 4)
WITH_STATE = [model for name, model in matrix.topologies().items() if matrix.has_state(name)]
NETWORKS = pytest.mark.parametrize("model", WITH_STATE)
AT_EVERY_TIMESTEP = pytest.mark.parametrize(
    "model", [model for model in WITH_STATE if "padding" in inspect.signature(model).parameters]
)


@given(SMALL, SMALL, SMALL, SMALL, SMALL, st.integers(1, 3), st.data())
@settings(max_examples=25, deadline=None)
def test_outputs_and_state_have_their_shapes(
    replicas: int, batch: int, n_in: int, values: int, units: int, layers: int, data: st.DataObject
) -> None:
    n_out = data.draw(st.integers(1, n_in))
    sizes: dict[str, Any] = {
        "n_features": values, "n_outputs": values + 1, "n_in": n_in, "units": units,
        "layers": layers, "n_out": n_out, "seeds": range(replicas),
    }  # fmt: skip
    categories = torch.randint(values, (replicas, batch, n_in))
    present = torch.rand(replicas, batch, n_in) < 0.5
    for model, parts in (
        (Seq2Seq(**sizes, padding="post"), 2),
        (Seq2Seq(**sizes, padding="pre"), 2),
        (EncoderDecoder(**sizes), 4),
        (Attention(**sizes), 4),
        (ManyToOne(**sizes), 2),
        (OneToOne(**sizes), 2),
        (GRU(**sizes, padding="post"), 1),
        (GRU(**sizes, padding="pre", reset="before"), 1),
        (MinGRU(**sizes, padding="post"), 1),
        (MinGRU(**sizes, padding="pre"), 1),
    ):
        for x in (categories, torch.randn(replicas, batch, n_in, values)):
            outputs, state = model(x, None, present)
            assert outputs.shape == (replicas, batch, n_out, values + 1)
            assert [part.shape for part in state] == [(replicas, batch, units)] * parts * layers
            assert model(x, state)[0].shape == outputs.shape


def test_the_cell_states_are_those_of_each_layer() -> None:
    sizes: dict[str, Any] = {
        "n_features": 6, "n_outputs": 6, "n_in": 3, "n_out": 3, "units": 4, "layers": 2,
        "seeds": [0],
    }  # fmt: skip
    for make in (Seq2Seq, EncoderDecoder, Attention, ManyToOne, OneToOne):
        model = make(**sizes)
        assert isinstance(model, WithCells)
        with recorded(model) as recordings:
            _, state = model(torch.randint(6, (1, 2, 3)))
        expected = [recording.cell[:, :, -1] for recording in recordings.values()]
        torch.testing.assert_close(list(model.cell_states(state)), expected)


def _encoder_decoder(layers: int = 1) -> EncoderDecoder:
    return EncoderDecoder(
        n_features=9, n_outputs=9, n_in=4, n_out=3, units=5, seeds=[0, 1], layers=layers
    )


def test_the_decoder_reads_the_encoders_last_output_at_each_timestep() -> None:
    model = _encoder_decoder(layers=2)
    x, state = torch.randint(9, (2, 3, 4)), tuple(torch.randn(8, 2, 3, 5))
    outputs, after = model(x, state)
    read, encoded = model.encoder(x, state[:4])
    repeated = read[:, :, -1:].repeat(1, 1, 3, 1)
    written, decoded = model.decoder(repeated, state[4:])
    torch.testing.assert_close(outputs, model.dense(written))
    torch.testing.assert_close(after, encoded + decoded)


def test_the_state_changes_the_answer() -> None:
    model = _encoder_decoder()
    x = torch.randint(9, (2, 3, 4))
    answer, after = model(x)
    assert not torch.equal(answer, model(x, after)[0])
    assert torch.equal(answer, model(x)[0])  # and nothing is remembered between calls


@AT_EVERY_TIMESTEP
@pytest.mark.parametrize(("padding", "position"), [("post", slice(2)), ("pre", slice(3, 5))])
def test_padded_targets_are_at_the_beginning_or_the_end(
    model: type[Seq2Seq], padding: str, position: slice
) -> None:
    sizes: dict[str, Any] = {
        "n_features": 9, "n_outputs": 9, "n_in": 5, "units": 4, "seeds": [0],
    }  # fmt: skip
    whole, part = model(**sizes, n_out=5), model(**sizes, n_out=2, padding=padding)
    x = torch.randint(9, (1, 3, 5))
    torch.testing.assert_close(part(x)[0], whole(x)[0][:, :, position])
    torch.testing.assert_close(part(x)[1], whole(x)[1])


def test_many_to_one_answers_from_the_last_output_only() -> None:
    model = ManyToOne(n_features=9, n_outputs=7, n_in=4, n_out=3, units=5, seeds=[0, 1])
    x = torch.randint(9, (2, 3, 4))
    hidden, _ = model.lstm(x)
    vector = hidden[:, :, -1] @ model.dense.kernel + model.dense.bias  # [R, B, n_out*V]
    torch.testing.assert_close(model(x)[0].flatten(2), vector)


def test_one_to_one_reads_timesteps_as_features() -> None:
    """The look-up of categories equals the product with their one-hot vectors side by side."""
    model = OneToOne(n_features=9, n_outputs=7, n_in=4, n_out=3, units=5, seeds=[0, 1])
    x = torch.randint(9, (2, 3, 4))
    features = torch.nn.functional.one_hot(x, 9).float()
    torch.testing.assert_close(model(x)[0], model(features)[0])
    hidden, _ = model.lstm(features.flatten(2).unsqueeze(2))  # one timestep
    torch.testing.assert_close(model(x)[0].flatten(2), model.dense(hidden).flatten(2))


def test_a_missing_integer_contributes_nothing_to_the_features() -> None:
    model = OneToOne(n_features=9, n_outputs=7, n_in=4, n_out=3, units=5, seeds=[0])
    x = torch.randint(9, (1, 3, 4))
    present = torch.rand(1, 3, 4) < 0.5
    features = torch.nn.functional.one_hot(x, 9).float()
    without = features * present.unsqueeze(-1)
    for given_ in (x, features):
        torch.testing.assert_close(model(given_, None, present)[0], model(without)[0])


@NETWORKS
def test_replicas_share_nothing(model: type[Seq2Seq]) -> None:
    sizes: dict[str, Any] = {
        "n_features": 9, "n_outputs": 9, "n_in": 4, "n_out": 4, "units": 3, "layers": 2,
    }  # fmt: skip
    both = model(**sizes, seeds=[0, 1])
    x = torch.randint(9, (2, 3, 4))
    outputs, _ = both(x)
    for replica in range(2):
        alone = model(**sizes, seeds=[replica])
        torch.testing.assert_close(alone(x[replica : replica + 1])[0][0], outputs[replica])
    gradients = torch.autograd.grad(outputs[0].sum(), list(both.parameters()))
    assert all(not gradient[1].any() for gradient in gradients)


def test_the_baselines_have_the_tutorials_numbers_of_parameters() -> None:
    seq2seq = Seq2Seq(n_features=100, n_outputs=100, n_in=5, n_out=5, units=20, seeds=[0])
    assert sum(p.numel() for p in seq2seq.parameters()) == 80 * (100 + 20 + 1) + 21 * 100
    model = EncoderDecoder(n_features=100, n_outputs=100, n_in=5, n_out=2, units=150, seeds=[0])
    expected = 600 * (100 + 150 + 1) + 600 * (150 + 150 + 1) + 151 * 100
    assert sum(p.numel() for p in model.parameters()) == expected


@AT_EVERY_TIMESTEP
def test_without_padding_it_answers_at_every_timestep_or_not_at_all(model: type[Seq2Seq]) -> None:
    with pytest.raises(SettingError, match=r"problem.n_out=2 .*seq2seq_padded"):
        model(n_features=9, n_outputs=9, n_in=5, n_out=2, units=3, seeds=[0])


@NETWORKS
def test_the_state_is_carried_by_default(model: type[Seq2Seq]) -> None:
    sizes: dict[str, Any] = {
        "n_features": 9, "n_outputs": 9, "n_in": 2, "n_out": 2, "units": 3, "seeds": [0],
    }  # fmt: skip
    assert model(**sizes).stateful is True
    assert model(**sizes | {"stateful": False}).stateful is False
    with pytest.raises(SettingError, match=r"model\.stateful=no .* true or false"):
        model(**sizes | {"stateful": "no"})


@NETWORKS
def test_a_network_has_one_layer_by_default(model: type[Seq2Seq]) -> None:
    sizes: dict[str, Any] = {
        "n_features": 9, "n_outputs": 9, "n_in": 2, "n_out": 2, "units": 3, "seeds": [0],
    }  # fmt: skip
    x = torch.randint(9, (1, 3, 2))
    (_, one), (_, three) = model(**sizes)(x), model(**sizes, layers=3)(x)
    assert len(three) == 3 * len(one)


@AT_EVERY_TIMESTEP
def test_an_unknown_padding_is_refused(model: type[Seq2Seq]) -> None:
    with pytest.raises(SettingError, match=r"model\.padding=left .* null or post or pre"):
        model(n_features=9, n_outputs=9, n_in=5, n_out=2, units=3, seeds=[0], padding="left")


@NETWORKS
@pytest.mark.parametrize("layers", [0, -1, 1.5, "2", None, True, 10**9])
def test_layers_that_are_not_allowed_are_refused(model: type[Seq2Seq], layers: Any) -> None:
    with pytest.raises(SettingError, match=r"model\.layers="):
        model(n_features=9, n_outputs=9, n_in=5, n_out=5, units=3, layers=layers, seeds=[0])


@AT_EVERY_TIMESTEP
def test_each_layer_continues_from_its_own_state(model: type[Seq2Seq]) -> None:
    sizes: dict[str, Any] = {
        "n_features": 9, "n_outputs": 9, "units": 3, "layers": 3, "seeds": [0, 1],
    }  # fmt: skip
    network = model(**sizes, n_in=5, n_out=5)
    x = torch.randint(9, (2, 4, 5))
    whole, end = network(x)
    network.answers = slice(None)
    head, between = network(x[:, :, :2])
    tail, last = network(x[:, :, 2:], between)
    torch.testing.assert_close(torch.cat([head, tail], 2), whole)
    torch.testing.assert_close(last, end)


@pytest.mark.parametrize("units", [0, -1, 1.5, "20", None, True, 10**9])
@NETWORKS
def test_units_that_are_not_allowed_are_refused(model: type[Seq2Seq], units: Any) -> None:
    with pytest.raises(SettingError, match=r"model.units="):
        model(n_features=9, n_outputs=9, n_in=5, n_out=5, units=units, seeds=[0])
