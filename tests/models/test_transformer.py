"""The transformer: its block equals torch's, and each timestep sees only what it may."""

from typing import Any

import pytest
import torch
from torch import Tensor

from echo_exp.models import Transformer
from echo_exp.models.initializers import generators
from echo_exp.models.rotation import Rotation
from echo_exp.models.transformer import POSITIONS, Block, growing
from echo_exp.settings import SettingError

from ..parity.torch_nets import encoder_layer

EVERY_POSITION = pytest.mark.parametrize("position", POSITIONS)


def _network(**changes: Any) -> Transformer:
    sizes: dict[str, Any] = {
        "n_features": 9, "n_outputs": 7, "n_in": 5, "n_out": 5, "units": 8, "heads": 2,
        "layers": 2, "seeds": [0, 1],
    }  # fmt: skip
    return Transformer(**sizes | changes)


def test_every_replica_of_a_block_equals_torchs() -> None:
    block = Block(8, 2, generators([0, 1])).double()
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if "bias" in name or "gain" in name:
                parameter.uniform_(-1, 1)
    x = torch.randn(2, 3, 5, 8).double()
    seen = torch.ones(5, 5).tril().bool()
    outputs = block(x, seen)
    (outputs**3).sum().backward()
    for r in range(2):
        peer = encoder_layer(block, r)
        expected = peer(x[r], ~seen)
        torch.testing.assert_close(outputs[r], expected)
        (expected**3).sum().backward()
        for ours, theirs in (
            (block.wide.kernel, peer.linear1.weight),
            (block.found_kernel, peer.self_attn.out_proj.weight),
        ):
            assert ours.grad is not None
            assert theirs.grad is not None
            torch.testing.assert_close(ours.grad[r].T, theirs.grad)


@EVERY_POSITION
def test_the_transformer_has_no_state(position: str) -> None:
    outputs, state = _network(position=position, n_out=2, padding="pre")(torch.randn(2, 3, 5, 9))
    assert outputs.shape == (2, 3, 2, 7)
    assert state == ()


@EVERY_POSITION
def test_no_answer_depends_on_a_later_integer(position: str) -> None:
    network = _network(position=position)
    x = torch.randint(9, (2, 3, 5))
    other = x.clone()
    other[..., 3] = (x[..., 3] + 1) % 9
    ours, theirs = network(x)[0], network(other)[0]
    torch.testing.assert_close(ours[:, :, :3], theirs[:, :, :3])
    assert not torch.isclose(ours[:, :, 3:], theirs[:, :, 3:]).all(-1).any()


@EVERY_POSITION
def test_the_order_of_the_window_is_lost_only_without_positions(position: str) -> None:
    network = _network(position=position, layers=1)
    x = torch.tensor([1, 2, 3, 4, 5]).expand(2, 1, 5)
    swapped = torch.tensor([3, 2, 4, 1, 5]).expand(2, 1, 5)
    same = torch.isclose(network(x)[0][:, :, 4], network(swapped)[0][:, :, 4], atol=1e-6).all()
    assert bool(same) == (position == "none")


@EVERY_POSITION
def test_no_timestep_attends_to_a_missing_one(position: str) -> None:
    network = _network(position=position)
    x = torch.randint(9, (2, 3, 5))
    present = torch.tensor([False, True, False, True, True]).expand(2, 3, 5)
    other = torch.where(present, x, (x + 1) % 9)
    ours, theirs = network(x, None, present)[0], network(other, None, present)[0]
    torch.testing.assert_close(ours[present], theirs[present])
    assert ours.isfinite().all()
    assert not torch.isclose(ours, network(x)[0])[present].all()


def test_rotary_scores_depend_on_the_distance_only() -> None:
    def scores(shift: int) -> Tensor:
        rotation = Rotation(growing(9, 6)[shift : shift + 4])
        return rotation(q) @ rotation(k).T

    q, k = torch.randn(4, 6), torch.randn(4, 6)
    torch.testing.assert_close(scores(0), scores(5))
    torch.testing.assert_close(scores(0).diagonal(), (q @ k.T).diagonal())
    assert not torch.isclose(scores(0), q @ k.T)[0, 1:].any()


@EVERY_POSITION
def test_each_replica_is_the_network_of_its_seed(position: str) -> None:
    both = _network(position=position)
    x = torch.randint(9, (2, 3, 5))
    outputs, _ = both(x)
    for replica in range(2):
        alone = _network(position=position, seeds=[replica])
        torch.testing.assert_close(alone(x[replica : replica + 1])[0][0], outputs[replica])
    gradients = torch.autograd.grad(outputs[0].sum(), list(both.parameters()))
    assert all(not gradient[1].any() for gradient in gradients)
    assert not [name for name in both.state_dict() if name not in dict(both.named_parameters())]


REFUSED: dict[str, dict[str, Any]] = {
    r"model\.stateful=true .*no state": {"stateful": True},
    r"model\.stateful=no .*true or false": {"stateful": "no"},
    r"model\.units=0 ": {"units": 0},
    r"model\.units=9 .*multiple of model\.heads=2": {"units": 9},
    r"model\.units=6 .*even number": {"units": 6},
    r"model\.heads=9 .*from 1 to 8": {"heads": 9},
    r"model\.layers=0 ": {"layers": 0},
    r"model\.position=relative .*none or sinusoidal": {"position": "relative"},
    r"model\.padding=left ": {"padding": "left"},
    r"problem\.n_out=2 .*seq2seq_padded": {"n_out": 2},
}


@pytest.mark.parametrize("message", REFUSED)
def test_impossible_settings_are_refused(message: str) -> None:
    with pytest.raises(SettingError, match=message):
        _network(**REFUSED[message])


def test_an_odd_number_of_units_works_with_all_positions_but_rotary() -> None:
    for position in ("none", "sinusoidal", "learned"):
        network = _network(position=position, units=9, heads=3)
        assert network(torch.randint(9, (2, 3, 5)))[0].isfinite().all()
