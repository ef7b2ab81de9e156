"""Small runs, trained alone and in a stack, and their results."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from echo_exp import Adam
from echo_exp.training import experiment
from echo_exp.training.checkpoint_names import LAST
from echo_exp.training.checkpoints import load
from echo_exp.training.experiment import Parts
from echo_exp.training.interrupts import Interrupts
from echo_exp.training.member import Member
from echo_exp.training.outcome import Outcome
from echo_exp.training.settings import TrainerSettings
from echo_exp.training.stack import train_stack

from ..trainers import BATCH, PROBLEM, make_data, make_module

SETTINGS = TrainerSettings(
    accelerator="cpu",
    threads=1,
    validate_every=10,
    validation_sequences=3,
    test_sequences=4,
    checkpoint_seconds=1000,
    progress="none",
    detect_anomaly=False,
)


ROUNDING = 2e-6


@dataclasses.dataclass(frozen=True)
class Job:
    """The settings of a run that may differ in a stack."""

    seeds: Sequence[int] = (0,)
    epochs: int = 30
    rate: float = 1e-2
    schedule: str = "constant"
    warmup: int = 0

    @property
    def optimizer(self) -> Any:
        return functools.partial(
            Adam,
            learning_rate=self.rate,
            schedule=self.schedule,
            warmup=self.warmup,
            epochs=self.epochs,
            updates_per_epoch=PROBLEM.n_windows // BATCH,
        )


cosine = functools.partial(Job, schedule="cosine", warmup=3)


def make_parts(
    seeds: Sequence[int], epochs: int, optimizer: Any = Adam, clip_norm: float | None = None
) -> Parts:
    module = make_module(seeds, optimizer=optimizer, clip_norm=clip_norm)
    return Parts(module, make_data(epochs, seeds, SETTINGS.block))


def alone(
    job: Job,
    folder: Path,
    checkpoint: dict[str, Any] | None = None,
    clip_norm: float | None = None,
) -> Outcome:
    parts = make_parts(job.seeds, job.epochs, job.optimizer, clip_norm)
    return experiment.train(parts, SETTINGS, None, folder, Interrupts(), checkpoint)


def member(job: Job, folder: Path, goes_on: bool = False, **more: Any) -> Member:
    checkpoint = load(folder / LAST) if goes_on else None
    return Member(job.seeds, job.epochs, job.optimizer, None, folder, checkpoint, **more)


def stacked(
    members: Sequence[Member],
    settings: TrainerSettings = SETTINGS,
    interrupts: Interrupts | None = None,
    clip_norm: float | None = None,
) -> list[Outcome | Exception]:
    seeds = [seed for each in members for seed in each.seeds]
    parts = make_parts(seeds, 0, clip_norm=clip_norm)
    groups = train_stack(parts, members, settings, interrupts or Interrupts())
    found = dict(end for group in groups for end in group)
    return [found[each] for each in members]


def assert_same(outcome: Outcome | Exception, expected: Outcome) -> None:
    assert isinstance(outcome, Outcome)
    assert outcome.seeds == tuple(expected.seeds)
    assert outcome.curves.keys() == expected.curves.keys()
    for name, (epochs, values) in expected.curves.items():
        assert outcome.curves[name][0] == epochs
        np.testing.assert_allclose(outcome.curves[name][1], values, rtol=1e-5, atol=ROUNDING)
    for name, score in expected.scores.items():
        np.testing.assert_allclose(outcome.scores[name], score, rtol=1e-5, atol=ROUNDING)
    np.testing.assert_array_equal(outcome.epochs_to_solve, expected.epochs_to_solve)
    assert outcome.listing == expected.listing
    assert outcome.listed == expected.listed
    assert outcome.intervals == expected.intervals
    assert (outcome.windows, outcome.parameters) == (expected.windows, expected.parameters)


def assert_same_files(folder: Path, expected: Path) -> None:
    names = sorted(str(path.relative_to(expected)) for path in expected.rglob("*.ckpt"))
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.ckpt")) == names
    for name in names:
        _compare(_content(folder / name), _content(expected / name))


def _content(path: Path) -> Any:
    content = torch.load(path, weights_only=True)
    content.get("callbacks", {}).get("Recorder", {}).pop("seconds", None)
    fit = content.get("loops", {}).get("fit_loop", {})
    fit.pop("epoch_loop.val_loop.batch_progress", None)
    fit.pop("epoch_loop.state_dict", None)  # of a resumed training Lightning counts one too many
    return content


def _compare(found: Any, expected: Any, where: str = "") -> None:
    if isinstance(expected, Mapping):
        assert found.keys() == expected.keys(), where
        for key in expected:
            _compare(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, Tensor):
        torch.testing.assert_close(
            found, expected, rtol=1e-4, atol=1e-5, equal_nan=True, msg=lambda m: f"{where}: {m}"
        )
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for index, pair in enumerate(zip(found, expected, strict=True)):
            _compare(*pair, where=f"{where}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5), where
    else:
        assert found == expected, where
