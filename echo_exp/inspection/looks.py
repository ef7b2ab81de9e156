"""What a network looks at in a window: its weights of attention, and what its answers depend on."""

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
"""Gradients are measured in so many; of each answer one is computed."""


@dataclass(frozen=True)
class Attention:
    """How much each answer, or each timestep, looks at each timestep of a window.

    Attributes:
        windows: How many windows were measured.
        by_answer: Whether the answers look; else the timesteps do.
        weights: Mean weights over these by the name of the head, [Q, T] each; a row adds up to 1.
    """

    windows: int
    by_answer: bool
    weights: Mapping[str, Floats]


@dataclass(frozen=True)
class Gradient:
    """How much each answer depends on each timestep of a window.

    Attributes:
        windows: How many windows were measured.
        norm: Root mean square over these of the norm of the gradient of an answer by the input at a
            timestep, [n_out, T]. The answer is the logarithm of the probability of the most
            probable integer, or the number from 0 to 1.
        share: The same, a row adding up to 1; NaN where nothing depends on anything.
    """

    windows: int
    norm: Floats
    share: Floats


@torch.inference_mode()
def attention(module: EchoModule, windows: Tensor) -> Attention:
    """Measures what a network `WithAttention` looks at, the state carried as in the training.

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
    """Says whether a network has a gradient by its input: of one-hot vectors, not of categories."""
    batch = next(walks.walk(module, windows[:1], walks.reset))
    try:
        gradients = _gradients(module, batch)
    except RuntimeError:  # one that takes categories only, for instance to look them up itself
        return False
    return gradients is not None


def gradient(module: EchoModule, windows: Tensor) -> Gradient:
    """Measures what the answers depend on, the state carried as in the training, and cut there.

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
    """Returns the gradient of each answer by the input, [n_out, S*B, T, F], if there is any."""
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
