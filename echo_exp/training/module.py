"""The training of an echo network as a LightningModule."""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from echo_exp import settings
from echo_exp.models import Model, State, WithCells, WithTeacher
from echo_exp.task.missing import Drop, Missing
from echo_exp.task.problem import MISSING, Problem, check_batch_size, check_stateful, in_training
from echo_exp.task.representation import Representation
from echo_exp.training import gradients
from echo_exp.training.logger import RunLogger
from echo_exp.training.optimizer import Adam

SATURATED = 2.0
"""A cell state of larger magnitude counts as saturated: the slope of tanh is 0.07 here."""

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class DivergedError(RuntimeError):
    """The loss of every replica became NaN or infinite.

    Args:
        epoch: The first tutorial epoch, counted from 1, without any finite loss.
    """

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.epoch = epoch

    def __str__(self) -> str:
        return f"the loss of epoch {self.epoch} is not finite; a smaller learning rate may help"


class EchoModule(pl.LightningModule):
    """Trains a model to echo, carrying its state from batch to batch of a sequence.

    A tutorial epoch is one fresh random sequence. One ``training_step`` trains on a block of them
    (a Lightning batch) and updates the weights after each batch of windows, so Lightning's overhead
    is paid once per block; ``trainer.global_step`` counts blocks. The state is a local variable of
    the walk through one sequence: it starts at zero, and nothing outside can see it. A model that
    is not ``stateful`` starts each batch at zero.

    A replica whose loss or weights become non-finite is frozen with its weights from before that
    block; its scores are NaN from that epoch on. The other replicas continue.

    Args:
        model: The network, e.g. `echo_exp.models.Seq2Seq`.
        problem: The problem to learn.
        representation: Encodes integers as the network's input and decodes its outputs.
        batch_size: Windows in a batch (B); must divide ``problem.n_windows``.
        optimizer: Creates the optimizer for the network's parameters.
        missing: Policy for missing values; `Drop` by default.
        clip_norm: Largest norm of each replica's gradient; a larger gradient is scaled down to it.
            None does not clip.

    Attributes:
        epochs: Tutorial epochs trained so far.
        ahead: How many epochs each replica of a stack is ahead of ``epochs``, [R]; outside a stack
            a single zero, [1].
        make_optimizer: Creates the optimizer for the network's parameters.
        diverged: First epoch of each replica without a finite loss, [R]; 0 if there is none.
        samples: Scores of each sequence in the last validation and test, [S, R], by metric name.
        scores: Their means over the sequences, [R].
        answers: Number of answers in each test sequence that a metric averages over, by its name.

    Raises:
        SettingError: The batch size or the norm is not allowed, or the model carries a state
            although the problem's windows are independent.
    """

    diverged: Tensor
    ahead: Tensor

    def __init__(
        self,
        model: Model,
        problem: Problem,
        representation: Representation,
        batch_size: int,
        optimizer: MakeOptimizer = Adam,
        missing: Missing | None = None,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.problem = problem
        self.representation = representation
        self.missing = missing or Drop()
        self.batch_size = check_batch_size(problem, batch_size)
        check_stateful(problem, model.stateful)
        self.epochs = 0
        self.samples: dict[str, Tensor] = {}
        self.scores: dict[str, Tensor] = {}
        complete = problem.n_windows - problem.n_incomplete
        self.answers = {
            "test/accuracy": complete * problem.n_out,
            "test/sequence_accuracy": complete,
        }
        self.make_optimizer = optimizer
        if clip_norm is not None:
            settings.number("trainer.clip_norm", clip_norm, above=0)
        self.clip_norm = clip_norm
        self._of_length = {each.n_in: each for each in in_training(problem)}
        self._norms: dict[str, Tensor] = {}
        self._evaluated: list[dict[str, Tensor]] = []
        present = problem.present_targets()
        self._counts: list[int] = (
            present.reshape(-1, self.batch_size * problem.n_out).sum(1).tolist()
        )
        self._incomplete = int(present[: problem.n_incomplete].sum())
        replicas = next(model.parameters()).shape[0]
        self.register_buffer("diverged", torch.zeros(replicas, dtype=torch.long))
        self.register_buffer("ahead", torch.zeros(1, dtype=torch.long), persistent=False)

    def read(self, windows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Encodes windows as the network's input, and marks the timesteps that are present.

        Args:
            windows: [..., n_in] integers.

        Returns:
            The input, [..., T, F] features or [..., T] categories; and the mask, [..., T], True
            where a timestep is present, or None if all are.
        """
        return self.representation.encode(windows), self.missing.present(windows)

    @property
    def step(self) -> int:
        """The tutorial epoch, from 1, to which measurements belong now; 0 during a test."""
        return 0 if self.trainer.testing else max(1, self.epochs)

    @property
    def _recorded(self) -> bool:
        """Whether `Recorder` records the module's own scores, so that the logger need not."""
        return isinstance(self.trainer.logger, RunLogger)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns the optimizer for the network's parameters."""
        return self.make_optimizer(self.parameters())

    def training_step(self, windows: Tensor | list[Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Trains on a block of fresh sequences, one after the other.

        Args:
            windows: [S, R, n_windows, n_in] integers, S sequences for each replica; or, if their
                lengths differ, a list of S such arrays of one sequence.
            batch_idx: Lightning's number of the block.

        Returns:
            "loss" and "accuracy" of each sequence, [S, R]: means over its present targets, each
            batch measured before its own update.
        """
        sequences = len(windows)
        lightning_optimizer = cast("LightningOptimizer", self.optimizers())
        optimizer = lightning_optimizer.optimizer
        weights = [parameter.detach().clone() for parameter in self.parameters()]
        updates = sequences * len(self._counts)
        losses, rights = [], []
        for update, (loss, right) in enumerate(self._gradients(windows), start=1):
            (lightning_optimizer if update == updates else optimizer).step()
            losses.append(loss)
            rights.append(right)
        loss = torch.stack(losses).unflatten(0, (sequences, -1))  # [S, batches, R]
        right = torch.stack(rights).unflatten(0, (sequences, -1))  # [S, batches, R, B, n_out]
        if isinstance(windows, Tensor):  # windows of several lengths are complete
            right &= self._cut(self._targets(windows) != MISSING)
        total = sum(self._counts)
        outputs = {"loss": loss.sum(1) / total, "accuracy": right.sum((1, 3, 4)) / total}
        self._freeze(outputs["loss"], weights)
        done = torch.arange(self.epochs + 1, self.epochs + sequences + 1, device=self.device)
        epochs = done.unsqueeze(1) + self.ahead  # [S, R], or [S, 1] for all
        frozen = (self.diverged > 0) & (epochs >= self.diverged)  # [S, R]
        self.epochs += sequences
        return {name: values.masked_fill(frozen, math.nan) for name, values in outputs.items()}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Logs the block's last epoch.

        Raises:
            DivergedError: Every replica has diverged.
        """
        if (self.diverged > 0).all():
            raise DivergedError(int(self.diverged.max()))
        if not (self.trainer.loggers or self.trainer.progress_bar_callback):
            return
        last = {f"train/{name}": v[-1].nanmean() for name, v in outputs.items()}
        if self._recorded:
            self.trainer.callback_metrics.update(last)  # a call of log_dict takes a millisecond
        else:
            self.log_dict(last)

    def validation_step(self, windows: Tensor, batch_idx: int) -> dict[str, Tensor]:
        """Scores sequences.

        Args:
            windows: [S, R, n_windows, n_in] integers.
            batch_idx: Lightning's number of the batch.

        Returns:
            Each score, [S, R], by its name. ``saturation`` is the share of cell states beyond
            ``SATURATED`` after a sequence's last batch: there the tanh in an LSTM's output passes
            on less than 7 % of a gradient. Only a network that is `WithCells` has it.
        """
        scores, state = self._score(windows)
        if isinstance(self.model, WithCells):
            cells = torch.cat(self.model.cell_states(state), -1)  # [R, S*B, U]
            cells = cells.unflatten(1, (len(windows), -1))  # [R, S, B, U]
            scores["saturation"] = (cells.abs() > SATURATED).float().mean((2, 3)).T
        return scores

    def test_step(self, windows: Tensor, batch_idx: int) -> dict[str, Tensor]:
        """Scores sequences.

        Args:
            windows: [S, R, n_windows, n_in] integers.
            batch_idx: Lightning's number of the batch.

        Returns:
            Each score, [S, R], by its name.
        """
        return self._score(windows)[0]

    def predict_step(self, windows: Tensor, batch_idx: int = 0) -> Tensor:
        """Returns the echoes, [S, R, n_windows, n_in] -> [S, R, n_windows, n_out] integers."""
        walk = self._side_by_side(windows)
        echoes = [self.representation.decode(outputs) for outputs, _ in walk]
        return self._sequences(echoes)

    def on_validation_model_zero_grad(self) -> None:
        """Keeps the gradients of the last update, which Lightning would clear here."""

    def on_validation_epoch_start(self) -> None:
        """Discards the scores of an interrupted evaluation, and of the validation before."""
        self._evaluated.clear()
        self.scores = {k: v for k, v in self.scores.items() if not k.startswith("val/")}

    def on_test_epoch_start(self) -> None:
        """Discards the scores of an interrupted evaluation."""
        self._evaluated.clear()

    def on_validation_epoch_end(self) -> None:
        """Logs ``val/loss`` and so on, and scores the gradient norms of the last update."""
        self._log_scores("val")
        norms = self._norms or gradients.norms(self.named_parameters())
        frozen = self.diverged > 0
        self.scores |= {
            f"val/gradient_norm_{part}": norm.masked_fill(frozen, math.nan)
            for part, norm in norms.items()
        }

    def on_test_epoch_end(self) -> None:
        """Logs ``test/loss``, ``test/accuracy``, ``test/sequence_accuracy`` and so on."""
        self._log_scores("test")

    def join_test(self, other: "EchoModule", suffix: str) -> None:
        """Adds the test scores of another module with the same weights.

        Args:
            other: That module, already tested.
            suffix: Appended to the names of its scores.
        """
        tested = {name: f"{name}_{suffix}" for name in other.samples if name.startswith("test/")}
        self.samples |= {new: other.samples[name] for name, new in tested.items()}
        self.scores |= {new: other.scores[name] for name, new in tested.items()}
        self.answers |= {tested[name]: count for name, count in other.answers.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Saves the number of epochs and torch's random state with the weights."""
        checkpoint["echo_epochs"] = self.epochs
        checkpoint["torch_random_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the number of epochs and torch's random state."""
        self.epochs = checkpoint["echo_epochs"]
        torch.set_rng_state(checkpoint["torch_random_state"])

    def _walk(
        self, inputs: Tensor, masks: Tensor | None, right: Tensor | None = None
    ) -> Iterator[tuple[Tensor, State]]:
        """Yields the outputs of each batch of a sequence, [R, B, n_out, V], and the state after it.

        The state starts at zero. A stateful model carries it from batch to batch, detached from the
        graph in between.

        Args:
            inputs: [batches, R, B, T, F] features or [batches, R, B, T] categories.
            masks: Present timesteps of the first batches, [.., R, B, T]; the later ones miss none.
            right: The right answers, if the network is told them: [batches, R, B, n_out, F]
                features or [batches, R, B, n_out] categories.
        """
        state: State | None = None
        parts = (inputs, () if masks is None else masks, () if right is None else right)
        for x, mask, answers in itertools.zip_longest(*parts):
            outputs, after = self._answer(x, state, mask, answers)
            after = tuple(part.detach() for part in after)
            state = after if self.model.stateful else None
            yield outputs, after

    def _answer(
        self, x: Tensor, state: State | None, mask: Tensor | None, right: Tensor | None
    ) -> tuple[Tensor, State]:
        if right is None:
            return self.model(x, state, mask)
        return cast("WithTeacher", self.model).taught(x, state, mask, right)

    def _targets(self, windows: Tensor) -> Tensor:
        """Returns the answers to windows at a length of the training, [..., n_out]."""
        return self._of_length[windows.shape[-1]].targets(windows)

    def _cut(self, values: Tensor) -> Tensor:
        """Cuts the rows of sequences into batches, [S, R, rows, ...] -> [S, batches, R, B, ...]."""
        return values.unflatten(2, (-1, self.batch_size)).transpose(1, 2)  # type: ignore[no-any-return]

    def _inputs(self, windows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns the model's input for sequences and the present timesteps, cut into batches."""
        x, present = self.read(windows)
        if present is None:
            return self._cut(x), None
        batches = math.ceil(self.problem.n_incomplete / self.batch_size)
        return self._cut(x), self._cut(present)[:, :batches]  # later ones miss nothing

    def _gradients(self, windows: Tensor | list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Computes the gradients of each batch in turn, one sequence after the other.

        When the gradients of a batch are ready, it yields the summed loss, [R], and which integers
        were right, [R, B, n_out] (arbitrary where the target is missing). The caller updates the
        weights before it asks for the next batch. The gradients are those of the mean over present
        targets.

        Args:
            windows: [S, R, n_windows, n_in] integers, or a list of such arrays of any length.
        """
        if not isinstance(windows, Tensor):
            for each in windows:
                yield from self._gradients(each)
            return
        parameters = list(self.parameters())
        ones = windows.new_ones(windows.shape[1])
        weights = [ones / max(count, 1) for count in self._counts]
        targets = self._cut(self._targets(windows))
        answers = targets.clamp(min=0)
        inputs, masks = self._inputs(windows)
        told = isinstance(self.model, WithTeacher) and self.model.teacher
        right = self.representation.encode(answers) if told else None
        for s in range(len(windows)):
            parts = (None if part is None else part[s] for part in (masks, right))
            walk = self._walk(inputs[s], *parts)
            batches = zip(walk, targets[s], answers[s], weights, strict=True)
            for (outputs, _), target, answer, weight in batches:
                loss = self.representation.loss(outputs, target).flatten(1).sum(1)
                for parameter in parameters:  # two of each would not fit for a large network
                    parameter.grad = None
                found = torch.autograd.grad(loss, parameters, weight)
                for parameter, gradient in zip(parameters, found, strict=True):
                    parameter.grad = gradient
                self._clip()
                yield loss.detach(), self.representation.right(outputs.detach(), answer)

    def _clip(self) -> None:
        """Clips the gradients if a norm is set, and keeps their norms from before."""
        if self.clip_norm is not None:
            self._norms = gradients.norms(self.named_parameters())
            gradients.clip(self.parameters(), self._norms.values(), self.clip_norm)

    @torch.no_grad()
    def _freeze(self, loss: Tensor, weights: list[Tensor]) -> None:
        """Resets replicas with non-finite loss or weights to their weights before the block.

        Args:
            loss: [S, R].
            weights: The parameters before the block, each [R, ...].
        """
        sums = torch.stack([p.reshape(len(p), -1).sum(1) for p in self.parameters()])
        finite = torch.cat([loss, sums.sum(0, keepdim=True)]).isfinite()  # [S+1, R]
        first = self.epochs + self.ahead + 1 + finite.long().argmin(0)
        new = (self.diverged == 0) & ~finite.all(0)
        self.diverged = torch.where(new, first, self.diverged)
        for parameter, before in zip(self.parameters(), weights, strict=True):
            alive = (self.diverged == 0).view(-1, *[1] * (parameter.ndim - 1))
            parameter.copy_(torch.where(alive, parameter, before))

    def _evaluate(self, windows: Tensor) -> tuple[dict[str, Tensor], State]:
        """Returns loss and scores of each integer, [S, R, n_windows, n_out], and the last state."""
        batches: dict[str, list[Tensor]] = defaultdict(list)
        targets = self._beside(self._cut(self.problem.targets(windows)))
        last: State = ()
        walk = self._side_by_side(windows)
        for (outputs, state), target in zip(walk, targets, strict=True):
            last = state
            batches["loss"].append(self.representation.loss(outputs, target))
            scores = self.representation.scores(outputs, target.clamp(min=0))
            for name, score in scores.items():
                batches[name].append(score)
        return {name: self._sequences(values) for name, values in batches.items()}, last

    def _side_by_side(self, windows: Tensor) -> Iterator[tuple[Tensor, State]]:
        """Walks through all sequences at once; yields outputs [R, S*B, n_out, V] and states."""
        inputs, masks = self._inputs(windows)
        return self._walk(self._beside(inputs), None if masks is None else self._beside(masks))

    def _beside(self, batches: Tensor) -> Tensor:
        """Lays sequences side by side, [S, batches, R, B, ...] -> [batches, R, S*B, ...]."""
        return batches.movedim(0, 2).flatten(2, 3)

    def _sequences(self, batches: list[Tensor]) -> Tensor:
        """Joins batches to sequences, each [R, S*B, n_out] -> [S, R, n_windows, n_out]."""
        cut = torch.stack(batches).unflatten(2, (-1, self.batch_size))  # [batches, R, S, B, n_out]
        rows: Tensor = cut.permute(2, 1, 0, 3, 4).flatten(2, 3)
        return rows

    def _score(self, windows: Tensor) -> tuple[dict[str, Tensor], State]:
        scores, state = self._evaluate(windows)
        first = self.problem.n_incomplete
        sample = {name: v[:, :, first:].float().mean((2, 3)) for name, v in scores.items()}
        sample["sequence_accuracy"] = scores["accuracy"][:, :, first:].all(-1).float().mean(2)
        if self._incomplete:
            present = self.problem.targets(windows)[:, :, :first] != MISSING
            sample |= {
                f"incomplete_{name}": (v[:, :, :first] * present).sum((2, 3)) / self._incomplete
                for name, v in scores.items()
            }
        self._evaluated.append(sample)
        return sample, state

    def _log_scores(self, stage: str) -> None:
        samples = {
            f"{stage}/{name}": torch.cat([part[name] for part in self._evaluated])
            for name in self._evaluated[0]
        }
        frozen = self.diverged > 0
        scores = {k: v.mean(0).masked_fill(frozen, math.nan) for k, v in samples.items()}
        self.samples |= samples
        self.scores |= scores
        means = {name: score.nanmean() for name, score in scores.items()}
        self.log_dict(means, logger=False if self._recorded else None)
