"""The two networks of the tutorial."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_exp.models import EncoderDecoder, Seq2Seq
from echo_exp.settings import SettingError

SMALL = st.integers(1, 4)


@given(SMALL, SMALL, SMALL, SMALL, SMALL, st.data())
@settings(max_examples=25, deadline=None)
def test_outputs_and_state_have_their_shapes(
    replicas: int, batch: int, n_in: int, values: int, units: int, data: st.DataObject
) -> None:
    n_out = data.draw(st.integers(1, n_in))
    sizes: dict[str, Any] = {
        "n_features": values, "n_outputs": values, "n_in": n_in, "units": units
    }  # fmt: skip
    seeds = range(replicas)
    x = torch.randint(values, (replicas, batch, n_in))
    for model, timesteps, states in (
        (Seq2Seq(**sizes, n_out=n_in, seeds=seeds), n_in, 2),
        (EncoderDecoder(**sizes, n_out=n_out, seeds=seeds), n_out, 4),
    ):
        before = model.initial_state(batch)
        assert not torch.stack(before).any()
        outputs, after = model(x, before)
        assert outputs.shape == (replicas, batch, timesteps, values)
        assert [part.shape for part in after] == [(replicas, batch, units)] * states
        assert [part.shape for part in before] == [part.shape for part in after]


def _encoder_decoder() -> EncoderDecoder:
    return EncoderDecoder(n_features=9, n_outputs=9, n_in=4, n_out=3, units=5, seeds=[0, 1])


def test_the_decoder_reads_the_encoders_last_output_at_each_timestep() -> None:
    model = _encoder_decoder()
    x, state = torch.randint(9, (2, 3, 4)), tuple(torch.randn(4, 2, 3, 5))
    outputs, _ = model(x, state)
    read, _ = model.encoder(x, state[:2])
    repeated = read[:, :, -1:].repeat(1, 1, 3, 1)
    written, _ = model.decoder(repeated, state[2:])
    torch.testing.assert_close(outputs, model.dense(written))


def test_the_state_changes_the_answer() -> None:
    model = _encoder_decoder()
    x = torch.randint(9, (2, 3, 4))
    zero = model.initial_state(3)
    answer, after = model(x, zero)
    assert not torch.equal(answer, model(x, after)[0])
    assert torch.equal(answer, model(x, zero)[0])  # and nothing is remembered between calls


def test_replicas_share_nothing() -> None:
    model = _encoder_decoder()
    outputs, _ = model(torch.randint(9, (2, 3, 4)), model.initial_state(3))
    gradients = torch.autograd.grad(outputs[0].sum(), list(model.parameters()))
    assert all(not gradient[1].any() for gradient in gradients)


def test_the_baselines_have_the_tutorials_numbers_of_parameters() -> None:
    seq2seq = Seq2Seq(n_features=100, n_outputs=100, n_in=5, n_out=5, units=20, seeds=[0])
    assert sum(p.numel() for p in seq2seq.parameters()) == 80 * (100 + 20 + 1) + 21 * 100
    model = EncoderDecoder(n_features=100, n_outputs=100, n_in=5, n_out=2, units=150, seeds=[0])
    expected = 600 * (100 + 150 + 1) + 600 * (150 + 150 + 1) + 151 * 100
    assert sum(p.numel() for p in model.parameters()) == expected


def test_seq2seq_answers_at_every_timestep_or_not_at_all() -> None:
    with pytest.raises(SettingError, match=r"problem.n_out=2 .*seq2seq_padded"):
        Seq2Seq(n_features=9, n_outputs=9, n_in=5, n_out=2, units=3, seeds=[0])


@pytest.mark.parametrize("units", [0, -1, 1.5, "20", None, True, 10**9])
@pytest.mark.parametrize("model", [Seq2Seq, EncoderDecoder])
def test_units_that_are_not_allowed_are_refused(model: type[Seq2Seq], units: Any) -> None:
    with pytest.raises(SettingError, match=r"model.units="):
        model(n_features=9, n_outputs=9, n_in=5, n_out=5, units=units, seeds=[0])
