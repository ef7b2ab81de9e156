"""Rotation of pairs of features: a product with complex numbers of modulus 1, in real numbers."""

import torch
from torch import Tensor


class Rotation:
    """Rotates each pair of features i and i + D/2 by its angle.

    The first half of the features are real parts, the second half imaginary ones.

    Args:
        angles: In radians, [..., T, D/2].
    """

    def __init__(self, angles: Tensor) -> None:
        sin, cos = angles.sin(), angles.cos()  # [..., T, D/2]
        self.cos = torch.cat([cos, cos], -1)  # [..., T, D]
        self.sin = torch.cat([-sin, sin], -1)  # [..., T, D]

    def __call__(self, x: Tensor) -> Tensor:
        """Rotates features forwards, [..., T, D] -> [..., T, D]."""
        return torch.addcmul(x * self.cos, _swapped(x), self.sin)

    def back(self, x: Tensor) -> Tensor:
        """Rotates features backwards, [..., T, D] -> [..., T, D]."""
        return torch.addcmul(x * self.cos, _swapped(x), self.sin, value=-1)


def _swapped(x: Tensor) -> Tensor:
    """Returns features with their halves swapped, [..., D] -> [..., D]."""
    return x.roll(x.shape[-1] // 2, -1)
