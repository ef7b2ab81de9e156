"""One run, carried out: from the parts of its experiment to a finished entry in the store.

`stacked_runs` calls `begin` and `record` for each run of a stack, too.
"""

import contextlib
import dataclasses
import functools
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from echo_exp import configuration, network
from echo_exp.configuration.assembly import assemble
from echo_exp.network import TrainedNetwork
from echo_exp.running import descriptions, longer
from echo_exp.running.contract import check_network
from echo_exp.running.directions import where
from echo_exp.running.entry import await_end, end_early, open_entry
from echo_exp.running.longer import Beginning
from echo_exp.running.opening import reached
from echo_exp.running.result import CHECKPOINTS, INSPECTION, Callbacks, OnOutcome, Result
from echo_exp.running.resume import Start
from echo_exp.settings import SettingError, redacted
from echo_exp.task.problem import Problem
from echo_exp.tracking import Run, Store, StoredRun
from echo_exp.tracking.ui.view import NOTE_TAG
from echo_exp.training import callbacks, experiment
from echo_exp.training.checkpoint_names import LAST
from echo_exp.training.experiment import Parts
from echo_exp.training.figures import learning_curve_png
from echo_exp.training.interrupts import Interrupts
from echo_exp.training.logger import WRITTEN
from echo_exp.training.outcome import Outcome
from echo_exp.training.settings import TrainerSettings
from echo_exp.training.threads import count_threads

SAVE_TABLE = "echo_exp.training.tables:save_parquet"
PACKAGE_MODEL = "echo_exp.export.packaging:package"
"""Functions that the writer process calls, which has the libraries and the time for them."""
THREADS_TAG = "threads"
"""The tag of a run that says how many threads of torch its training began with."""


def carry_out(
    start: Start,
    store: Store | None,
    overrides: Sequence[str],
    parent: str | None,
    interrupts: Interrupts,
    more: Callbacks,
    automatic: bool,
    on_outcome: OnOutcome,
) -> Result:
    """Trains and tests a network, and records what came out.

    Args:
        start: Where the run starts.
        store: The tracking store, if there is one.
        overrides: What the user changed, for the record.
        parent: The id of the run that this one is nested under.
        interrupts: Signals that stop the training.
        more: Makes further callbacks of the training.
        automatic: Whether `resume=auto` was asked for.
        on_outcome: Called with the outcome, before all of it is recorded.

    Returns:
        The outcome, and where it is recorded.

    Raises:
        Exception: See `echo_exp.running.execute`.
    """
    settings = configuration.read(start.config)
    parts = assemble(start.config, settings)
    check_network(parts.module, len(settings.seeds))
    watching = _callbacks(start.config, more(), settings.trainer)
    begun = begin(
        start, store, overrides, parent, settings.problem, lambda: parts, automatic, bool(watching)
    )
    with begun.closed_early():
        if begun.run is not None:
            begun.run.set_tag(THREADS_TAG, str(count_threads(settings.trainer, parts.module)))
        outcome = experiment.train(
            parts,
            settings.trainer,
            begun.run,
            begun.folder,
            interrupts,
            begun.checkpoint,
            watching,
        )
        with contextlib.suppress(OSError):  # of a closed output: the record goes on
            on_outcome(outcome)
        return record(begun, parts.module.representation.loss_name, outcome).confirmed()


@dataclass(frozen=True)
class Begun:
    """A run whose entry is open.

    Attributes:
        config: Its configuration.
        about: What it is, in a sentence.
        overrides: What the user changed, for the record.
        run: Its entry; None if nothing is tracked.
        folder: Where its checkpoints are.
        checkpoint: The checkpoint that it resumes from; None for a new run.
        automatic: Whether `resume=auto` was asked for.
    """

    config: DictConfig
    about: str
    overrides: Sequence[str]
    run: Run | None
    folder: Path
    checkpoint: dict[str, Any] | None
    automatic: bool

    @contextlib.contextmanager
    def closed_early(self) -> Iterator[None]:
        """Closes the entry if an error ends the block."""
        try:
            yield
        except BaseException as error:
            self.end_early(error)
            self.await_end(error)
            raise

    def end_early(self, error: BaseException) -> None:
        """Asks the writer to close the entry, because an error has ended the run."""
        if self.run is not None:
            end_early(self.run, error, self.about, self.overrides, self.automatic)

    def await_end(self, error: BaseException) -> None:
        """Waits until the closed entry is written."""
        if self.run is not None:
            await_end(self.run, error, self.overrides)


def begin(
    start: Start,
    store: Store | None,
    overrides: Sequence[str],
    parent: str | None,
    problem: Problem,
    parts: Callable[[], Parts],
    automatic: bool,
    watched: bool,
) -> Begun:
    """Opens the entry of a run and finds the checkpoint that it resumes from.

    Args:
        start: Where the run starts.
        store: The tracking store, if there is one.
        overrides: What the user changed, for the record.
        parent: The id of the run that this one is nested under.
        problem: Its problem.
        parts: Makes its objects; called only if there is a checkpoint to check against them.
        automatic: Whether `resume=auto` was asked for.
        watched: Whether callbacks watch the training; what they do may depend on all epochs.

    Raises:
        Exception: See `echo_exp.running.execute`.
    """
    config, overrides = start.config, start.told(overrides)
    checkpoint = None
    if start.run is not None:
        checkpoint = experiment.last_checkpoint(_folder(config, start.run), parts())
    beginning = None
    if checkpoint is None and not (automatic and watched):
        beginning = _beginning(store, start, parts, automatic)
    run = open_entry(store, start, overrides, parent, beginning is not None)
    folder = _folder(config, run.stored if run else None)
    about = descriptions.sentence(config, problem)
    begun = Begun(config, about, overrides, run, folder, checkpoint, automatic)
    if run is None:
        return begun
    with begun.closed_early():
        run.set_tag(NOTE_TAG, descriptions.run(about, run.stored, where(overrides)))
        if beginning is None:
            return begun
        beginning.give(run, folder)
    return dataclasses.replace(begun, checkpoint=beginning.last)


@dataclass(frozen=True)
class Recorded:
    """A run of which everything has been sent to its entry.

    Attributes:
        run: Its entry; None if nothing is tracked.
        result: What it leaves.
    """

    run: Run | None
    result: Result

    def confirmed(self) -> Result:
        """Returns the result once all of it is written, or is kept for a store that is away.

        Raises:
            TrackingError: Something could not be recorded.
        """
        waiting = None if self.run is None else self.run.ended()
        return dataclasses.replace(self.result, waiting=waiting)


def record(begun: Begun, loss_name: str, outcome: Outcome) -> Recorded:
    """Records the outcome of a run, and closes its entry.

    Args:
        begun: The run.
        loss_name: The name of its loss.
        outcome: Its outcome.

    Raises:
        TrackingError: Something could not be recorded.
    """
    config, run, folder = begun.config, begun.run, begun.folder
    if run is None:
        return Recorded(None, Result(config, outcome, None, folder))
    _record(run, loss_name, outcome, folder)
    notes = _add(run, config, outcome, folder)
    note = descriptions.run(begun.about, run.stored, where(begun.overrides), outcome)
    run.set_tag(NOTE_TAG, note)
    run.end()
    return Recorded(run, Result(config, outcome, run.stored, folder, notes=tuple(notes)))


def _beginning(
    store: Store | None, start: Start, parts: Callable[[], Parts], automatic: bool
) -> Beginning | None:
    """Returns what a run takes over from a shorter one, if there is one and it can be used.

    Raises:
        SettingError: It cannot be used, and the user has named it.
    """
    if store is None or start.shorter is None:
        return None
    try:
        with reached(start.config):
            return longer.beginning(store, start.shorter, CHECKPOINTS, parts())
    except SettingError:
        if automatic or start.run is not None:  # training all epochs has the same result
            return None
        raise


def _callbacks(
    config: DictConfig, given: Sequence[pl.Callback], settings: TrainerSettings
) -> list[pl.Callback]:
    """Returns the callbacks that the settings name, then those that are given.

    Raises:
        SettingError: One has a wrong setting, is not a callback, or cannot be used here.
    """
    named = [
        _made(f"{configuration.CALLBACKS}.{name}", node)
        for name, node in configuration.callbacks(config).items()
    ]
    for callback in given:
        callbacks.check(configuration.CALLBACKS, callback)
    every = [*named, *given]
    callbacks.check_together(configuration.CALLBACKS, every, settings)
    return every


def _made(key: str, node: DictConfig) -> pl.Callback:
    try:
        callback = configuration.build(node, key)
    except SettingError:
        raise
    except Exception as error:
        reason = f"it cannot be built from these ({type(error).__name__}: {error})"
        raise SettingError(key, node, reason) from error
    callbacks.check(key, callback)
    return callback  # type: ignore[no-any-return]


def _record(run: Run, loss_name: str, outcome: Outcome, folder: Path) -> None:
    # Step 0 is no epoch: MLflow's UI draws a metric with epochs as a curve, and these as bars.
    run.log_metrics([0], {name: [value] for name, value in outcome.metrics().items()})
    run.log_table(outcome.listing.columns(), "samples.json")
    if len(outcome.seeds) > 1:
        run.log_table(outcome.table(), "replicas.json")
        run.log_made("curves.parquet", SAVE_TABLE, columns=outcome.frame())
    run.log_files(folder, CHECKPOINTS)
    if (written := folder.parent / WRITTEN).is_dir():
        run.log_files(written, WRITTEN)
    run.log_content(network.LEARNING_CURVE, learning_curve_png(outcome.curves, loss_name))


def _add(run: Run, config: DictConfig, outcome: Outcome, folder: Path) -> list[str]:
    """Adds what is made from the trained network: from the listed one, if there are several.

    Returns:
        What failed; this does not make the run a failure.
    """
    asked: dict[str, Callable[[Run, TrainedNetwork], None]] = {}
    if configuration.exports(config):
        asked["export"] = _export
    if config.inspect:
        asked["inspect"] = functools.partial(_inspect, folder=folder.parent / INSPECTION)
    notes = []
    if asked:
        trained = network.build(config, folder / LAST, outcome.listed)
        for name, add in asked.items():
            try:
                add(run, trained)
            except Exception as error:
                notes.append(f"{name}: {error}")
                run.set_tag(f"failed.{name}", redacted(str(error)))
    return notes


def _export(run: Run, network: TrainedNetwork) -> None:
    from echo_exp.export.arrays import write_network

    with tempfile.TemporaryDirectory() as folder:
        exported = write_network(network, Path(folder) / "network").parent
        run.log_model(PACKAGE_MODEL, network=exported)


def _inspect(run: Run, network: TrainedNetwork, folder: Path) -> None:
    from echo_exp.inspection.inspect_network import inspect

    inspect(network, folder)
    run.log_files(folder, INSPECTION)


def _folder(config: DictConfig, stored: StoredRun | None) -> Path:
    """Returns where a run's checkpoints are: among its artifacts, if these are on this machine."""
    if stored is not None and stored.artifacts is not None:
        return stored.artifacts / CHECKPOINTS
    unknown = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{uuid.uuid4().hex[:8]}"
    name = stored.run_id if stored else unknown
    return Path(str(config.output_dir)) / "runs" / name / CHECKPOINTS
