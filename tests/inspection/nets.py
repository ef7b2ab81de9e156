"""Networks whose states, gates and answers are known."""

from collections.abc import Callable
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from echo_exp import EchoModule, EchoProblem, OneHot, Seq2Seq, TrainedNetwork
from echo_exp.models import LSTM, State
from echo_exp.task.representation import Representation

OPEN, SHUT = 20.0, -20.0
V = 8


class Answering(nn.Module):
    """Answers with a function of the window and the last integer of the one before, in its state.

    Where the state is zero, that integer is 0.
    """

    def __init__(self, answer: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.stateful = True
        self.answer = answer
        self.weight = nn.Parameter(torch.zeros(1))  # one replica

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """[1, B, n_in] categories, or [1, B, n_in, 1] numbers."""
        before = state[0] if state else torch.zeros(*x.shape[:2], 1)  # [1, B, 1]
        last = x[:, :, -1].reshape(*x.shape[:2], 1).float()
        return self.answer(x, before), (last, last)


def one_hot(integers: Tensor) -> Tensor:
    """Outputs that stand for integers, [...] -> [..., V]."""
    return nn.functional.one_hot(integers, V).float()


def module(
    model: Any,
    problem: EchoProblem,
    batch_size: int,
    representation: Representation | None = None,
) -> EchoModule:
    """Wraps a network in a module."""
    return EchoModule(model, problem, representation or OneHot(problem.n_values), batch_size)


def trained(module: EchoModule) -> TrainedNetwork:
    """The module as a trained network, as if it came from a run."""
    unused: Any = None
    return TrainedNetwork(module, OmegaConf.create(), unused, 0, 0, None, {})


def seq2seq(problem: EchoProblem, batch_size: int, units: int, **settings: Any) -> EchoModule:
    """An untrained seq2seq net."""
    model = Seq2Seq(
        n_features=problem.n_values,
        n_outputs=problem.n_values,
        n_in=problem.n_in,
        n_out=problem.n_out,
        units=units,
        seeds=[1],
        **settings,
    )
    return module(model, problem, batch_size)


def newest_only(problem: EchoProblem, batch_size: int) -> EchoModule:
    """An LSTM that holds the integer just read, a unit each, and forgets everything before."""
    net = seq2seq(problem, batch_size, units=problem.n_values)
    set_gates(_layer(net), output=OPEN, input_=OPEN, forget=SHUT, first=0)
    return net


def first_only(problem: EchoProblem, batch_size: int) -> EchoModule:
    """An LSTM that takes in the first integer of the window and then shuts its input gates.

    Unit 0 counts the timesteps; as soon as it is above zero it shuts the gates of the others.
    """
    net = seq2seq(problem, batch_size, units=problem.n_values + 1)
    layer = _layer(net)
    set_gates(layer, output=OPEN, input_=OPEN, forget=OPEN, first=1)
    units = layer.units
    with torch.no_grad():
        layer.bias[..., 3 * units] = OPEN  # the candidate of the counter
        layer.recurrent_kernel[:, 0, units + 1 : 2 * units] = 3 * SHUT
    return net


def _layer(net: EchoModule) -> LSTM:
    assert isinstance(net.model, Seq2Seq)
    return net.model.lstm.first


def set_gates(layer: LSTM, output: float, input_: float, forget: float, first: int) -> None:
    """Sets all gates, and has the candidate of unit ``first + v`` be 1 for integer v, else 0."""
    units, values = layer.units, layer.kernel.shape[1]
    with torch.no_grad():
        layer.kernel.zero_()
        layer.recurrent_kernel.zero_()
        layer.bias.zero_()
        for gate, value in enumerate((output, input_, forget)):
            layer.bias[..., gate * units : (gate + 1) * units] = value
        for value in range(values):
            layer.kernel[:, value, 3 * units + first + value] = OPEN
