"""Adam as Keras has it, with settings for all replicas or for each."""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from echo_exp import settings

Tensors = list[Tensor] | tuple[Tensor, ...]


@dataclass(frozen=True)
class _Span:
    """Neighbouring replicas with the same settings, which one operation updates."""

    lr: float
    beta_1: float
    beta_2: float
    epsilon: float
    updates: int


class Adam(torch.optim.Optimizer):
    """Adam with the epsilon of Keras, in one fused operation for all parameters.

    ``p -= lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)``, the form before
    section 2.1 of Kingma & Ba 2014 with its "epsilon hat". `torch.optim.Adam` corrects v before it
    adds epsilon, so that the same number means there, at the first update, thirty times as little.

    In a stack of runs the numbers of ``param_groups`` are tensors [R]: each replica has its own.

    Args:
        params: The parameters, all floating point and on one device.
        learning_rate: Step size.
        beta_1: Decay of the mean of the gradients (m).
        beta_2: Decay of the mean of their squares (v).
        epsilon: Added to the root of v.

    Raises:
        SettingError: A value is not allowed.
    """

    per_replica = True
    """The numbers of ``param_groups`` may be tensors [R], in a stack of runs."""

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
            means, squares = zip(*map(self._moments, parameters), strict=True)
            gradients = [p.grad for p in parameters if p.grad is not None]
            spans = _spans(group)
            if len(spans) == 1:
                _update(spans[0][0], parameters, gradients, means, squares)
                continue
            sizes = [size for _, size in spans]
            # Views along the leading axis: one operation for each span of replicas.
            parts = [
                zip(*(tensor.split(sizes) for tensor in tensors), strict=True)
                for tensors in (parameters, gradients, means, squares)
            ]
            for (span, _), *tensors in zip(spans, *parts, strict=True):
                _update(span, *tensors)
        return loss

    def _moments(self, parameter: nn.Parameter) -> tuple[Tensor, Tensor]:
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        return state["mean"], state["square"]


def _spans(group: dict[str, Any]) -> list[tuple[_Span, int]]:
    """Returns the settings of a group, with how many neighbouring replicas have them."""
    names = ("lr", "beta_1", "beta_2", "epsilon", "updates")
    values = [group[name] for name in names]
    replicas = max(value.numel() if isinstance(value, Tensor) else 1 for value in values)
    each = zip(
        *(v.tolist() if isinstance(v, Tensor) else [v] * replicas for v in values), strict=True
    )
    return [(_Span(*same), len(list(run))) for same, run in itertools.groupby(each)]


def _update(
    span: _Span,
    parameters: Tensors,
    gradients: Tensors,
    means: Tensors,
    squares: Tensors,
) -> None:
    count = torch.full((), span.updates, dtype=torch.float32, device=parameters[0].device)
    torch._fused_adam_(  # the operation behind torch.optim.Adam(fused=True)
        parameters,
        gradients,
        means,
        squares,
        [],
        [count] * len(parameters),
        lr=span.lr,
        beta1=span.beta_1,
        beta2=span.beta_2,
        weight_decay=0.0,
        eps=span.epsilon / math.sqrt(1 - span.beta_2**span.updates),
        amsgrad=False,
        maximize=False,
    )
