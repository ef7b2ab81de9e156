"""Encodes integers as the input of a network; decodes and scores its outputs."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from echo_exp import settings
from echo_exp.task.problem import MISSING


class Representation(Protocol):
    """The interface of a representation, as `EchoModule` uses it."""

    n_features: int
    """Features, or categories, of an input timestep (F)."""
    n_outputs: int
    """Outputs of the network for one integer (V)."""
    loss_name: str
    """Name of the loss, with its unit."""

    def encode(self, windows: Tensor) -> Tensor:
        """Returns the input for [..., T] integers: [..., T, F] features or [..., T] categories."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the loss of each integer.

        Args:
            outputs: [..., V].
            targets: [...] integers, some of which may be missing.

        Returns:
            [...]; 0 where the target is missing.
        """

    def decode(self, outputs: Tensor) -> Tensor:
        """Returns the integers that outputs stand for, [..., V] -> [...]."""

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns whether outputs stand for the targets.

        Args:
            outputs: [..., V].
            targets: [...] integers, none of which is missing.

        Returns:
            [...], True where they do.
        """

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Scores the integers that outputs stand for.

        Args:
            outputs: [..., V].
            targets: [...] integers, none of which is missing.

        Returns:
            Scores of each integer, [...], by the name of the metric that is their mean. One of them
            is ``accuracy``, the same as `right`.
        """


class OneHot:
    """An integer is a category: a unit vector in, a softmax over all values out.

    Args:
        n_values: Number of different integers (V).
        sentinel: Whether a missing integer is one more category of the input.
        n_marks: Marks that are read, too, such as a blank: each is a category.

    Raises:
        SettingError: ``n_values`` is below 2.
    """

    loss_name = "cross-entropy, nats"

    def __init__(self, n_values: int, sentinel: bool = False, n_marks: int = 0) -> None:
        self.n_outputs = settings.integer("problem.n_values", n_values, 2)
        self.n_features = n_values + n_marks + sentinel

    def encode(self, windows: Tensor) -> Tensor:
        """Returns the integers, [..., T]: layers look up what a one-hot product would select.

        A missing integer becomes the last category. Without ``sentinel`` no network reads it.
        """
        return windows % self.n_features

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the cross-entropy of logits in nats, [..., V] and [...] -> [...]."""
        losses = functional.cross_entropy(
            outputs.flatten(0, -2), targets.flatten(), reduction="none", ignore_index=MISSING
        )
        return losses.view(targets.shape)

    def decode(self, outputs: Tensor) -> Tensor:
        """Returns the most probable integers, [..., V] -> [...]."""
        return outputs.argmax(-1)

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns True where no value is more probable than the target, and not all equally so."""
        chosen = outputs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        most = outputs.amax(-1)  # for many outputs, ten times as fast as argmax
        return (chosen == most) & (outputs.amin(-1) < most)

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Returns ``accuracy``."""
        return {"accuracy": self.right(outputs, targets)}


class Scaled:
    """An integer is a number from 0 to 1: regression with one linear output.

    Args:
        n_values: Number of different integers.
        sentinel: Whether a missing integer is the number -1.
        n_marks: Marks that are read, too, such as a blank: each has a feature of its own, which is
            1 at the mark; the number is 0 there.

    Raises:
        SettingError: ``n_values`` is below 2.
    """

    n_outputs = 1
    loss_name = "squared error of integers in [0, 1]"

    def __init__(self, n_values: int, sentinel: bool = False, n_marks: int = 0) -> None:
        self.n_features = 1 + n_marks
        self.largest = settings.integer("problem.n_values", n_values, 2) - 1
        self.missing = -1.0 if sentinel else 0.0

    def encode(self, windows: Tensor) -> Tensor:
        """Returns the integers divided by the largest, and the features of marks, [..., T, F]."""
        scaled = windows / self.largest
        scaled = scaled.masked_fill_(windows == MISSING, self.missing).unsqueeze(-1)
        if self.n_features == 1:
            return scaled
        marked = torch.stack(
            [windows == self.largest + mark for mark in range(1, self.n_features)], -1
        )
        scaled = scaled.masked_fill(marked.any(-1, keepdim=True), 0.0)
        return torch.cat([scaled, marked.to(scaled.dtype)], -1)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the squared error of the scaled integers, [..., 1] and [...] -> [...]."""
        errors = outputs.squeeze(-1) - targets / self.largest
        return errors.masked_fill(targets == MISSING, 0.0).square()

    def decode(self, outputs: Tensor) -> Tensor:
        """Returns the nearest valid integers, [..., 1] -> [...]; NaN is read as 0."""
        integers = (outputs.squeeze(-1) * self.largest).round()
        return integers.nan_to_num(0.0).clamp(0, self.largest).long()

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns True where the nearest valid integer is the target, [...]."""
        return self.decode(outputs) == targets

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Returns ``accuracy``, ``within_1``, ``within_5`` and ``mae``, the absolute error."""
        errors = (self.decode(outputs) - targets).abs()
        return {
            "accuracy": errors == 0,
            "within_1": errors <= 1,
            "within_5": errors <= 5,
            "mae": errors,
        }
