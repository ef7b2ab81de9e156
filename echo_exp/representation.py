"""How a network sees integers, and how its outputs are read and judged."""

from typing import Protocol

from torch import Tensor
from torch.nn import functional

from echo_exp import settings


class Representation(Protocol):
    """What `EchoModule` asks of a representation."""

    n_features: int
    """Features, or categories, of an input timestep (F)."""
    n_outputs: int
    """Outputs of the network for one integer (V)."""

    def encode(self, windows: Tensor) -> Tensor:
        """Returns the input for [R, B, T] integers: [R, B, T, F] or [R, B, T] categories."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns each replica's loss [R] of outputs [R, B, T, V] for [R, B, T] integers."""

    def decode(self, outputs: Tensor) -> Tensor:
        """Returns the integers [R, B, T] that outputs [R, B, T, V] stand for."""


class OneHot:
    """An integer is a category: a unit vector in, a softmax over all values out.

    Args:
        n_values: Number of different integers (V).

    Raises:
        SettingError: ``n_values`` is below 2.
    """

    def __init__(self, n_values: int) -> None:
        self.n_features = self.n_outputs = settings.integer("problem.n_values", n_values, 2)

    def encode(self, windows: Tensor) -> Tensor:
        """Returns the integers as they are: layers look up what a one-hot product would select."""
        return windows

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of logits [R, B, T, V], mean over batch and timesteps: [R]."""
        logits = outputs.flatten(0, 2)  # [R*B*T, V]
        losses = functional.cross_entropy(logits, targets.flatten(), reduction="none")
        return losses.view(outputs.shape[0], -1).mean(1)

    def decode(self, outputs: Tensor) -> Tensor:
        """Returns the most probable integers, [R, B, T, V] -> [R, B, T]."""
        return outputs.argmax(-1)
