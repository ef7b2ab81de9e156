"""An optimizer of one's own: steps of equal size against the sign of the gradient."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


class SignDescent(torch.optim.Optimizer):
    """signSGD (Bernstein et al. 2018)."""

    per_replica = True  # a number in ``param_groups`` may be a tensor [R], as in a stack of jobs

    def __init__(self, params: Iterable[nn.Parameter], learning_rate: float) -> None:
        super().__init__(params, {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Updates every parameter [R, ...] by its gradient of the same shape."""
        for group in self.param_groups:
            rates = torch.as_tensor(group["lr"])  # one for all replicas, or [R]
            for parameter in group["params"]:
                rate = rates.view(-1, *[1] * (parameter.dim() - 1))  # [1 or R, 1, ...]
                parameter.sub_(rate * parameter.grad.sign())
