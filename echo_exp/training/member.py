"""One run of a stack: cut out along the replica axis, it has all that it would have alone."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from echo_exp.tracking import Run
from echo_exp.training.checkpoints import Checkpoints, Kept
from echo_exp.training.module import DivergedError, MakeOptimizer
from echo_exp.training.recorder import Recorder
from echo_exp.training.slices import cut_optimizer, cut_weights


class Watcher(Protocol):
    """Watches the validations of a run."""

    def validated(self, epochs: int, scores: Mapping[str, Tensor]) -> None:
        """Receives the scores of a validation; raises any exception to end the run.

        Args:
            epochs: Tutorial epochs trained so far.
            scores: Each score, [r], by its name in MLflow.
        """


class Member:
    """One run of a stack.

    Args:
        seeds: One seed for each of its replicas (r of them).
        epochs: Tutorial epochs to train for.
        make_optimizer: Creates its optimizer.
        run: Where its metrics go; None tracks nothing.
        folder: Where its checkpoints are written.
        checkpoint: The checkpoint to resume from; None starts from the beginning.
        watchers: Each watches its validations.

    Attributes:
        trained: Tutorial epochs trained so far.
        error: Why it ended without an outcome, if it did.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        epochs: int,
        make_optimizer: MakeOptimizer,
        run: Run | None,
        folder: Path,
        checkpoint: Mapping[str, Any] | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.seeds = tuple(seeds)
        self.epochs = epochs
        self.make_optimizer = make_optimizer
        self.recorder = Recorder(run)
        self.kept = Kept(folder)
        self.watchers = tuple(watchers)
        self.trained = 0
        self.error: Exception | None = None
        self.weights: dict[str, Tensor] = {}
        self.optimizer: dict[str, Any] = {}
        self._stopped = False
        if checkpoint is not None:
            self._go_on(checkpoint)

    @property
    def remaining(self) -> int:
        """Epochs left to train."""
        return 0 if self._stopped else max(0, self.epochs - self.trained)

    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """Sets the initial weights, each [r, ...], unless the run resumes from a checkpoint."""
        if not self.weights:
            self.weights = dict(weights)
        optimizer = self.make_optimizer([nn.Parameter(value) for value in self.parameters()])
        if self.optimizer:  # an earlier version may have saved fewer numbers
            optimizer.load_state_dict(self.optimizer)
        self.optimizer = optimizer.state_dict()

    def parameters(self) -> list[Tensor]:
        """Returns the trained parameters, each [r, ...]."""
        return [value for name, value in self.weights.items() if name != "diverged"]

    def observe(self, diverged: Tensor) -> None:
        """Ends the run if all of its replicas have diverged.

        Args:
            diverged: The epoch at which each replica diverged, [r]; 0 if it did not.
        """
        if (diverged > 0).all():
            self.error = DivergedError(int(diverged.max()))

    def validate(self, scores: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
        """Records a validation.

        Args:
            scores: Each score, [r], by its name in MLflow.
            weights: The network's weights, each [r, ...].
        """
        self.recorder.validated(self.trained, scores)
        self.kept.judge(scores, weights, self.trained)
        try:
            for watcher in self.watchers:
                watcher.validated(self.trained, scores)
        except Exception as error:
            self.error = error

    def checkpoint(self, content: Mapping[str, Any], own: slice, blocks: int) -> dict[str, Any]:
        """Returns the checkpoint that the run would have if trained alone.

        Args:
            content: Lightning's checkpoint of the stack.
            own: The run's replicas in the stack.
            blocks: Blocks it was trained for before this phase.
        """
        return {
            **content,
            "state_dict": cut_weights(content["state_dict"], own),
            "optimizer_states": [cut_optimizer(s, own) for s in content["optimizer_states"]],
            "callbacks": {
                Recorder.__qualname__: self.recorder.state_dict(),
                Checkpoints.__qualname__: {"best_score": self.kept.best_score},
            },
            "global_step": content["global_step"] + blocks,
            "loops": _ahead(content["loops"], blocks),
            "echo_epochs": self.trained,
            "stopped": False,
        }

    def _go_on(self, checkpoint: Mapping[str, Any]) -> None:
        self.trained = checkpoint["echo_epochs"]
        self.weights = dict(checkpoint["state_dict"])
        (self.optimizer,) = checkpoint["optimizer_states"]
        self._stopped = checkpoint.get("stopped", False)
        callbacks = checkpoint["callbacks"]
        self.recorder.load_state_dict(copy.deepcopy(callbacks[Recorder.__qualname__]))
        self.kept.best_score = callbacks[Checkpoints.__qualname__]["best_score"]


def spans(members: Sequence[Member]) -> list[tuple[Member, slice]]:
    """Returns each run with its replicas in the stack."""
    spans, first = [], 0
    for member in members:
        spans.append((member, slice(first, first + len(member.seeds))))
        first += len(member.seeds)
    return spans


def _ahead(loops: Mapping[str, Any], blocks: int) -> dict[str, Any]:
    """Returns Lightning's counts as if it had begun that many blocks earlier."""
    moved = copy.deepcopy(dict(loops))
    fit = moved["fit_loop"]
    fit["epoch_loop.state_dict"]["_batches_that_stepped"] += blocks
    for counts in (
        fit["epoch_loop.batch_progress"],
        fit["epoch_loop.manual_optimization.optim_step_progress"],
    ):
        for which in ("total", "current"):
            counts[which] = {name: count + blocks for name, count in counts[which].items()}
    return moved
