"""What a network can show of its layers, beside its answers."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Gated(NamedTuple):
    """The hidden states and gates of a layer without cell states, in a window.

    Attributes:
        hidden: Hidden states, the one before the first timestep in front, [R, B, T+1, U].
        gates: How open each gate is, from 0 to 1, by its name, [R, B, T, U] each.
    """

    hidden: Tensor
    gates: Mapping[str, Tensor]


def gated(hiddens: Tensor, before: Tensor | None, gates: Mapping[str, Tensor]) -> Gated:
    """Puts the hidden state before a window, [R, B, U], in front of those in it, [R, B, T, U]."""
    first = torch.zeros_like(hiddens[:, :, 0]) if before is None else before  # [R, B, U]
    return Gated(torch.cat([first.unsqueeze(2), hiddens], 2), gates)


def names(kind: str, count: int) -> list[str]:
    """Returns the names of stacked layers, from the lowest on: ``gru``, ``gru 2``, and so on."""
    return [kind, *(f"{kind} {number}" for number in range(2, count + 1))]
