"""Many seeds as one program: what they share, what they do not, and how they are summarised."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from echo_exp import EchoModule, OneHot
from echo_exp.training.module import DivergedError
from echo_exp.training.replicas import statistics

from ..trainers import PROBLEM, Recorder, make_data, make_module, make_trainer


def test_one_replica_is_its_own_summary() -> None:
    summary = statistics("val/loss", np.array([[1.0], [2.0]]))
    assert {name: values.tolist() for name, values in summary.items()} == {"val/loss": [1.0, 2.0]}


def test_many_replicas_have_mean_spread_and_range() -> None:
    summary = statistics("x", np.array([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]]))
    assert {name: values.tolist() for name, values in summary.items()} == {
        "x": [3.0, 3.0],
        "x/std": [pytest.approx(math.sqrt(7)), 0.0],
        "x/min": [1.0, 3.0],
        "x/max": [6.0, 3.0],
    }


def test_replicas_that_diverged_do_not_count() -> None:
    assert statistics("x", np.array([1.0, np.nan, 3.0]))["x"] == 2.0
    assert np.isnan(statistics("x", np.array([np.nan, np.nan]))["x"])


def test_every_replica_sees_the_sequences_of_its_own_seed() -> None:
    together = torch.cat(list(make_data(7, (4, 5, 6)).train_dataloader()))
    for replica, seed in enumerate((4, 5, 6)):
        alone = torch.cat(list(make_data(7, (seed,)).train_dataloader()))
        assert torch.equal(together[:, replica : replica + 1], alone)


class Exploding(OneHot):
    """The loss of one replica is NaN from some update of the training on."""

    def __init__(self, replica: int, update: int) -> None:
        super().__init__(PROBLEM.n_values)
        self.replica, self.update, self.updates = replica, update, 0

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = super().loss(outputs, targets)
        self.updates += torch.is_grad_enabled()
        if torch.is_grad_enabled() and self.updates >= self.update:
            factor = torch.ones(len(losses), 1, 1)
            factor[self.replica] = math.nan
            losses = losses * factor
        return losses


def _trained(module: EchoModule, epochs: int, block: int = 5) -> Recorder:
    recorder = Recorder()
    data = make_data(epochs, (0, 1, 2), block)
    make_trainer(recorder, validate=100).fit(module, data)
    make_trainer().test(module, data, verbose=False)
    return recorder


def test_a_diverging_replica_is_frozen_and_the_others_continue() -> None:
    module = make_module((0, 1, 2), representation=Exploding(replica=1, update=25))
    recorder = _trained(module, 20)  # two updates an epoch: the 13th epoch, in the third block
    healthy = make_module((0, 1, 2))
    reference = _trained(healthy, 20)
    before = make_module((0, 1, 2))
    _trained(before, 10)
    assert module.diverged.tolist() == [0, 13, 0]
    for ours, theirs in (
        (recorder.losses, reference.losses),
        (recorder.accuracies, reference.accuracies),
    ):
        measured, expected = torch.tensor(ours), torch.tensor(theirs)
        assert measured[12:, 1].isnan().all()
        torch.testing.assert_close(measured[:12], expected[:12])
        torch.testing.assert_close(measured[:, [0, 2]], expected[:, [0, 2]])
    for weight, other, frozen in zip(
        module.parameters(), healthy.parameters(), before.parameters(), strict=True
    ):
        torch.testing.assert_close(weight[[0, 2]], other[[0, 2]])
        assert torch.equal(weight[1], frozen[1])  # as they were before that block
    assert module.scores["test/loss"].isnan().tolist() == [False, True, False]


def test_a_run_ends_when_no_replica_is_left() -> None:
    module = make_module(representation=Exploding(replica=0, update=11))
    with pytest.raises(DivergedError, match="epoch 6 "):
        make_trainer(validate=100).fit(module, make_data(20))


def test_weights_that_are_not_finite_are_noticed_before_the_next_loss() -> None:
    module = make_module((0, 1))
    loss = torch.ones(3, 2)
    weights = [parameter.detach().clone() for parameter in module.parameters()]
    with torch.no_grad():
        next(module.parameters())[1, 0, 0] = math.inf
    module._freeze(loss, weights)
    assert module.diverged.tolist() == [0, 4]  # the epoch after those three
    assert all(parameter.isfinite().all() for parameter in module.parameters())


def test_a_frozen_replica_stays_frozen_after_a_resume() -> None:
    module = make_module((0, 1, 2), representation=Exploding(replica=1, update=3))
    _trained(module, 10)
    resumed = make_module((0, 1, 2))
    resumed.load_state_dict(module.state_dict())
    assert resumed.diverged.tolist() == [0, 2, 0]


SYNCHRONISING = {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::equal"}


class NoSynchronisation(TorchDispatchMode):
    """Fails where a program on a GPU would have to wait for a value."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.name().split(".")[0]
        assert name not in SYNCHRONISING, name
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_no_value_leaves_the_device_while_a_block_is_trained(seeds: tuple[int, ...]) -> None:
    module, data = make_module(seeds), make_data(3, seeds)
    optimizer = module.configure_optimizers()
    windows = next(iter(data.train_dataloader()))
    with NoSynchronisation():  # type: ignore[no-untyped-call]
        for _ in module._gradients(windows):
            optimizer.step()
        module._freeze(torch.ones(3, len(seeds)), [p.detach() for p in module.parameters()])
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NoSynchronisation():  # type: ignore[no-untyped-call]
        float(next(module.parameters()).sum())
