"""A linear recurrence computed for all timesteps at once."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

Run = Callable[[Tensor, Tensor, bool], Tensor]
"""`loop` or `rounds`."""


def scan(kept: Tensor, new: Tensor, state: Tensor | None = None) -> Tensor:
    """Computes ``h = kept * h_before + new`` at all timesteps.

    It neither divides nor takes a logarithm, so it is exact for any number of timesteps.

    Args:
        kept: [R, B, T, U].
        new: [R, B, T, U].
        state: The h before the first timestep, [R, B, U]; zero if not given.

    Returns:
        The h of all timesteps, [R, B, T, U].
    """
    if torch.compiler.is_exporting():
        return rounds(kept, _begun(kept, new, state))
    return differentiable(kept, new, state, rounds if kept.is_cuda else loop)


def _begun(kept: Tensor, new: Tensor, state: Tensor | None) -> Tensor:
    """Adds what is kept of a state to the first timestep, [R, B, T, U] -> [R, B, T, U]."""
    if state is None:
        return new
    first = torch.addcmul(new[:, :, :1], kept[:, :, :1], state.unsqueeze(2))  # [R, B, 1, U]
    return torch.cat([first, new[:, :, 1:]], 2)


def loop(kept: Tensor, new: Tensor, reverse: bool = False) -> Tensor:
    """Computes a scan timestep by timestep, each in one operation that touches each number once.

    It suits a CPU, where memory traffic costs more than the number of operations.

    Args:
        kept: [R, B, T, U].
        new: [R, B, T, U].
        reverse: Whether to compute ``h = kept_after * h_after + new``, from the last timestep on.

    Returns:
        The h of all timesteps, [R, B, T, U].
    """
    hiddens = new.clone()
    steps, keeps = hiddens.unbind(2), kept.unbind(2)[1:]
    if reverse:
        steps, keeps = steps[::-1], keeps[::-1]
    for keep, (before, now) in zip(keeps, pairwise(steps), strict=True):
        now.addcmul_(keep, before)
    return hiddens


def rounds(kept: Tensor, new: Tensor, reverse: bool = False) -> Tensor:
    """Computes a scan in log2(T) rounds (Hillis & Steele 1986), each a few operations on all of it.

    Each round composes the maps of twice as many timesteps. It suits a GPU.

    Args:
        kept: [R, B, T, U].
        new: [R, B, T, U].
        reverse: Whether to compute ``h = kept_after * h_after + new``, from the last timestep on.

    Returns:
        The h of all timesteps, [R, B, T, U].
    """
    if reverse:
        return rounds(kept.flip(2).roll(1, 2), new.flip(2)).flip(2)
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
    def forward(ctx: Any, kept: Tensor, new: Tensor, state: Tensor | None, run: Run) -> Tensor:
        hiddens = run(kept, _begun(kept, new, state), False)
        ctx.save_for_backward(kept, hiddens, state)
        ctx.run = run
        return hiddens

    @staticmethod
    def backward(ctx: Any, d_hiddens: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        kept, hiddens, state = ctx.saved_tensors
        d_new = ctx.run(kept, d_hiddens, True)
        d_kept = torch.empty_like(d_new)
        torch.mul(d_new[:, :, 1:], hiddens[:, :, :-1], out=d_kept[:, :, 1:])
        first, d_state = d_new[:, :, 0], None
        d_kept[:, :, 0] = 0 if state is None else first * state
        if ctx.needs_input_grad[2]:
            d_state = first * kept[:, :, 0]
        return d_kept, d_new, d_state, None


differentiable: Callable[[Tensor, Tensor, Tensor | None, Run], Tensor] = _Scan.apply
"""Computes a scan and its backward by `loop` or `rounds`; arguments as those of `scan`."""
