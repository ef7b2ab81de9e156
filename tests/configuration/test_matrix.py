"""Every network with every problem, representation and policy, the state carried or not.

Each combination is refused, or it learns: `matrix.refused` is the rule. What is more expensive to
try is in `test_matrix_pairs`.
"""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from echo_exp.settings import SettingError
from echo_exp.training.module import EchoModule

from .. import matrix
from ..matrix import CARRIED, Case
from ..quick import begins
from ..trainers import Recorder, make_trainer

begins("hundreds of configurations")

EVERY = matrix.every()
POSSIBLE = [case for case in EVERY if not matrix.refused(case)]
IMPOSSIBLE = [case for case in EVERY if matrix.refused(case)]
EPOCHS, REPLICAS = 8, 4  # 16 updates of 4 networks
LEARNT = 0.97
"""The loss, in the mean of the networks, falls to less than this share of what it begins with."""


class Watch:
    """What the model is given and what it returns while it trains."""

    def __init__(self, module: EchoModule) -> None:
        self.zero: list[bool] = []
        self.shapes: set[tuple[int, ...]] = set()
        model: Any = module.model
        model.register_forward_hook(self)

    def __call__(self, model: Any, inputs: tuple[Any, ...], outputs: tuple[Tensor, Any]) -> None:
        if torch.is_grad_enabled():
            self.zero.append(inputs[1] is None)
            assert inputs[1] is None or any(bool(part.any()) for part in inputs[1])
            self.shapes.add(tuple(outputs[0].shape))


@pytest.mark.parametrize("place", range(len(Case._fields)), ids=Case._fields)
def test_every_option_is_in_a_combination_that_is_possible(place: int) -> None:
    assert {case[place] for case in POSSIBLE} == {case[place] for case in EVERY}


@pytest.mark.parametrize("case", IMPOSSIBLE, ids=str)
def test_what_makes_no_sense_is_refused_by_the_name_of_a_setting(case: Case) -> None:
    with pytest.raises(SettingError) as refusal:
        matrix.parts(case)
    assert refusal.value.key in matrix.refused(case)
    assert re.fullmatch(r"\S+=\S+ is not allowed: [^\n]+", str(refusal.value))


@pytest.mark.parametrize("case", POSSIBLE, ids=str)
def test_it_learns(case: Case) -> None:
    parts = matrix.parts(case, seeds=range(REPLICAS), epochs=EPOCHS)
    problem, batch = parts.module.problem, parts.module.batch_size
    watch, recorder = Watch(parts.module), Recorder()
    make_trainer(recorder, limit_val_batches=0).fit(parts.module, parts.data)
    outputs = parts.module.representation.n_outputs
    assert watch.shapes == {(REPLICAS, batch, problem.n_out, outputs)}
    assert watch.zero == [True, case.state != CARRIED] * EPOCHS
    losses = torch.tensor(recorder.losses).mean(1)  # [epochs]
    assert losses[-2:].mean() < LEARNT * losses[0]


@pytest.mark.parametrize("network", matrix.networks())
def test_layers_are_a_setting_of_every_network_and_each_has_its_states(network: str) -> None:
    counts = []
    for layers in (1, 3):
        case = Case(network, "echo_whole", "one_hot", "drop", matrix.RESET)
        module = matrix.parts(case, (1,), **{"model.layers": layers}).module
        _, state = module.model(torch.zeros(1, 1, module.problem.n_in, dtype=torch.long))
        counts.append(len(state))
    assert counts[1] == 3 * counts[0]
