"""Checks that a network of the user's own keeps to the protocol, before it is trained.

Torch's own messages about a wrong shape name neither the network nor what is expected of it.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from echo_exp.settings import SettingError
from echo_exp.training.module import EchoModule

PACKAGE = "echo_exp."
"""The program's own networks keep to the protocol."""


def check_network(module: EchoModule, replicas: int) -> None:
    """Lets a network of the user's own answer one batch, if the module has one.

    Args:
        module: The network with its problem and representation.
        replicas: How many replicas it was built for (R).

    Raises:
        SettingError: The network does not do what the protocol `Model` says.
    """
    network = module.model
    assert isinstance(network, nn.Module)
    if type(network).__module__.startswith(PACKAGE):
        return
    problem, batch = module.problem, module.batch_size
    for name, parameter in network.named_parameters():
        if not parameter.dim() or len(parameter) != replicas:
            raise _error(network, f"its parameter {name}", parameter, f"[{replicas}, ...]")
    windows = torch.zeros(replicas, batch, problem.n_in, dtype=torch.long)
    x, present = module.read(windows)
    answer = _answer(network, x, present)
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise _error(network, "forward returned", answer, "the outputs and the state")
    outputs, state = answer
    expected = [replicas, batch, problem.n_out, module.representation.n_outputs]
    if not (isinstance(outputs, Tensor) and list(outputs.shape) == expected):
        raise _error(network, "forward returned outputs", outputs, str(expected))
    ahead = f"[{replicas}, {batch}, ...]"
    if not isinstance(state, tuple):
        raise _error(network, "forward returned the state", state, f"a tuple of tensors {ahead}")
    for part in state:
        if not (isinstance(part, Tensor) and list(part.shape[:2]) == [replicas, batch]):
            raise _error(network, "forward returned in the state", part, ahead)


def _answer(network: nn.Module, x: Tensor, present: Tensor | None) -> Any:
    """Returns what a copy of the network makes of a batch; the network stays as it is."""
    copied = copy.deepcopy(network).eval()
    with torch.random.fork_rng(), torch.no_grad():
        try:
            return copied(x, None, present)
        except Exception as error:
            shape = f"x {list(x.shape)}, no state and present " + _shown(present)
            reason = f"forward({shape}) failed ({type(error).__name__}: {error})"
            raise SettingError("model", type(network).__name__, reason) from error


def _error(network: nn.Module, what: str, found: object, expected: str) -> SettingError:
    reason = f"{what} {_shown(found)}, but must be {expected} (see `echo_exp.models.Model`)"
    return SettingError("model", type(network).__name__, reason)


def _shown(value: object) -> str:
    """Returns the shape of a tensor, or the kind of something else."""
    if isinstance(value, Tensor):
        return str(list(value.shape))
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))})"
    return "None" if value is None else f"a {type(value).__name__}"
