"""A dense layer with a leading replica axis."""

import torch
from torch import Tensor, nn

from echo_exp.models import initializers


class Dense(nn.Module):
    """Applies ``x @ kernel + bias`` at each timestep; softmax belongs to the loss.

    Args:
        n_in: Features of the input.
        n_out: Features of the output.
        generators: One a replica; the initial weights are drawn from them.
    """

    def __init__(self, n_in: int, n_out: int, generators: initializers.Generators) -> None:
        super().__init__()
        self.kernel = initializers.glorot_uniform(n_in, n_out, generators)  # [R, n_in, n_out]
        self.bias = initializers.zeros(n_out, generators)  # [R, 1, n_out]

    def forward(self, x: Tensor) -> Tensor:
        """[R, B, T, n_in] -> [R, B, T, n_out]."""
        replicas, batch, timesteps, features = x.shape
        rows = x.reshape(replicas, batch * timesteps, features)  # [R, B*T, n_in]
        return torch.baddbmm(self.bias, rows, self.kernel).view(replicas, batch, timesteps, -1)
