"""A run of more epochs than a finished one of the same settings: it starts where that one ended.

It takes over all that it would have after as many epochs of its own: weights, optimizer, random
state, the curves of each replica, their points in the store with the times at which they were
measured, and the best network so far.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echo_exp.settings import SettingError
from echo_exp.tracking import Run, Series, Store, StoredRun, TrackingError, UnreachableError
from echo_exp.training import checkpoints
from echo_exp.training.checkpoint_names import BEST, LAST
from echo_exp.training.checkpoints import WHOLE
from echo_exp.training.experiment import Parts, last_checkpoint


@dataclass(frozen=True)
class Beginning:
    """What a longer run starts with.

    Attributes:
        last: The checkpoint from which the training continues.
        best: The best network so far; None if nothing has been validated.
        history: The points of the curves so far.
    """

    last: dict[str, Any]
    best: dict[str, Any] | None
    history: Sequence[Series]

    def give(self, run: Run, folder: Path) -> None:
        """Gives it to a run, with its checkpoints in a folder; doing so twice changes nothing."""
        run.log_history(self.history)
        if self.best is not None:
            checkpoints.write(self.best, folder / BEST)
        checkpoints.write(self.last, folder / LAST)


def beginning(store: Store, shorter: StoredRun, name: str, parts: Parts) -> Beginning | None:
    """Takes from a finished run what a longer one starts with.

    Args:
        store: Where both are tracked.
        shorter: The finished run.
        name: The folder of its checkpoints among its artifacts.
        parts: The objects of the longer run.

    Returns:
        What it starts with; None if the finished run has not trained for a whole block.

    Raises:
        SettingError: Its checkpoints cannot be used, or a callback has ended it.
        UnreachableError: The store cannot be reached.
    """
    with _checkpoints(store, shorter, name) as folder:
        last, best = _read(folder, shorter, parts)
    if last is None:
        return None
    history = store.history(shorter.run_id, last["echo_epochs"])
    return Beginning(last, best, history)


@contextlib.contextmanager
def _checkpoints(store: Store, run: StoredRun, name: str) -> Iterator[Path]:
    """Yields the folder of a run's checkpoints, fetched from the server if it is not here."""
    if run.artifacts is not None:
        yield run.artifacts / name
        return
    with tempfile.TemporaryDirectory() as fetched:
        try:
            found = store.fetch(run.run_id, name, Path(fetched))
        except UnreachableError:
            raise
        except TrackingError as error:
            reason = f"run {run.run_id} has no checkpoints that can be read ({error})"
            raise SettingError("resume", run.run_id, reason) from error
        yield found


def _read(
    folder: Path, run: StoredRun, parts: Parts
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Returns the last and the best checkpoint from before a shortened block, if there is one.

    A longer run has only whole blocks there, and what happens to a diverging replica depends on
    where its block begins.
    """
    last = last_checkpoint(folder, parts)
    if last is None:
        reason = f"run {run.run_id} has no last checkpoint, so it cannot be trained longer"
        raise SettingError("resume", run.run_id, reason)
    if last.get("stopped"):
        reason = (
            f"a callback ended run {run.run_id} at epoch {last['echo_epochs']:,}, and would end "
            "a longer one there too"
        )
        raise SettingError("resume", run.run_id, reason)
    if last["echo_epochs"] % parts.data.block:
        folder /= WHOLE
        last = last_checkpoint(folder, parts)
    return last and checkpoints.opened(last), _best(folder, run)


def _best(folder: Path, run: StoredRun) -> dict[str, Any] | None:
    """Returns the best checkpoint, if there is one."""
    if not (folder / BEST).exists():
        return None
    try:
        return checkpoints.load_weights(folder / BEST)
    except ValueError as error:
        raise SettingError("resume", run.run_id, str(error)) from error
