"""Records what each LSTM layer of a network does in a window, while the network runs unchanged.

The fused recurrence of `echo_exp.models.LSTM` does not show its gates. Within `recorded` the layers
are unrolled instead.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from echo_exp.models import LSTM, State

GATES = ("output", "input", "forget", "candidate")
"""The gates and the candidate, in their order in the kernels."""


@dataclass(frozen=True)
class Recording:
    """What one layer did in the last call of its network.

    Attributes:
        gates: Activations of the output, input and forget gate and the candidate,
            [4, R, B, T, U]: from 0 to 1, the candidate from -1 to 1.
        hidden: Hidden states, from the one before the first timestep on, [R, B, T+1, U].
        cell: Cell states, likewise.
    """

    gates: Tensor
    hidden: Tensor
    cell: Tensor

    def followed_by(self, other: "Recording") -> "Recording":
        """Joins this recording to another, which starts where this one ends."""
        return Recording(
            gates=torch.cat([self.gates, other.gates], 3),
            hidden=torch.cat([self.hidden, other.hidden[:, :, 1:]], 2),
            cell=torch.cat([self.cell, other.cell[:, :, 1:]], 2),
        )


def layers(model: object) -> dict[str, LSTM]:
    """Returns the LSTM layers of a network by their names: ``lstm``, or ``encoder 2``.

    The first layer of a stack has the stack's name, those above it are numbered from 2.
    """
    if not isinstance(model, nn.Module):
        return {}
    return {
        _name(path): module for path, module in model.named_modules() if isinstance(module, LSTM)
    }


def reads(name: str) -> bool:
    """Says whether a layer reads the window; a decoder writes the echo."""
    return not name.startswith("decoder")


@contextmanager
def recorded(model: object) -> Iterator[dict[str, Recording]]:
    """Records what the LSTM layers of a network do in the block.

    Yields:
        What each layer did in the last call of the network, by the layer's name; empty before the
        first call, and for a network without such layers.
    """
    recordings: dict[str, Recording] = {}
    found = layers(model)
    hooks = []
    if isinstance(model, nn.Module):
        hooks.append(model.register_forward_pre_hook(lambda *_: recordings.clear()))
    try:
        for name, layer in found.items():
            _record(layer, name, recordings)
        yield recordings
    finally:
        for layer in found.values():
            layer.__dict__.pop("recur", None)
        for hook in hooks:
            hook.remove()


def _record(layer: LSTM, name: str, recordings: dict[str, Recording]) -> None:
    """Unrolls and records this layer, and no other of its class."""

    def recur(
        projected: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        recording = run(layer, projected, state, present)
        before = recordings.get(name)  # if it is called timestep by timestep
        recordings[name] = before.followed_by(recording) if before else recording
        hidden, cell = recording.hidden, recording.cell
        return hidden[:, :, 1:], (hidden[:, :, -1], cell[:, :, -1])

    layer.__dict__["recur"] = recur


def run(layer: LSTM, projected: Tensor, state: State | None, present: Tensor | None) -> Recording:
    """Runs a layer over projected inputs, [R, B, T, 4U], as `LSTM.recur` does; keeps everything."""
    zero = projected.new_zeros(*projected.shape[:2], layer.units)  # [R, B, U]
    hidden, cell = state or (zero, zero)
    steps = layer.unrolled(projected, (hidden, cell), present)
    return Recording(
        gates=torch.stack(steps.gates.chunk(4, -1)),
        hidden=torch.cat([hidden.unsqueeze(2), steps.hidden], 2),
        cell=torch.cat([cell.unsqueeze(2), steps.cell], 2),
    )


def _name(path: str) -> str:
    above = re.sub(r"\.others\.(\d+)$", lambda found: f" {int(found[1]) + 2}", path)
    return above.removesuffix(".first")
