"""Norms of a network's gradients and clipping, for each replica by itself."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

MARGIN = 1e-6
"""Added to a norm before it divides, as in `torch.nn.utils.clip_grad_norm_`."""


def norms(parameters: Iterable[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    """Returns the norm of the gradient, [R], of each part of the model, by its name.

    Args:
        parameters: Those of the module, each [R, ...], by names such as
            ``model.encoder.first.kernel``; one without a gradient is left out.
    """
    squares: dict[str, Tensor] = {}
    for name, parameter in parameters:
        if parameter.grad is not None:
            part = name.split(".")[1]
            square = parameter.grad.square().reshape(len(parameter), -1).sum(1)
            squares[part] = squares.get(part, torch.zeros_like(square)) + square
    return {part: square.sqrt() for part, square in squares.items()}


@torch.no_grad()
def clip(parameters: Iterable[nn.Parameter], parts: Iterable[Tensor], most: float) -> None:
    """Scales down the gradient of each replica whose norm over all parameters is above ``most``.

    Args:
        parameters: All trained parameters, each [R, ...].
        parts: The gradient norms of the parts of the model, each [R].
        most: The largest norm that is allowed.
    """
    norm = torch.stack(list(parts)).norm(dim=0)  # [R]
    factor = (most / (norm + MARGIN)).clamp(max=1)
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(factor.view(-1, *[1] * (parameter.ndim - 1)))
