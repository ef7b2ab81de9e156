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
"""Makes what else looks at a training; called when Lightning is imported."""


Told = Callable[["Outcome"], None]
"""Is told what came out of a training as soon as that is known; it is being recorded meanwhile."""


class AlreadyFinishedError(Exception):
    """What is to be resumed or trained on has a finished run of the same settings."""

    def __init__(self, stored: StoredRun) -> None:
        super().__init__(f"run {stored.run_id} has done this already")
        self.stored = stored


class ClaimedError(Exception):
    """What is to be resumed or trained on is being done by another process."""


class PrunedError(Exception):
    """A search has given up the run.

    Args:
        epoch: The epoch after whose validation it has.
    """

    def __init__(self, epoch: int) -> None:
        super().__init__(f"pruned at epoch {epoch}")
        self.epoch = epoch


@dataclass(frozen=True)
class Result:
    """What a run leaves.

    Attributes:
        config: The configuration, of an earlier call where the run was resumed.
        outcome: What came out of the experiment.
        stored: The run in the tracking store, if it was tracked.
        folder: Where its checkpoints lie.
        waiting: What waits for a tracking store that is away.
        notes: What could not be added to the run, and why.
    """

    config: DictConfig
    outcome: "Outcome"
    stored: StoredRun | None
    folder: Path
    waiting: Waiting | None = None
    notes: tuple[str, ...] = ()
