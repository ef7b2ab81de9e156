"""A linear recurrence computed for all timesteps at once."""

import torch
from torch import Tensor


def scan(kept: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Composes the maps ``h -> kept * h + new`` of the timesteps up to each, [R, B, T, U].

    In log2(T) rounds (Hillis & Steele 1986): after each, an element stands for twice as many
    timesteps. Nothing is divided by and no logarithm taken, so it is as exact as a loop.

    Returns:
        ``kept`` and ``new`` of the composed maps, each [R, B, T, U].
    """
    distance = 1
    while distance < kept.shape[2]:
        earlier_kept, earlier_new = kept[:, :, :-distance], new[:, :, :-distance]
        later_kept, later_new = kept[:, :, distance:], new[:, :, distance:]
        composed = torch.addcmul(later_new, later_kept, earlier_new)
        new = torch.cat([new[:, :, :distance], composed], 2)
        kept = torch.cat([kept[:, :, :distance], later_kept * earlier_kept], 2)
        distance *= 2
    return kept, new
