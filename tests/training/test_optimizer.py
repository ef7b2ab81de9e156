"""Adam is that of Keras."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from echo_exp.settings import SettingError
from echo_exp.training.optimizer import Adam


def _gradients(steps: int, scale: float = 1.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [scale * torch.randn(50, generator=generator) for _ in range(steps)]


def _run(make: Any, gradients: list[torch.Tensor]) -> torch.Tensor:
    parameter = nn.Parameter(torch.zeros(50))
    optimizer = make([parameter])
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


def _keras(gradients: list[torch.Tensor], rate: float, epsilon: float) -> torch.Tensor:
    """The update that Keras documents, in double precision."""
    value, mean, square = (np.zeros(50) for _ in range(3))
    for t, gradient in enumerate((g.double().numpy() for g in gradients), start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        alpha = rate * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        value -= alpha * mean / (np.sqrt(square) + epsilon)
    return torch.from_numpy(value).float()


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-7])
def test_updates_are_those_of_keras(scale: float) -> None:
    gradients = _gradients(100, scale)
    expected = _keras(gradients, 1e-3, 1e-7)
    torch.testing.assert_close(_run(Adam, gradients), expected, rtol=1e-4, atol=1e-8)


def test_torchs_epsilon_means_something_else() -> None:
    gradients = _gradients(3, scale=1e-5)
    torchs = _run(lambda p: torch.optim.Adam(p, eps=1e-7), gradients)
    ours = _run(Adam, gradients)
    assert (ours / torchs - 1).abs().median() > 0.05


def test_without_epsilon_torchs_updates_are_the_same() -> None:
    gradients = _gradients(20)
    torchs = _run(lambda p: torch.optim.Adam(p, eps=1e-30), gradients)
    ours = _run(lambda p: Adam(p, epsilon=1e-30), gradients)
    torch.testing.assert_close(ours, torchs)


def test_a_saved_optimizer_goes_on_bit_for_bit() -> None:
    gradients = _gradients(10)
    parameter = nn.Parameter(torch.zeros(50))
    optimizer = Adam([parameter])
    for step, gradient in enumerate(gradients):
        if step == 5:
            saved = optimizer.state_dict()
            optimizer = Adam([parameter])
            optimizer.load_state_dict(saved)
        parameter.grad = gradient.clone()
        optimizer.step()
    assert torch.equal(parameter, _run(Adam, gradients))


def test_parameters_without_a_gradient_stay() -> None:
    moved, still = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer = Adam([still, moved])
    moved.grad = torch.ones(2)
    optimizer.step()
    assert not still.any()
    assert moved.all()


def test_a_closures_value_comes_back() -> None:
    assert Adam([nn.Parameter(torch.zeros(1))]).step(lambda: 7.0) == 7.0


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "fast", None, True, [1e-3]])
@pytest.mark.parametrize("name", ["learning_rate", "beta_1", "beta_2", "epsilon"])
def test_settings_that_are_not_allowed_are_refused(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=rf"optimizer\.{name}="):
        Adam([nn.Parameter(torch.zeros(1))], **{name: value})


@pytest.mark.parametrize("name", ["beta_1", "beta_2"])
def test_what_never_decays_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match=rf"optimizer\.{name}=1 .* below 1"):
        Adam([nn.Parameter(torch.zeros(1))], **{name: 1})
