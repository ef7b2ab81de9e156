"""Adam as Keras has it."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from echo_exp import settings


class Adam(torch.optim.Optimizer):
    """Adam with the epsilon of Keras, in one fused operation for all parameters.

    ``p -= lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)``, the form before
    section 2.1 of Kingma & Ba 2014 with its "epsilon hat". `torch.optim.Adam` corrects v before it
    adds epsilon, so that the same number means there, at the first update, thirty times as little.

    Args:
        params: The parameters, all floating point and on one device.
        learning_rate: Step size.
        beta_1: Decay of the mean of the gradients (m).
        beta_2: Decay of the mean of their squares (v).
        epsilon: Added to the root of v.

    Raises:
        SettingError: A value is not allowed.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        learning_rate: float = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": settings.number("optimizer.learning_rate", learning_rate, above=0),
                "beta_1": settings.number("optimizer.beta_1", beta_1, above=0, below=1),
                "beta_2": settings.number("optimizer.beta_2", beta_2, above=0, below=1),
                "epsilon": settings.number("optimizer.epsilon", epsilon, above=0),
                "updates": 0,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter from its gradient; returns what ``closure`` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            group["updates"] += 1
            updates = group["updates"]
            means, squares = zip(*map(self._moments, parameters), strict=True)
            count = torch.full((), updates, dtype=torch.float32, device=parameters[0].device)
            torch._fused_adam_(  # the operation behind torch.optim.Adam(fused=True)
                parameters,
                [p.grad for p in parameters],
                means,
                squares,
                [],
                [count] * len(parameters),
                lr=group["lr"],
                beta1=group["beta_1"],
                beta2=group["beta_2"],
                weight_decay=0.0,
                eps=group["epsilon"] / math.sqrt(1 - group["beta_2"] ** updates),
                amsgrad=False,
                maximize=False,
            )
        return loss

    def _moments(self, parameter: nn.Parameter) -> tuple[Tensor, Tensor]:
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        return state["mean"], state["square"]
