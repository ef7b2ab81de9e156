"""Rotation of pairs of features: a product with complex numbers of modulus 1, in real numbers."""

import torch
from torch import Tensor


def turned(x: Tensor, angles: Tensor) -> Tensor:
    """Rotates each pair of features i and i + D/2 by its angle.

    Args:
        x: [..., T, D]; the first half of the features are real parts, the second imaginary ones.
        angles: In radians, [..., T, D/2].

    Returns:
        [..., T, D].
    """
    a, b = x.chunk(2, -1)  # [..., T, D/2]
    sin, cos = angles.sin(), angles.cos()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
