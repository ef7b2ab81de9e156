"""Recordings of layers agree with what the layers compute."""

from typing import Any

import pytest
import torch

from echo_exp import Attention, EncoderDecoder, ManyToOne, OneToOne, Seq2Seq
from echo_exp.inspection import recording

SIZES: dict[str, Any] = {"n_features": 6, "n_outputs": 6, "units": 5, "seeds": [1, 2]}
MODELS = {
    "seq2seq": Seq2Seq(n_in=4, n_out=4, **SIZES),
    "padded": Seq2Seq(n_in=4, n_out=2, padding="pre", **SIZES),
    "layers": Seq2Seq(n_in=4, n_out=4, layers=3, **SIZES),
    "encoder_decoder": EncoderDecoder(n_in=4, n_out=2, layers=2, **SIZES),
    "attention": Attention(n_in=4, n_out=3, layers=2, **SIZES),
    "many_to_one": ManyToOne(n_in=4, n_out=2, **SIZES),
    "one_to_one": OneToOne(n_in=4, n_out=2, **SIZES),
}


def _window(masked: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    random = torch.Generator().manual_seed(0)
    window = torch.randint(6, (2, 3, 4), generator=random)  # [R, B, T]
    present = torch.rand(2, 3, 4, generator=random) > 0.4
    return window, present if masked else None


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_recorded_outputs_and_states_equal_those_of_the_network(name: str, masked: bool) -> None:
    model, (window, present) = MODELS[name], _window(masked)
    _, before = model(window)
    expected, state = model(window, before, present)
    with recording.recorded(model) as recordings:
        outputs, recorded = model(window, before, present)
    assert torch.allclose(outputs, expected, atol=1e-6)
    for part, other in zip(recorded, state, strict=True):
        assert torch.allclose(part, other, atol=1e-6)
    last = [part[:, :, -1] for each in recordings.values() for part in (each.hidden, each.cell)]
    assert all(torch.equal(a, b) for a, b in zip(last, recorded, strict=True))


def test_layers_are_named_after_their_stacks() -> None:
    assert list(recording.layers(MODELS["seq2seq"])) == ["lstm"]
    assert list(recording.layers(MODELS["layers"])) == ["lstm", "lstm 2", "lstm 3"]
    names = ["encoder", "encoder 2", "decoder", "decoder 2"]
    assert list(recording.layers(MODELS["encoder_decoder"])) == names


def test_the_first_recorded_state_is_that_before_the_window() -> None:
    model, (window, _) = MODELS["encoder_decoder"], _window(masked=False)
    with recording.recorded(model) as recordings:
        _, after = model(window)
        assert not recordings["encoder"].hidden[:, :, 0].any()
        model(window, after)
    assert torch.equal(recordings["encoder"].hidden[:, :, 0], after[0])
    assert recordings["encoder"].cell.shape == (2, 3, 5, 5)  # one more than timesteps
    assert recordings["decoder"].gates.shape == (4, 2, 3, 2, 5)


def test_a_layer_that_is_called_timestep_by_timestep_is_recorded_as_a_whole() -> None:
    model, (window, present) = MODELS["attention"], _window(masked=True)
    assert isinstance(model, Attention)
    with recording.recorded(model) as recordings:
        for _ in range(2):  # each call of the network by itself
            outputs, _ = model(window, None, present)
    decoder = recordings["decoder 2"]
    assert decoder.gates.shape == (4, 2, 3, 3, 5)
    assert decoder.hidden.shape == decoder.cell.shape == (2, 3, 4, 5)
    assert not decoder.hidden[:, :, 0].any()
    torch.testing.assert_close(outputs, model.dense(decoder.hidden[:, :, 1:]))
    output = decoder.gates[0]  # [R, B, T, U]
    torch.testing.assert_close(output * decoder.cell[:, :, 1:].tanh(), decoder.hidden[:, :, 1:])


def test_a_skipped_timestep_does_not_change_the_state() -> None:
    model, (window, present) = MODELS["seq2seq"], _window(masked=True)
    assert present is not None
    with recording.recorded(model) as recordings:
        model(window, None, present)
    hidden = recordings["lstm"].hidden
    same = (hidden[:, :, 1:] == hidden[:, :, :-1]).all(-1)
    assert torch.equal(same, ~present)


def test_recording_does_not_change_the_network() -> None:
    model, (window, _) = MODELS["layers"], _window(masked=False)
    expected, _ = model(window)
    with pytest.raises(RuntimeError), recording.recorded(model):
        raise RuntimeError
    assert all("recur" not in layer.__dict__ for layer in recording.layers(model).values())
    assert torch.equal(model(window)[0], expected)


def test_a_network_without_our_layers_has_no_recordings() -> None:
    with recording.recorded(torch.nn.GRU(3, 4)) as recordings:
        pass
    assert recordings == {}
