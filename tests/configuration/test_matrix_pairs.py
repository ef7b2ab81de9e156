"""What is more expensive to try of networks, problems, representations, policies and state.

A training in a stack, an interrupted one and the arrays of an export are tried in so many of the
possible combinations that each pair of options is in one; a graph of torch.export, which takes a
second, in so many that each class of networks is with each representation, and each problem, policy
and state too.
"""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from echo_exp import configuration
from echo_exp.export import echo_network, forms
from echo_exp.export.arrays import LAYERS, POLICIES, REPRESENTATIONS, can_be_arrays, write_arrays
from echo_exp.training import experiment
from echo_exp.training.interrupts import Interrupted, Interrupts
from echo_exp.training.member import Member
from echo_exp.training.outcome import Outcome
from echo_exp.training.stack import check_stackable, train_stack

from .. import matrix
from ..matrix import Case
from ..quick import begins

begins("hundreds of configurations")

POSSIBLE = [case for case in matrix.every() if not matrix.refused(case)]
PAIRS = matrix.pairwise(case for case in POSSIBLE if not case.network.endswith(matrix.PRE))
ARRAYS = matrix.pairwise(
    case
    for case in POSSIBLE
    if matrix.topology(case.network) in LAYERS
    and matrix.target("representation", case.representation) in REPRESENTATIONS
    and matrix.target("missing", case.missing) in POLICIES
)
CLASSES = {matrix.topology(network): network for network in matrix.networks()}
GRAPHS = matrix.pairwise(
    (case for case in POSSIBLE if case.network in CLASSES.values()), of="representation"
)


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_in_a_stack_it_trains_as_alone(case: Case, tmp_path: Path) -> None:
    _assert_stack_trains_as_alone(case, tmp_path)


@pytest.mark.parametrize("optimizer", matrix.options("optimizer"))
def test_in_a_stack_each_optimizer_trains_as_alone(optimizer: str, tmp_path: Path) -> None:
    _assert_stack_trains_as_alone(
        PAIRS[0], tmp_path, optimizer=matrix.option("optimizer", optimizer)
    )


def _assert_stack_trains_as_alone(case: Case, tmp_path: Path, **changes: Any) -> None:
    alone = [
        matrix.parts(case, (seed,), epochs=4, **changes, **{"optimizer.learning_rate": rate})
        for seed, rate in ((5, 0.05), (9, 0.01))
    ]
    members = [
        Member(parts.data.seeds, 4, parts.module.make_optimizer, None, tmp_path / f"{number}")
        for number, parts in enumerate(alone)
    ]
    together = matrix.parts(case, (5, 9), epochs=4, **changes)
    check_stackable(together.module)
    settings = configuration.read(matrix.config(case)).trainer
    (ends,) = train_stack(together, members, settings, Interrupts())
    for parts, (_, outcome) in zip(alone, ends, strict=True):
        expected = experiment.train(parts, settings, None, tmp_path / "alone", Interrupts())
        assert isinstance(outcome, Outcome)
        for name, (epochs, values) in expected.curves.items():
            assert outcome.curves[name][0] == epochs
            np.testing.assert_allclose(outcome.curves[name][1], values, rtol=1e-4, atol=1e-5)
        for name, score in expected.scores.items():
            np.testing.assert_allclose(outcome.scores[name], score, rtol=1e-4, atol=1e-5)


class Stop(pl.Callback):
    """Asks for a stop when so many epochs are trained."""

    def __init__(self, interrupts: Interrupts, epochs: int) -> None:
        self.interrupts, self.epochs = interrupts, epochs

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        if pl_module.epochs == self.epochs:
            self.interrupts.pending = signal.SIGTERM


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_stopped_after_two_epochs_it_goes_on_as_if_it_had_not(case: Case, tmp_path: Path) -> None:
    settings, interrupts = configuration.read(matrix.config(case)).trainer, Interrupts()
    whole, first, second = (matrix.parts(case, (1, 2), epochs=4) for _ in range(3))
    expected = experiment.train(whole, settings, None, tmp_path / "whole", Interrupts())
    folder, stop = tmp_path / "stopped", [Stop(interrupts, 2)]
    with pytest.raises(Interrupted):
        experiment.train(first, settings, None, folder, interrupts, callbacks=stop)
    assert first.module.epochs == 2
    checkpoint = experiment.last_checkpoint(folder, second)
    outcome = experiment.train(second, settings, None, folder, Interrupts(), checkpoint)
    for name, value in whole.module.state_dict().items():
        assert torch.equal(second.module.state_dict()[name], value), name
    for name, (epochs, values) in expected.curves.items():
        assert outcome.curves[name][0] == epochs
        np.testing.assert_array_equal(outcome.curves[name][1], values)
    for name, score in expected.scores.items():
        np.testing.assert_array_equal(outcome.scores[name], score)


@pytest.mark.parametrize("case", ARRAYS, ids=str)
def test_as_arrays_it_answers_as_the_original(case: Case, tmp_path: Path) -> None:
    network = matrix.untrained(case)
    assert can_be_arrays(network)
    write_arrays(network, tmp_path)
    predict = echo_network.load(tmp_path).predict
    assert forms.compare(network, lambda windows: predict(windows, forms.ASKED)) < 1e-6


@pytest.mark.parametrize("case", GRAPHS, ids=str)
def test_as_a_graph_it_answers_as_the_original(case: Case, tmp_path: Path) -> None:
    assert forms.write(matrix.untrained(case), "pt2", tmp_path).difference < 1e-6
