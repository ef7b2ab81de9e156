"""What a network looks at in a window: its attention weights, and what its answers depend on."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from echo_exp.inspection.recording import reads
from echo_exp.models import WithAttention
from echo_exp.task.problem import MISSING
from echo_exp.training import walks
from echo_exp.training.module import EchoModule
from echo_exp.training.replicas import Floats

MOST_WINDOWS = 500
"""Gradients are measured in about this many windows: each answer takes one backward pass."""


@dataclass(frozen=True)
class Attention:
    """How much each answer, or each timestep, attends to each timestep of a window.

    Attributes:
        windows: Number of windows that were measured.
        by_answer: Whether the answers attend; otherwise the timesteps do.
        weights: Mean weights over these windows, [Q, T], by the name of the head; a row adds up to
            1.
    """

    windows: int
    by_answer: bool
    weights: Mapping[str, Floats]


@dataclass(frozen=True)
class Gradient:
    """How much each answer depends on each timestep of a window.

    Attributes:
        windows: Number of windows that were measured.
        norm: Norm of the gradient of an answer with respect to the input at a timestep, [n_out, T]:
            its root mean square over these windows. The answer is the logarithm of the probability
            of the most probable integer, or the number from 0 to 1.
        share: The same with rows that add up to 1; NaN if an answer depends on no timestep.
    """

    windows: int
    norm: Floats
    share: Floats


@torch.inference_mode()
def attention(module: EchoModule, windows: Tensor) -> Attention:
    """Measures the attention of a network `WithAttention`, with the state carried as in training.

    Args:
        module: The network; one replica (R = 1).
        windows: [S, rows, n_in] integers.
    """
    assert isinstance(module.model, WithAttention)
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
    count = 0
    for portion in walks.portions(module, windows):
        for batch in walks.walk(module, portion, walks.as_trained(module)):
            complete = (batch.windows != MISSING).all(-1).flatten()  # [S*B]
            count += int(complete.sum())
            for name, weights in module.model.attention(*batch.given).items():
                sums[name] = sums[name] + weights[0, complete].double().sum(0)
    means = {name: (total / count).numpy() for name, total in sums.items()}
    return Attention(count, not reads(next(iter(means))), means)


def reads_features(module: EchoModule, windows: Tensor) -> bool:
    """Returns whether a network has a gradient with respect to its input, as one-hot vectors."""
    batch = next(walks.walk(module, windows[:1], walks.reset))
    try:
        gradients = _gradients(module, batch)
    except RuntimeError:  # it takes categories only, for instance to look them up itself
        return False
    return gradients is not None


def gradient(module: EchoModule, windows: Tensor) -> Gradient:
    """Measures what the answers depend on; the state is carried as in training, without gradient.

    Args:
        module: The network, which `reads_features`; one replica (R = 1).
        windows: [S, rows, n_in] integers.
    """
    complete = int(walks.complete(windows).sum())
    few = windows[: max(2, -(-MOST_WINDOWS // complete))]
    squares, count = torch.zeros(module.problem.n_out, windows.shape[-1]).double(), 0
    for batch in walks.walk(module, few, walks.as_trained(module)):
        whole = (batch.windows != MISSING).all(-1).flatten()  # [S*B]
        found = _gradients(module, batch)
        assert found is not None
        squares += found[:, whole].double().square().sum((1, 3))
        count += int(whole.sum())
    norm = (squares / count).sqrt().numpy()
    with np.errstate(invalid="ignore"):
        share = norm / norm.sum(1, keepdims=True)
    return Gradient(count, norm, share)


def _gradients(module: EchoModule, batch: walks.Batch) -> Tensor | None:
    """Returns each answer's gradient with respect to the input, [n_out, S*B, T, F], if any."""
    x, state, present = batch.given
    if not x.is_floating_point():
        x = functional.one_hot(x, module.representation.n_features).to(torch.get_default_dtype())
    x = x.detach().requires_grad_()
    state = state and tuple(part.detach() for part in state)
    with torch.enable_grad():
        outputs, _ = module.model(x, state, present)  # [1, S*B, n_out, V]
        if outputs.shape[-1] > 1:
            outputs = outputs.log_softmax(-1).amax(-1, keepdim=True)
        answers = outputs[0, :, :, 0].sum(0)  # [n_out]
        if not answers.requires_grad:
            return None
        each = [torch.autograd.grad(answer, x, retain_graph=True)[0] for answer in answers]
    return torch.stack([gradient[0] for gradient in each])
