"""Additive attention: the equations of Bahdanau et al. 2015, and the weights."""

from typing import Any

import numpy as np
import pytest
import torch

from echo_exp.models import Attention


def _network(**changes: Any) -> Attention:
    sizes: dict[str, Any] = {
        "n_features": 9, "n_outputs": 9, "n_in": 4, "n_out": 3, "units": 5, "seeds": [0, 1],
    }  # fmt: skip
    return Attention(**sizes | changes)


@pytest.mark.parametrize("layers", [1, 2])
def test_outputs_equal_the_equations_of_the_paper(layers: int) -> None:
    """Computed sum by sum for each replica and window; the LSTM layers are tested elsewhere."""
    model = _network(layers=layers).double()
    x, state = torch.randint(9, (2, 3, 4)), tuple(torch.randn(4 * layers, 2, 3, 5).double())
    outputs, _ = model(x, state)
    read, _ = model.encoder(x, state[: 2 * layers])  # [R, B, T, U]
    decoded = state[2 * layers :]
    for step in range(3):
        contexts = torch.empty(2, 3, 1, 5).double()
        for r, b in np.ndindex(2, 3):
            w, u, v = (k[r] for k in (model.query_kernel, model.key_kernel, model.score_kernel))
            s = decoded[-2][r, b]
            energies = [(torch.tanh(s @ w + h @ u) @ v).exp() for h in read[r, b]]
            shares = [energy / sum(energies) for energy in energies]
            contexts[r, b, 0] = sum(a * h for a, h in zip(shares, read[r, b], strict=True))
        hidden, decoded = model.decoder(contexts, decoded)
        torch.testing.assert_close(outputs[:, :, step], model.dense(hidden)[:, :, 0])


def test_gradients_equal_finite_differences() -> None:
    model = _network(n_features=3, n_outputs=2, units=2, seeds=[0]).double()
    x = torch.randn(1, 2, 4, 3, dtype=torch.double, requires_grad=True)
    state = torch.randn(4, 1, 2, 2, dtype=torch.double, requires_grad=True)
    present = torch.tensor([True, False, True, True]).expand(1, 2, 4)
    assert torch.autograd.gradcheck(
        lambda x, state, *_: model(x, tuple(state), present)[0], (x, state, *model.parameters())
    )


def test_the_weights_add_up_to_one_and_are_zero_at_missing_timesteps() -> None:
    model = _network()
    keys, hidden = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 5)
    present = torch.tensor([False, True, True, False]).expand(2, 3, 4)
    weights = model.weights(keys, hidden, present)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3))
    assert not weights[~present].any()
    assert weights[present].all()
    torch.testing.assert_close(weights[..., 1:3], model.weights(keys[:, :, 1:3], hidden))


def test_a_missing_timestep_has_no_effect() -> None:
    model = _network()
    x = torch.randint(9, (2, 3, 4))
    present = torch.tensor([False, True, True, False]).expand(2, 3, 4)
    torch.testing.assert_close(model(x, None, present), model(x[:, :, 1:3]))


def test_a_window_without_any_integer_has_an_answer() -> None:
    outputs, _ = _network()(torch.randint(9, (2, 3, 4)), None, torch.zeros(2, 3, 4).bool())
    assert outputs.isfinite().all()


def test_the_parameters_are_those_of_an_encoder_decoder_and_of_the_scores() -> None:
    model = _network(units=20, seeds=[0])
    expected = 80 * (9 + 20 + 1) + 80 * (20 + 20 + 1) + 2 * 20 * 20 + 20 + 21 * 9
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


FEEDBACK = pytest.mark.parametrize("feedback", ["own", "teacher"])


@FEEDBACK
def test_with_feedback_it_reads_its_own_answers(feedback: str) -> None:
    """Given its own answers as the right ones nothing changes; given others, the outputs do."""
    model = _network(feedback=feedback)
    x = torch.randint(9, (2, 3, 4))
    outputs, state = model(x)
    own = outputs.argmax(-1)  # [R, B, n_out]
    taught, after = model.taught(x, None, None, own)
    torch.testing.assert_close(taught, outputs)
    torch.testing.assert_close(after, state)
    others, _ = model.taught(x, None, None, (own + 1) % 9)
    torch.testing.assert_close(others[:, :, 0], outputs[:, :, 0])
    assert not others[:, :, 1:].allclose(outputs[:, :, 1:])


def test_the_previous_answer_is_read_together_with_the_context() -> None:
    """Bahdanau et al. 2015: s_i = f(s_(i-1), y_(i-1), c_i)."""
    model = _network(feedback="teacher").double()
    x, right = torch.randint(9, (2, 3, 4)), torch.randint(9, (2, 3, 3))
    read, _ = model.encoder(x)
    keys, decoded = read @ model.key_kernel.unsqueeze(1), (torch.zeros(2, 3, 5).double(),) * 2
    outputs, _ = model.taught(x, None, None, right)
    for step in range(3):
        context = torch.einsum("rbt,rbtu->rbu", model.weights(keys, decoded[0]), read)
        before = torch.zeros(2, 3, 5).double()
        if step:
            assert model.answer_kernel is not None
            for r, b in np.ndindex(2, 3):
                before[r, b] = model.answer_kernel[r, right[r, b, step - 1]]
        hidden, decoded = model.decoder(torch.cat([context, before], -1).unsqueeze(2), decoded)
        torch.testing.assert_close(outputs[:, :, step], model.dense(hidden)[:, :, 0])


def test_a_number_is_fed_back_as_a_number() -> None:
    model = _network(n_features=1, n_outputs=1, feedback="own")
    x = torch.rand(2, 3, 4, 1)
    outputs, _ = model(x)
    torch.testing.assert_close(model.taught(x, None, None, outputs.detach())[0], outputs)


def test_gradients_with_a_teacher_equal_finite_differences() -> None:
    model = _network(n_features=3, n_outputs=2, units=2, seeds=[0], feedback="teacher").double()
    x = torch.randn(1, 2, 4, 3, dtype=torch.double, requires_grad=True)
    right = torch.randint(2, (1, 2, 3))
    assert torch.autograd.gradcheck(
        lambda x, *_: model.taught(x, None, None, right)[0], (x, *model.parameters())
    )


def test_feedback_changes_no_other_initial_weights() -> None:
    plain, told = _network(), _network(feedback="own")
    torch.testing.assert_close(plain.encoder.state_dict(), told.encoder.state_dict())
    assert "answer_kernel" not in plain.state_dict()
