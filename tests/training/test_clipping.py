"""Gradients are measured and clipped for each replica separately."""

import functools
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from echo_exp import EchoModule
from echo_exp.settings import SettingError

from ..trainers import Recorder, make_data, make_module, make_trainer


def _trained(seeds: Sequence[int] = (1, 2), **changes: Any) -> tuple[EchoModule, Recorder]:
    module, recorder = make_module(seeds, **changes), Recorder()
    make_trainer(recorder).fit(module, make_data(5, seeds))
    return module, recorder


def test_a_norm_above_all_gradients_clips_nothing() -> None:
    (_, free), (module, clipped) = _trained(), _trained(clip_norm=1e3)
    assert clipped.losses == free.losses
    norms = [v for name, v in module.scores.items() if name.startswith("val/gradient_norm")]
    assert 0 < torch.stack(norms).norm() < 1e3


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), "short", True])
def test_a_norm_that_is_not_above_zero_is_refused(value: Any) -> None:
    with pytest.raises(SettingError, match=r"trainer\.clip_norm=.* above 0"):
        make_module(clip_norm=value)


def test_the_recorded_norm_is_that_before_clipping() -> None:
    still = functools.partial(torch.optim.SGD, lr=0.0)
    (free, _), (clipped, _) = (_trained(optimizer=still, clip_norm=c) for c in (None, 1e-3))
    for part in ("lstm", "dense"):
        name = f"val/gradient_norm_{part}"
        assert torch.equal(clipped.scores[name], free.scores[name])
    left = [w.grad.flatten(1).norm(dim=1) for w in clipped.parameters() if w.grad is not None]
    assert torch.stack(left).norm(dim=0).tolist() == pytest.approx([1e-3] * 2, rel=0.02)


def test_clipped_replicas_train_as_the_single_nets_of_their_seeds() -> None:
    _, many = _trained(clip_norm=0.02)
    assert many.losses != _trained()[1].losses
    for replica, seed in enumerate((1, 2)):
        _, single = _trained((seed,), clip_norm=0.02)
        own = [losses[replica] for losses in many.losses]
        assert own == pytest.approx([loss for (loss,) in single.losses], rel=1e-5)
