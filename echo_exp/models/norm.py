"""Layer normalisation, with which each block of a residual network begins."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from echo_exp.models import initializers


class Norm(nn.Module):
    """Layer normalisation (Ba et al. 2016) with a leading replica axis.

    Args:
        units: Features of the input (U).
        generators: One per replica.
    """

    def __init__(self, units: int, generators: initializers.Generators) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(len(generators), 1, units))  # [R, 1, U]
        self.bias = initializers.zeros(units, generators)  # [R, 1, U]

    def forward(self, x: Tensor) -> Tensor:
        """Gives each timestep a learnt mean and deviation, [R, B, T, U] -> [R, B, T, U].

        Before training they are 0 and 1.
        """
        if len(self.gain) == 1:  # torch's own gain is faster, but has no replicas
            return functional.layer_norm(x, x.shape[-1:], self.gain.flatten(), self.bias.flatten())
        normal = functional.layer_norm(x, x.shape[-1:])  # [R, B, T, U]
        return torch.addcmul(self.bias.unsqueeze(1), normal, self.gain.unsqueeze(1))
