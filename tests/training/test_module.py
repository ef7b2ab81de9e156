"""Training as the tutorial means it (state, epochs, measures) and as Lightning's users expect."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from echo_exp import Adam, EchoModule, EchoProblem, ManyToOne
from echo_exp.models import State
from echo_exp.task.representation import OneHot
from echo_exp.training.module import DivergedError

from ..trainers import BATCH, PROBLEM, Recorder, make_data, make_module, make_trainer


class Counter(nn.Module):
    """Its state counts the batches of a sequence; it records what it was given."""

    def __init__(self, stateful: bool = True) -> None:
        super().__init__()
        self.stateful = stateful
        self.weight = nn.Parameter(torch.zeros(1, 1))
        self.seen: list[tuple[bool, float, bool]] = []

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        (count,) = state or (torch.zeros(1, x.shape[1], 1),)
        self.seen.append((torch.is_grad_enabled(), float(count.mean()), count.requires_grad))
        after = count + 1 + 0 * self.weight
        outputs = (self.weight + after.mean()) * torch.ones(*x.shape, PROBLEM.n_values)
        return outputs, (after,)


def test_the_state_is_carried_within_a_sequence_and_starts_at_zero_in_the_next() -> None:
    model = Counter()
    trainer, module = make_trainer(), make_module(model=model)
    trainer.fit(module, make_data(10))
    trainer.test(module, make_data(10), verbose=False)
    assert {count for _, count, _ in model.seen} == {0.0, 1.0}
    assert [count for _, count, _ in model.seen] == [0.0, 1.0] * (len(model.seen) // 2)
    training = [count for grad, count, _ in model.seen if grad]
    assert len(training) == 10 * 2
    assert len(model.seen) == len(training) + 2 * 2 + 2  # two validations and a test


def test_gradients_are_cut_between_batches() -> None:
    model = Counter()
    make_trainer(validate=100).fit(make_module(model=model), make_data(3))
    assert not any(requires_grad for _, _, requires_grad in model.seen)


def test_an_epoch_is_measured_before_its_own_updates() -> None:
    """The same training as a plain loop gives the same losses and accuracies."""
    recorder, module = Recorder(), make_module()
    plain = copy.deepcopy(module.model)
    make_trainer(recorder).fit(module, make_data(7))
    optimizer, representation = Adam(plain.parameters()), OneHot(PROBLEM.n_values)
    blocks = torch.cat(list(make_data(7).train_dataloader()))
    for epoch, windows in enumerate(blocks):
        state: State | None = None
        losses, right = [], []
        for batch in windows.split(BATCH, dim=1):
            outputs, state = plain(batch, state)
            state = tuple(part.detach() for part in state)
            loss = representation.loss(outputs, batch).mean()
            losses.append(loss.item())
            right.append((representation.decode(outputs) == batch).float().mean().item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert recorder.losses[epoch] == pytest.approx([sum(losses) / 2])
        assert recorder.accuracies[epoch] == pytest.approx([sum(right) / 2])
    for ours, theirs in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_update_computes_only_whether_answers_are_right() -> None:
    class Unscored(OneHot):
        def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
            raise AssertionError("scores are for evaluations")

    module = make_module(representation=Unscored(PROBLEM.n_values))
    windows = torch.cat(list(make_data(2).train_dataloader()))
    _, right = next(module._gradients(windows))
    assert right.shape == (1, BATCH, PROBLEM.n_out)


def test_one_lightning_epoch_contains_all_tutorial_epochs() -> None:
    trainer, module = make_trainer(), make_module()
    trainer.fit(module, make_data(12, block=5))
    assert trainer.current_epoch == 1
    assert module.epochs == 12
    assert trainer.global_step == 3  # blocks


@pytest.mark.parametrize(("block", "validate"), [(1, 1), (1, 3), (4, 1), (12, 1), (5, 100)])
def test_blocks_and_validation_do_not_change_the_training(block: int, validate: int) -> None:
    reference, module = make_module(), make_module()
    make_trainer(validate=100).fit(reference, make_data(12))
    make_trainer(validate=validate).fit(module, make_data(12, block=block))
    assert _same(reference, module)


def _same(first: EchoModule, second: EchoModule) -> bool:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_validation_does_not_change_the_random_state() -> None:
    module = make_module()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    make_trainer().fit(module, make_data(10))
    assert torch.equal(before, torch.get_rng_state())


def test_the_baseline_learns() -> None:
    recorder = Recorder()
    make_trainer(recorder).fit(make_module(), make_data(400))
    assert recorder.losses[-1][0] < 0.5 * recorder.losses[0][0]
    assert recorder.accuracies[-1][0] > 0.8


class Largest(TorchDispatchMode):
    """Notes the largest number of elements of any tensor."""

    elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **kwargs or {})
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


def test_one_hot_vectors_are_never_made() -> None:
    """Nothing is larger than the weights; a batch of one-hot vectors would be four times that."""
    problem = EchoProblem(length=25, n_values=10_000, n_in=10, n_out=1)
    model = ManyToOne(n_features=10_000, n_outputs=10_000, n_in=10, n_out=1, units=4, seeds=[0])
    module = EchoModule(model, problem, OneHot(10_000), batch_size=8)
    optimizer = module.configure_optimizers()
    windows = torch.from_numpy(problem.windows(torch.randint(10_000, (1, 1, 25)).numpy()))
    with Largest() as largest:  # type: ignore[no-untyped-call]
        for _ in module._gradients(windows):
            optimizer.step()
    assert 10_000 * 16 <= largest.elements < 10_000 * 8 * 10 / 4


def test_replicas_train_as_the_single_nets_of_their_seeds() -> None:
    seeds = (3, 0, 7)
    together = Recorder()
    many = make_module(seeds)
    make_trainer(together).fit(many, make_data(60, seeds))
    for replica, seed in enumerate(seeds):
        alone = Recorder()
        single = make_module([seed])
        make_trainer(alone).fit(single, make_data(60, [seed]))
        losses = torch.tensor(together.losses)[:, replica]
        torch.testing.assert_close(losses, torch.tensor(alone.losses)[:, 0], rtol=1e-4, atol=1e-5)
        assert float(many.scores["val/loss"][replica]) == pytest.approx(
            float(single.scores["val/loss"][0]), rel=1e-4
        )


def test_predictions_come_in_the_order_of_their_windows() -> None:
    module, data = make_module(), make_data(300)
    make_trainer(validate=1000).fit(module, data)
    windows = torch.cat(list(data.test_dataloader()))
    with torch.no_grad():
        echoes = module.predict_step(windows)
        scored = module.test_step(windows, 0)
    assert echoes.shape == (4, 1, 8, 3)
    right = (echoes == PROBLEM.targets(windows)).float()
    torch.testing.assert_close(right.mean((2, 3)), scored["accuracy"])
    assert right.mean() > 0.8  # a wrong order would be right by chance only


class Diverging(OneHot):
    """Its loss is no number from the tenth update of training on."""

    def __init__(self) -> None:
        super().__init__(PROBLEM.n_values)
        self.updates = 0

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.updates += 1
        factor = float("nan") if self.updates >= 10 else 1.0
        return factor * super().loss(outputs, targets)


def test_divergence_names_the_first_epoch_that_is_not_finite() -> None:
    module = make_module(representation=Diverging())
    with pytest.raises(DivergedError, match="the loss of epoch 5 is not finite"):
        make_trainer(validate=100).fit(module, make_data(20, block=5))
    module = make_module(representation=Diverging())
    with pytest.raises(DivergedError, match="epoch 5 "):
        make_trainer(validate=100).fit(module, make_data(20, block=3))


class InterruptionError(Exception):
    """Stands for anything that ends a training early."""


class StopAfter(Recorder):
    """Ends the training after a number of blocks."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = blocks

    def on_train_batch_start(self, *arguments: Any) -> None:
        if arguments[-1] == self.blocks:
            raise InterruptionError


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("stop", [2, 3])
def test_a_users_checkpoint_resumes_bit_for_bit(tmp_path: Path, stop: int) -> None:
    reference = make_module()
    make_trainer().fit(reference, make_data(25))

    def checkpointing() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path, monitor="val/accuracy", mode="max", save_last=True)

    with pytest.raises(InterruptionError):
        make_trainer(checkpointing(), StopAfter(stop), enable_checkpointing=True).fit(
            make_module(), make_data(25)
        )
    resumed, recorder = make_module(), Recorder()
    make_trainer(checkpointing(), recorder, enable_checkpointing=True).fit(
        resumed, make_data(25), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert _same(reference, resumed)
    assert len(recorder.losses) == 25 - 5 * stop


def test_scores_can_be_monitored() -> None:
    trainer = make_trainer()
    trainer.fit(make_module(), make_data(10))
    assert {"val/loss", "val/accuracy", "val/sequence_accuracy"} <= trainer.callback_metrics.keys()


def test_a_batch_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=3"):
        make_module(batch_size=3)
