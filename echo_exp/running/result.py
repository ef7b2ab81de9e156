"""What a run leaves, and how else it may end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from echo_exp.tracking import StoredRun, Waiting

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from echo_exp.training.outcome import Outcome

CHECKPOINTS = "checkpoints"
INSPECTION = "inspection"
"""Folders of the artifacts of a run."""

Callbacks = Callable[[], "Sequence[pl.Callback]"]
"""Makes further callbacks of a training; called after Lightning is imported."""


OnOutcome = Callable[["Outcome"], None]
"""Called with the outcome of a training as soon as it is known, before all of it is recorded."""


class AlreadyFinishedError(Exception):
    """A finished run has done what is to be resumed or continued."""

    def __init__(self, stored: StoredRun) -> None:
        super().__init__(f"run {stored.run_id} has done this already")
        self.stored = stored


class ClaimedError(Exception):
    """Another process is running what is to be resumed or continued."""


class PrunedError(Exception):
    """A search has given up the run.

    Args:
        epoch: The epoch of the validation after which it did.
    """

    def __init__(self, epoch: int) -> None:
        super().__init__(f"pruned at epoch {epoch}")
        self.epoch = epoch


@dataclass(frozen=True)
class Result:
    """What a run leaves.

    Attributes:
        config: The configuration; that of the earlier call if the run was resumed.
        outcome: The outcome of the experiment.
        stored: The run in the tracking store, if it was tracked.
        folder: Where its checkpoints are.
        waiting: What waits for a tracking store that cannot be reached.
        notes: What could not be added to the run, and why.
    """

    config: DictConfig
    outcome: "Outcome"
    stored: StoredRun | None
    folder: Path
    waiting: Waiting | None = None
    notes: tuple[str, ...] = ()
