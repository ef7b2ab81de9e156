"""The training of an echo network as a LightningModule."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from echo_exp.models import Model
from echo_exp.optimizer import Adam
from echo_exp.problem import Problem
from echo_exp.representation import Representation

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class DivergedError(RuntimeError):
    """The loss became NaN or infinite.

    Args:
        epoch: The first tutorial epoch, counted from 1, whose loss is not finite.
    """

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.epoch = epoch

    def __str__(self) -> str:
        return f"the loss of epoch {self.epoch} is not finite; a smaller learning rate may help"


class EchoModule(pl.LightningModule):
    """Trains a model to echo, carrying its state from batch to batch of a sequence.

    A tutorial epoch is one fresh random sequence. One ``training_step`` takes a block of them (a
    Lightning batch) and makes an update after each batch of windows, so that what Lightning does
    around a step is paid once a block; ``trainer.global_step`` counts blocks. The state is a local
    variable of the walk through one sequence: it begins at zero, and nothing outside can see it.

    Args:
        model: The network, e.g. `echo_exp.models.Seq2Seq`.
        problem: The echo problem.
        representation: How integers become the network's input and its outputs integers.
        batch_size: Windows in a batch (B); must divide ``problem.n_windows``.
        optimizer: Makes the optimizer of the network's parameters.

    Attributes:
        epochs: Tutorial epochs trained so far.
        scores: Each replica's scores [R] at the last validation and test, by metric name.
        correct: Which integers of the last validation or test were right, [S, R, rows, n_out].

    Raises:
        SettingError: The batch size is not allowed.
    """

    def __init__(
        self,
        model: Model,
        problem: Problem,
        representation: Representation,
        batch_size: int,
        optimizer: MakeOptimizer = Adam,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.problem = problem
        self.representation = representation
        self.batch_size = problem.check_batch_size(batch_size)
        self.epochs = 0
        self.scores: dict[str, Tensor] = {}
        self.correct = torch.empty(0)
        self._optimizer = optimizer
        self._evaluated: list[tuple[Tensor, Tensor]] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns the optimizer of the network's parameters."""
        return self._optimizer(self.parameters())

    def training_step(self, windows: Tensor, batch_idx: int) -> dict[str, Tensor]:
        """Trains on a block of fresh sequences, one after the other.

        Args:
            windows: [S, R, length - n_in + 1, n_in] integers, S sequences for each replica.
            batch_idx: Lightning's number of the block.

        Returns:
            "loss" and "accuracy" of each sequence, [S, R]: means over its batches, each measured
            before its own update.
        """
        sequences, replicas = windows.shape[:2]
        lightning_optimizer = cast("LightningOptimizer", self.optimizers())
        optimizer = lightning_optimizer.optimizer
        updates = sequences * self.problem.n_windows // self.batch_size
        losses, echoes = [], []
        for update, (loss, echo) in enumerate(self._gradients(windows), start=1):
            (lightning_optimizer if update == updates else optimizer).step()
            losses.append(loss)
            echoes.append(echo)
        self.epochs += sequences
        loss = torch.stack(losses).view(sequences, -1, replicas).mean(1)  # [S, R]
        echo = torch.stack(echoes).unflatten(0, (sequences, -1))  # [S, batches, R, B, n_out]
        correct = echo.transpose(1, 2).flatten(2, 3) == self.problem.targets(windows)
        return {"loss": loss, "accuracy": correct.flatten(2).float().mean(2)}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Logs the block's last epoch; raises `DivergedError` where a loss is not finite."""
        loss, accuracy = outputs["loss"], outputs["accuracy"]  # [S, R]
        if self.trainer.loggers or self.trainer.progress_bar_callback:  # a call takes a millisecond
            self.log_dict({"train/loss": loss[-1].mean(), "train/accuracy": accuracy[-1].mean()})
        finite = loss.isfinite().all(1)
        if not finite.all():
            raise DivergedError(self.epochs - len(finite) + int(finite.long().argmin()) + 1)

    def validation_step(self, windows: Tensor, batch_idx: int) -> dict[str, Tensor]:
        """Scores sequences [S, R, rows, n_in]: "loss" [R] and "correct" [S, R, rows, n_out]."""
        return self._score(windows)

    def test_step(self, windows: Tensor, batch_idx: int) -> dict[str, Tensor]:
        """Scores sequences [S, R, rows, n_in]: "loss" [R] and "correct" [S, R, rows, n_out]."""
        return self._score(windows)

    def predict_step(self, windows: Tensor, batch_idx: int = 0) -> Tensor:
        """Returns the echoes of sequences, [S, R, rows, n_in] -> [S, R, rows, n_out] integers."""
        return self._evaluate(windows)[1]

    def on_validation_epoch_start(self) -> None:
        """Forgets an evaluation that was interrupted."""
        self._evaluated.clear()

    def on_test_epoch_start(self) -> None:
        """Forgets an evaluation that was interrupted."""
        self._evaluated.clear()

    def on_validation_epoch_end(self) -> None:
        """Logs ``val/loss``, ``val/accuracy`` and ``val/sequence_accuracy``."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Logs ``test/loss``, ``test/accuracy`` and ``test/sequence_accuracy``."""
        self._log_scores("test")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the number of epochs and torch's random state beside the weights."""
        checkpoint["echo_epochs"] = self.epochs
        checkpoint["torch_random_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with the epochs and the random state of the checkpoint."""
        self.epochs = checkpoint["echo_epochs"]
        torch.set_rng_state(checkpoint["torch_random_state"])

    def _walk(self, windows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (batch, outputs) along sequences, the state carried from batch to batch.

        Several sequences go side by side: [S, R, rows, n_in] makes batches [R, S*B, n_in] with
        outputs [R, S*B, n_out, V]. The state begins at zero and is cut from the graph between
        batches.
        """
        sequences = windows.shape[0]
        state = self.model.initial_state(sequences * self.batch_size)
        for side_by_side in windows.transpose(0, 1).split(self.batch_size, dim=2):
            batch = side_by_side.flatten(1, 2)  # [R, S, B, n_in] -> [R, S*B, n_in]
            outputs, state = self.model(self.representation.encode(batch), state)
            state = tuple(part.detach() for part in state)
            yield batch, outputs

    def _gradients(self, windows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Walks along one sequence after the other, each [R, rows, n_in].

        Yields (loss [R], echo [R, B, n_out]) whenever the gradients of a batch are ready; the
        caller makes the update before it asks for the next.
        """
        parameters = list(self.parameters())
        ones = windows.new_ones(windows.shape[1], dtype=torch.float32)
        for sequence in windows.split(1):
            for batch, outputs in self._walk(sequence):
                loss = self.representation.loss(outputs, self.problem.targets(batch))
                gradients = torch.autograd.grad(loss, parameters, ones)
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                yield loss.detach(), self.representation.decode(outputs.detach())

    def _evaluate(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the loss [R] and the echoes [S, R, rows, n_out] of sequences."""
        losses, echoes = [], []
        for batch, outputs in self._walk(windows):
            losses.append(self.representation.loss(outputs, self.problem.targets(batch)))
            echoes.append(self.representation.decode(outputs))
        echo = torch.stack(echoes).unflatten(2, (-1, self.batch_size))  # [batches, R, S, B, n_out]
        return torch.stack(losses).mean(0), echo.permute(2, 1, 0, 3, 4).flatten(2, 3)

    def _score(self, windows: Tensor) -> dict[str, Tensor]:
        loss, echoes = self._evaluate(windows)
        correct = echoes == self.problem.targets(windows)
        self._evaluated.append((loss, correct))
        return {"loss": loss, "correct": correct}

    def _log_scores(self, stage: str) -> None:
        losses, corrects = zip(*self._evaluated, strict=True)
        weights = torch.tensor([len(c) for c in corrects], device=losses[0].device)
        self.correct = correct = torch.cat(corrects)  # [S, R, rows, n_out]
        self.scores |= {
            f"{stage}/loss": (torch.stack(losses) * weights[:, None]).sum(0) / weights.sum(),
            f"{stage}/accuracy": correct.float().mean((0, 2, 3)),
            f"{stage}/sequence_accuracy": correct.all(-1).float().mean((0, 2)),
        }
        self.log_dict({k: v.mean() for k, v in self.scores.items() if k.startswith(stage)})
