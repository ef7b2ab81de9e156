"""Adam as Keras implements it, with the same settings for all replicas or different ones."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from echo_exp import settings
from echo_exp.training.schedule import CONSTANT, SHAPES, Schedule, needs_end

Tensors = list[Tensor] | tuple[Tensor, ...]

SCHEDULED = ("initial_lr", "schedule", "warmup", "run_updates")
"""The settings of a group that make up its `Schedule`; ``lr`` is the rate of the next update."""


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
    adds epsilon: there, at the first update, the same epsilon has a thirtieth of the effect.

    In a stack of runs, a number in ``param_groups`` may be a tensor [R], a value for each replica.

    Args:
        params: The parameters, all floating point and on one device.
        learning_rate: Step size.
        beta_1: Decay of the mean of the gradients (m).
        beta_2: Decay of the mean of their squares (v).
        epsilon: Added to the root of v.
        schedule: ``constant``, or ``cosine`` for a learning rate that falls to zero over the run.
        warmup: Epochs over which the learning rate rises at first, in equal steps.
        epochs: Epochs of the run.
        updates_per_epoch: Updates in each epoch.

    Raises:
        SettingError: A value is not allowed.
    """

    per_replica = True
    """The numbers in ``param_groups`` may be tensors [R], in a stack of runs."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        learning_rate: float = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        schedule: str = CONSTANT,
        warmup: int = 0,
        epochs: int | None = None,
        updates_per_epoch: int = 1,
    ) -> None:
        settings.choice("optimizer.schedule", schedule, SHAPES)
        if needs_end(schedule) and epochs is None:
            reason = "it needs the number of epochs, and of the updates in each"
            raise settings.SettingError("optimizer.schedule", schedule, reason)
        run_epochs = (epochs or 0) if needs_end(schedule) else 0
        rates = Schedule(
            settings.number("optimizer.learning_rate", learning_rate, above=0),
            schedule,
            settings.integer("optimizer.warmup", warmup, 0, epochs) * updates_per_epoch,
            run_epochs * updates_per_epoch,
        )
        super().__init__(
            params,
            {
                "lr": rates.at(1),
                "beta_1": settings.number("optimizer.beta_1", beta_1, above=0, below=1),
                "beta_2": settings.number("optimizer.beta_2", beta_2, above=0, below=1),
                "epsilon": settings.number("optimizer.epsilon", epsilon, above=0),
                "updates": 0,
                **_named(rates),
            },
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a saved state, even one from a version without schedules."""
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in _named(Schedule(group["lr"], CONSTANT, 0, 0)).items():
                group.setdefault(name, value)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter from its gradient; returns what ``closure`` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                group["updates"] += 1
                self._move(parameters, _spans(group))
                _reschedule(group)
        return loss

    def _move(self, parameters: list[Tensor], spans: Sequence[tuple[_Span, int]]) -> None:
        means, squares = zip(*map(self._moments, parameters), strict=True)
        # The fused operation reads memory in order and ignores strides.
        gradients = [p.grad.contiguous() for p in parameters if p.grad is not None]
        if len(spans) == 1:
            _update(spans[0][0], parameters, gradients, means, squares)
            return
        sizes = [size for _, size in spans]
        # Views along the leading axis: one operation for each span of replicas.
        parts = [
            zip(*(tensor.split(sizes) for tensor in tensors), strict=True)
            for tensors in (parameters, gradients, means, squares)
        ]
        for (span, _), *tensors in zip(spans, *parts, strict=True):
            _update(span, *tensors)

    def _moments(self, parameter: Tensor) -> tuple[Tensor, Tensor]:
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        return state["mean"], state["square"]


def _spans(group: dict[str, Any]) -> list[tuple[_Span, int]]:
    """Returns the settings of a group, each with the number of neighbouring replicas it is for."""
    each = _each_replica(group, ("lr", "beta_1", "beta_2", "epsilon", "updates"))
    return [(_Span(*same), len(list(run))) for same, run in itertools.groupby(each)]


def _each_replica(group: dict[str, Any], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yields the settings of each replica; only once if no setting is a tensor."""
    values = [group[name] for name in names]
    replicas = max(value.numel() if isinstance(value, Tensor) else 1 for value in values)
    return zip(
        *(v.tolist() if isinstance(v, Tensor) else [v] * replicas for v in values), strict=True
    )


def _named(schedule: Schedule) -> dict[str, Any]:
    """Returns a schedule as settings of a group."""
    return dict(zip(SCHEDULED, schedule, strict=True))


def _reschedule(group: dict[str, Any]) -> None:
    """Sets the learning rate of a group's next update."""
    warmup = group["warmup"]
    if group["schedule"] == CONSTANT and not isinstance(warmup, Tensor) and not warmup:
        return
    rates = [
        Schedule(*schedule).at(updates + 1)
        for *schedule, updates in _each_replica(group, (*SCHEDULED, "updates"))
    ]
    group["lr"] = rates[0] if len(rates) == 1 else torch.tensor(rates, dtype=torch.float64)


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
