"""Adam is that of Keras."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from echo_exp.settings import SettingError
from echo_exp.training.optimizer import SCHEDULED, Adam


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


def test_a_gradient_may_have_any_memory_layout() -> None:
    """Such as that of a kernel that a network transposes, or of a part of another tensor."""
    gradient = torch.arange(24.0).view(2, 4, 3)
    values = []
    for given in (gradient.transpose(1, 2), gradient.transpose(1, 2).contiguous()):
        parameter = nn.Parameter(torch.zeros(2, 3, 4))
        parameter.grad = given
        Adam([parameter], epsilon=1.0).step()
        values.append(parameter.detach())
    torch.testing.assert_close(*values, rtol=0, atol=0)


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


def test_a_saved_optimizer_continues_bit_for_bit() -> None:
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


def test_parameters_without_a_gradient_do_not_change() -> None:
    moved, still = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer = Adam([still, moved])
    moved.grad = torch.ones(2)
    optimizer.step()
    assert not still.any()
    assert moved.all()


def test_the_value_of_a_closure_is_returned() -> None:
    assert Adam([nn.Parameter(torch.zeros(1))]).step(lambda: 7.0) == 7.0


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "fast", None, True, [1e-3]])
@pytest.mark.parametrize("name", ["learning_rate", "beta_1", "beta_2", "epsilon"])
def test_settings_that_are_not_allowed_are_refused(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=rf"optimizer\.{name}="):
        Adam([nn.Parameter(torch.zeros(1))], **{name: value})


@pytest.mark.parametrize("name", ["beta_1", "beta_2"])
def test_a_decay_of_one_is_refused(name: str) -> None:
    values: dict[str, Any] = {name: 1}
    with pytest.raises(SettingError, match=rf"optimizer\.{name}=1 .* below 1"):
        Adam([nn.Parameter(torch.zeros(1))], **values)


def _rates(**schedule: Any) -> list[float]:
    """The learning rates of the updates of 10 epochs of 3 updates, and what follows."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = Adam([parameter], learning_rate=0.5, epochs=10, updates_per_epoch=3, **schedule)
    parameter.grad = torch.ones(1)
    return _stepped(optimizer, 30)


def _stepped(optimizer: torch.optim.Optimizer, updates: int, *after: Any) -> list[float]:
    rates = []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in after:
            scheduler.step()
    return rates


def _torchs(updates: int, *make: Any, milestones: Sequence[int] = ()) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedulers = [each(optimizer) for each in make]
    if milestones:
        schedulers = [SequentialLR(optimizer, schedulers, list(milestones))]
    return _stepped(optimizer, updates, *schedulers)


def _rise(updates: int) -> Any:
    """The first update has one share of the rate, the last all of it."""
    return functools.partial(LinearLR, start_factor=1 / updates, total_iters=updates - 1)


def test_without_a_schedule_the_rate_is_the_same_at_each_update() -> None:
    assert _rates() == [0.5] * 30


def test_a_cosine_is_torchs() -> None:
    assert _rates(schedule="cosine") == pytest.approx(
        _torchs(30, functools.partial(CosineAnnealingLR, T_max=30))
    )


def test_a_warmup_is_torchs() -> None:
    rates = _rates(warmup=4)
    assert rates == pytest.approx(_torchs(30, _rise(12)))
    assert rates[11:] == [0.5] * 19


@pytest.mark.filterwarnings("ignore:.*epoch parameter.*")
def test_a_cosine_after_a_warmup_is_torchs() -> None:
    cosine = functools.partial(CosineAnnealingLR, T_max=18)
    expected = _torchs(30, _rise(12), cosine, milestones=[12])
    assert _rates(schedule="cosine", warmup=4) == pytest.approx(expected)


def test_a_run_may_be_warmup_only() -> None:
    assert _rates(schedule="cosine", warmup=10) == pytest.approx([n / 60 for n in range(1, 31)])


def test_after_its_last_epoch_a_cosine_stays_at_zero() -> None:
    optimizer = Adam([nn.Parameter(torch.zeros(1))], schedule="cosine", epochs=3)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
    assert [rate > 0 for rate in _stepped(optimizer, 6)] == [True] * 3 + [False] * 3


def test_an_update_moves_by_the_rate_of_its_schedule() -> None:
    gradients = _gradients(10)
    parameter = nn.Parameter(torch.zeros(50))
    optimizer = Adam([parameter], schedule="cosine", warmup=2, epochs=10)
    plain = Adam([nn.Parameter(torch.zeros(50))])
    for gradient in gradients:
        plain.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"]
        for each in (optimizer, plain):
            each.param_groups[0]["params"][0].grad = gradient.clone()
            each.step()
    assert torch.equal(parameter, plain.param_groups[0]["params"][0])


def test_a_saved_schedule_continues_bit_for_bit() -> None:
    schedule: dict[str, Any] = {"schedule": "cosine", "warmup": 2, "epochs": 10}
    gradients = _gradients(10)
    parameter = nn.Parameter(torch.zeros(50))
    optimizer = Adam([parameter], **schedule)
    for step, gradient in enumerate(gradients):
        if step in (1, 5):
            saved = optimizer.state_dict()
            optimizer = Adam([parameter], **schedule)
            optimizer.load_state_dict(saved)
        parameter.grad = gradient.clone()
        optimizer.step()
    assert torch.equal(parameter, _run(lambda p: Adam(p, **schedule), gradients))


def test_the_saved_state_of_a_version_without_schedules_continues_unchanged() -> None:
    gradients = _gradients(10)
    parameter = nn.Parameter(torch.zeros(50))
    optimizer = Adam([parameter], learning_rate=0.01)
    for step, gradient in enumerate(gradients):
        if step == 5:
            saved = optimizer.state_dict()
            for name in SCHEDULED:
                del saved["param_groups"][0][name]
            optimizer = Adam([parameter])
            optimizer.load_state_dict(saved)
        parameter.grad = gradient.clone()
        optimizer.step()
    assert torch.equal(parameter, _run(lambda p: Adam(p, learning_rate=0.01), gradients))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schedule": "step"}, r"schedule=step .* constant or cosine"),
        ({"schedule": None}, r"schedule=null .* constant or cosine"),
        ({"schedule": "cosine", "epochs": None}, r"schedule=cosine .* number of epochs"),
        ({"warmup": 11}, r"warmup=11 .* from 0 to 10"),
        ({"warmup": -1}, r"warmup=-1 .* from 0"),
        ({"warmup": 0.5}, r"warmup=0\.5 .* integer"),
    ],
)
def test_schedules_that_are_not_allowed_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=rf"optimizer\.{message}"):
        Adam([nn.Parameter(torch.zeros(1))], **{"epochs": 10} | given)
