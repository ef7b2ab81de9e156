"""Teacher forcing: the network receives the right answers in training only."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from echo_exp import configuration
from echo_exp.export import forms
from echo_exp.models import Attention
from echo_exp.task.problem import MISSING
from echo_exp.training import experiment
from echo_exp.training.interrupts import Interrupts
from echo_exp.training.member import Member
from echo_exp.training.outcome import Outcome
from echo_exp.training.stack import train_stack

from .. import matrix
from ..matrix import CARRIED, Case
from ..trainers import make_trainer

CASE = Case("attention", "echo_whole", "one_hot", "mask", CARRIED)
TAUGHT = {"model.feedback": "teacher"}


@pytest.mark.parametrize("representation", matrix.options("representation"))
def test_the_network_receives_the_right_answers_in_training_only(
    representation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, taught = [], Attention.taught

    def spy(model: Attention, *given: Any) -> Any:
        assert torch.is_grad_enabled()
        told.append(given[-1])
        return taught(model, *given)

    monkeypatch.setattr(Attention, "taught", spy)
    case = CASE._replace(representation=representation)
    parts, same = (matrix.parts(case, (1,), epochs=2, **TAUGHT) for _ in range(2))
    make_trainer().fit(parts.module, parts.data)
    assert len(told) == 2 * 2  # epochs, batches
    problem, first = parts.module.problem, next(iter(same.data.train_dataloader()))
    targets = problem.targets(first)[0]  # [R, n_windows, n_out]
    assert (targets == MISSING).any()
    expected = parts.module.representation.encode(targets[:, : parts.module.batch_size].clamp(0))
    torch.testing.assert_close(told[0], expected)


def test_each_run_of_a_stack_is_taught_as_it_is_alone(tmp_path: Path) -> None:
    alone = [matrix.parts(CASE, (seed,), epochs=4, **TAUGHT) for seed in (5, 9)]
    members = [
        Member(parts.data.seeds, 4, parts.module.make_optimizer, None, tmp_path / f"{number}")
        for number, parts in enumerate(alone)
    ]
    settings = configuration.read(matrix.config(CASE)).trainer
    together = matrix.parts(CASE, (5, 9), epochs=4, **TAUGHT)
    (ends,) = train_stack(together, members, settings, Interrupts())
    for parts, (_, outcome) in zip(alone, ends, strict=True):
        expected = experiment.train(parts, settings, None, tmp_path / "alone", Interrupts())
        assert isinstance(outcome, Outcome)
        for name, score in expected.scores.items():
            np.testing.assert_allclose(outcome.scores[name], score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("representation", matrix.options("representation"))
def test_an_exported_graph_reads_its_own_answers(representation: str, tmp_path: Path) -> None:
    case = CASE._replace(representation=representation)
    assert forms.write(matrix.untrained(case, **TAUGHT), "pt2", tmp_path).difference < 1e-6


def test_a_network_without_feedback_never_receives_the_right_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def taught(*_: Any) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(Attention, "taught", taught)
    for feedback in (None, "own"):
        parts = matrix.parts(CASE, (1,), epochs=1, **{"model.feedback": feedback})
        make_trainer(limit_val_batches=0).fit(parts.module, parts.data)
