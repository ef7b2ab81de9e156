"""A linear recurrence computed for all timesteps at once."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def scan(kept: Tensor, new: Tensor, state: Tensor | None = None) -> Tensor:
    """Returns ``h = kept * h_before + new`` of all timesteps.

    In log2(T) rounds (Hillis & Steele 1986), each of which composes the maps of twice as many
    timesteps. Nothing is divided by and no logarithm taken, so it is as exact as a loop.

    Args:
        kept: [R, B, T, U].
        new: [R, B, T, U].
        state: The h before the first timestep, [R, B, U]; zero where not given.

    Returns:
        The h of all timesteps, [R, B, T, U].
    """
    if state is not None:
        first = torch.addcmul(new[:, :, :1], kept[:, :, :1], state.unsqueeze(2))
        new = torch.cat([first, new[:, :, 1:]], 2)
    return rounds(kept, new) if torch.compiler.is_exporting() else _scan(kept, new)


def rounds(kept: Tensor, new: Tensor) -> Tensor:
    """Does the rounds of `scan`, [R, B, T, U] and [R, B, T, U] -> [R, B, T, U]."""
    distance, timesteps = 1, kept.shape[2]
    while distance < timesteps:
        composed = torch.addcmul(new[:, :, distance:], kept[:, :, distance:], new[:, :, :-distance])
        new = torch.cat([new[:, :, :distance], composed], 2)
        if 2 * distance < timesteps:  # the last round needs no further maps
            both = kept[:, :, distance:] * kept[:, :, :-distance]
            kept = torch.cat([kept[:, :, :distance], both], 2)
        distance *= 2
    return new


class _Scan(torch.autograd.Function):
    """A scan, whose backward is a scan from the other end: ``d = kept_after * d_after + d_h``."""

    @staticmethod
    def forward(ctx: Any, kept: Tensor, new: Tensor) -> Tensor:
        hiddens = rounds(kept, new)
        ctx.save_for_backward(kept, hiddens)
        return hiddens

    @staticmethod
    def backward(ctx: Any, d_hiddens: Tensor) -> tuple[Tensor, Tensor]:
        kept, hiddens = ctx.saved_tensors
        d_new = rounds(kept.flip(2).roll(1, 2), d_hiddens.flip(2)).flip(2)
        d_kept = torch.zeros_like(kept)  # the first timestep keeps nothing
        torch.mul(d_new[:, :, 1:], hiddens[:, :, :-1], out=d_kept[:, :, 1:])
        return d_kept, d_new


_scan: Callable[..., Tensor] = _Scan.apply
