"""The GRU and the transformer in torch.nn, with the weights of a replica of ours."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from echo_exp import GRU, Transformer
from echo_exp.models.dense import Dense
from echo_exp.models.gru import GRULayer
from echo_exp.models.norm import Norm
from echo_exp.models.transformer import Block


class TorchGRU(nn.Module):
    """`torch.nn.GRU` and a linear layer.

    Args:
        model: Ours, of one layer.
        replica: Which of its replicas.
    """

    def __init__(self, model: GRU, replica: int) -> None:
        super().__init__()
        (layer,) = model.layers
        assert isinstance(layer, GRULayer)
        self.gru, self.dense = gru(layer, replica), _linear(model.dense, replica)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """[B, T, V] -> [B, T, V], and the state after."""
        hidden, after = self.gru(x, state)
        return self.dense(hidden), after.detach()


class TorchTransformer(nn.Module):
    """`torch.nn.TransformerEncoderLayer`, on learned places and before a last norm.

    Args:
        model: Ours, with learned places.
        replica: Which of its replicas.
    """

    mask: Tensor

    def __init__(self, model: Transformer, replica: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(model.kernel[replica].detach().clone())
        self.places = nn.Parameter(model.place_kernel[replica].detach().clone())
        self.blocks = nn.ModuleList(
            encoder_layer(block, replica) for block in model.blocks if isinstance(block, Block)
        )
        self.norm = nn.LayerNorm(self.places.shape[1], dtype=self.places.dtype)
        self.norm.load_state_dict(_norm(model.norm, replica))
        self.dense = _linear(model.dense, replica)
        mask = nn.Transformer.generate_square_subsequent_mask(
            len(self.places), dtype=self.places.dtype
        )
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, None]:
        """[B, T, V] -> [B, T, V], and no state."""
        x = x @ self.kernel * math.sqrt(self.kernel.shape[1]) + self.places
        for block in self.blocks:
            x = block(x, self.mask, is_causal=True)
        return self.dense(self.norm(x)), None


class PlainAdam:
    """Adam with the epsilon of Keras, line by line.

    Args:
        parameters: What is trained.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.updates = 0

    @torch.no_grad()
    def step(self, loss: Tensor) -> None:
        """Makes an update from the gradients of a loss."""
        self.updates += 1
        rate = 1e-3 * math.sqrt(1 - 0.999**self.updates) / (1 - 0.9**self.updates)
        with torch.enable_grad():
            gradients = torch.autograd.grad(loss, self.parameters)
        for p, g, m, v in zip(self.parameters, gradients, self.means, self.squares, strict=True):
            m.add_(0.1 * (g - m))
            v.add_(0.001 * (g.square() - v))
            p.sub_(rate * m / (v.sqrt() + 1e-7))


def gru(layer: GRULayer, replica: int = 0) -> nn.GRU:
    """Returns `torch.nn.GRU` with the weights of one replica."""
    peer = nn.GRU(layer.kernel.shape[1], layer.units, batch_first=True).to(layer.kernel.dtype)
    peer.load_state_dict(
        {
            "weight_ih_l0": torch_order(layer.kernel[replica]).T,
            "weight_hh_l0": torch_order(layer.recurrent_kernel[replica]).T,
            "bias_ih_l0": torch_order(layer.bias[replica, 0]),
            "bias_hh_l0": torch_order(layer.recurrent_bias[replica, 0]),
        }
    )
    return peer


def torch_order(gates: Tensor) -> Tensor:
    """Our gates lie as z, r, candidate; those of torch as r, z, candidate."""
    z, r, candidate = gates.chunk(3, -1)
    return torch.cat([r, z, candidate], -1)


def encoder_layer(block: Block, replica: int) -> nn.TransformerEncoderLayer:
    """Returns torch's block with the weights of one replica; its attention's biases stay zero."""
    units = block.query_kernel.shape[1]
    peer = nn.TransformerEncoderLayer(
        units, block.heads, 4 * units, dropout=0, batch_first=True, norm_first=True
    ).to(block.query_kernel.dtype)
    own = {name: value.detach()[replica] for name, value in block.named_parameters()}
    kernels = [own[f"{name}_kernel"].T for name in ("query", "key", "value")]
    peer.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat(kernels),
            "self_attn.in_proj_bias": torch.zeros(3 * units),
            "self_attn.out_proj.weight": own["found_kernel"].T,
            "self_attn.out_proj.bias": torch.zeros(units),
            **{f"linear1.{name}": value for name, value in _dense(block.wide, replica).items()},
            **{f"linear2.{name}": value for name, value in _dense(block.narrow, replica).items()},
            **{f"norm1.{k}": value for k, value in _norm(block.norm_attention, replica).items()},
            **{f"norm2.{k}": value for k, value in _norm(block.norm_dense, replica).items()},
        }
    )
    for parameter in (peer.self_attn.in_proj_bias, peer.self_attn.out_proj.bias):
        parameter.requires_grad_(False)
    return peer


def curve(peer: nn.Module, sequences: Tensor, batch: int, n_values: int) -> list[float]:
    """Trains by a bare loop; returns the loss of each sequence.

    Args:
        peer: One of the networks here.
        sequences: Windows of each, [S, rows, n_in].
        batch: Windows in an update.
        n_values: Integers go from 0 to this, exclusively.
    """
    optimizer = PlainAdam(peer.parameters())
    one_hot = torch.eye(n_values, dtype=next(peer.parameters()).dtype)
    losses = []
    for windows in sequences:
        state, of_batches = None, []
        for x in windows.split(batch):
            outputs, state = peer(one_hot[x], state)
            loss = functional.cross_entropy(outputs.flatten(0, 1), x.flatten())
            optimizer.step(loss)
            of_batches.append(loss.item())
        losses.append(sum(of_batches) / len(of_batches))
    return losses


def _linear(dense: Dense, replica: int) -> nn.Linear:
    _, n_in, n_out = dense.kernel.shape
    peer = nn.Linear(n_in, n_out, dtype=dense.kernel.dtype)
    peer.load_state_dict(_dense(dense, replica))
    return peer


def _dense(dense: Dense, replica: int) -> dict[str, Tensor]:
    return {"weight": dense.kernel[replica].T, "bias": dense.bias[replica, 0]}


def _norm(norm: Norm, replica: int) -> dict[str, Tensor]:
    return {"weight": norm.gain[replica, 0], "bias": norm.bias[replica, 0]}
