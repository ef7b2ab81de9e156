"""A dense layer with a leading replica axis, and the product that other layers begin with."""

import torch
from torch import Tensor, nn

from echo_exp.models import initializers


class Dense(nn.Module):
    """Applies ``x @ kernel + bias`` at each timestep; softmax belongs to the loss.

    Args:
        n_in: Features of the input.
        n_out: Features of the output.
        generators: One per replica; the initial weights are drawn from them.
    """

    def __init__(self, n_in: int, n_out: int, generators: initializers.Generators) -> None:
        super().__init__()
        self.kernel = initializers.glorot_uniform(n_in, n_out, generators)  # [R, n_in, n_out]
        self.bias = initializers.zeros(n_out, generators)  # [R, 1, n_out]

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layer, [R, B, T, n_in] -> [R, B, T, n_out]."""
        replicas, batch, timesteps, features = x.shape
        rows = x.reshape(replicas, batch * timesteps, features)  # [R, B*T, n_in]
        return torch.baddbmm(self.bias, rows, self.kernel).view(replicas, batch, timesteps, -1)


def project(x: Tensor, kernel: Tensor) -> Tensor:
    """Returns the product of an input with a kernel at each timestep, [R, B, T, n_out].

    The product of a one-hot vector with the kernel is a row of the kernel: integers are looked up,
    and their one-hot vectors are never made.

    Args:
        x: [R, B, T, n_in] features, or [R, B, T] integers, each a category out of n_in.
        kernel: [R, n_in, n_out].
    """
    replicas, n_in, n_out = kernel.shape
    if x.is_floating_point():
        rows = x.reshape(replicas, -1, n_in)  # [R, B*T, n_in]
        return torch.bmm(rows, kernel).view(*x.shape[:3], n_out)
    if replicas > 1:  # the rows of all replicas' kernels are stacked below
        x = x + n_in * torch.arange(replicas, device=x.device).view(-1, 1, 1)
    return nn.functional.embedding(x, kernel.view(-1, n_out))
