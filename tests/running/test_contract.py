"""A network that breaks the protocol is named, with what it did and what is expected."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from echo_exp import EchoModule, EchoProblem, OneHot
from echo_exp.running.contract import check_network
from echo_exp.settings import SettingError

PROBLEM = EchoProblem(length=8, n_values=6, n_in=4, n_out=2)


class Right(nn.Module):
    """Keeps to the protocol."""

    stateful = True

    def __init__(self, seeds: Sequence[int] = (1, 2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(len(seeds), 6, 6))  # [R, F, V]
        self.norm = nn.BatchNorm1d(2, affine=False)

    def forward(self, x: Tensor, state: Any, present: Tensor | None) -> Any:
        read = torch.stack([w[each] for w, each in zip(self.weight, x, strict=True)])
        return read[:, :, :2] + torch.rand(()), (read[:, :, 0],)  # [R, B, n_out, V], [R, B, U]


class OutputsOnly(Right):
    def forward(self, x: Tensor, state: Any, present: Tensor | None) -> Any:
        return super().forward(x, state, present)[0]


class EveryTimestep(Right):
    def forward(self, x: Tensor, state: Any, present: Tensor | None) -> Any:
        outputs, state = super().forward(x, state, present)
        return torch.cat([outputs, outputs], 2), state


class NoState(Right):
    def forward(self, x: Tensor, state: Any, present: Tensor | None) -> Any:
        return super().forward(x, state, present)[0], None


class StateOfNoReplica(Right):
    def forward(self, x: Tensor, state: Any, present: Tensor | None) -> Any:
        outputs, (state,) = super().forward(x, state, present)
        return outputs, (state[0],)


class NoReplicas(Right):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 3)


class NoReplicasAtFirst(Right):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 6))


class OneArgument(Right):
    def forward(self, x: Tensor) -> Any:  # type: ignore[override]
        return super().forward(x, None, None)


WRONG = {
    OutputsOnly: r"forward returned \[2, 1, 2, 6\], but must be the outputs and the state",
    EveryTimestep: r"outputs \[2, 1, 4, 6\], but must be \[2, 1, 2, 6\]",
    NoState: r"the state None, but must be a tuple of tensors \[2, 1, ...\]",
    StateOfNoReplica: r"in the state \[1, 6\], but must be \[2, 1, ...\]",
    NoReplicas: r"its parameter dense.weight \[3, 3\], but must be \[2, ...\]",
    NoReplicasAtFirst: r"its parameter weight \[6, 6\], but must be \[2, ...\]",
    OneArgument: r"forward\(x \[2, 1, 4\], no state and present None\) failed \(TypeError: ",
}


def _module(network: Any) -> EchoModule:
    return EchoModule(network, PROBLEM, OneHot(6), batch_size=1)


@pytest.mark.parametrize("network", WRONG, ids=lambda kind: str(kind.__name__))
def test_what_breaks_the_protocol_is_named(network: type[Right]) -> None:
    with pytest.raises(SettingError, match=f"model={network.__name__} .*{WRONG[network]}"):
        check_network(_module(network()), 2)


def test_a_network_that_keeps_to_it_stays_as_it_was() -> None:
    module = _module(Right())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    random = torch.get_rng_state()
    check_network(module, 2)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(before[name], now) for name, now in module.state_dict().items())
    assert module.model.training  # type: ignore[attr-defined]
