"""A representation of one's own: integers as binary numbers."""

import torch
from torch import Tensor
from torch.nn import functional

from echo_exp.task.problem import MISSING


class Binary:
    """An integer is its bits: each bit is a feature of the input, and a probability of the output.

    A missing integer has all bits set; whether its timestep is read is up to the missing policy.
    """

    loss_name = "cross-entropy of all bits, nats"

    def __init__(self, n_values: int, sentinel: bool = False) -> None:
        self.n_features = self.n_outputs = (n_values - 1).bit_length()
        self.powers = 2 ** torch.arange(self.n_outputs)

    def encode(self, windows: Tensor) -> Tensor:
        """Returns the bits, [..., T] -> [..., T, F]."""
        return (windows.unsqueeze(-1) & self.powers).ne(0).float()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the loss of each integer, [..., V] and [...] -> [...]; 0 where it is missing."""
        bits = self.encode(targets)
        losses = functional.binary_cross_entropy_with_logits(outputs, bits, reduction="none")
        return losses.sum(-1).masked_fill(targets == MISSING, 0)

    def decode(self, outputs: Tensor) -> Tensor:
        """Returns the integers of the more probable bits, [..., V] -> [...]."""
        return (outputs.gt(0) * self.powers).sum(-1)

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns where all bits are right, [..., V] and [...] -> [...]."""
        return self.decode(outputs) == targets

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Returns the accuracy of each integer, and the share of its bits that are right."""
        bits = outputs.gt(0) == self.encode(targets).bool()
        return {"accuracy": self.right(outputs, targets), "bits": bits.float().mean(-1)}
