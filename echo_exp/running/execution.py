"""Runs what a configuration describes: only once, and from where an earlier call stopped.

Torch and Lightning are imported only when a training starts, MLflow only by the writer.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from echo_exp import configuration
from echo_exp.configuration.code import code
from echo_exp.running import resume
from echo_exp.running.opening import open_store, reached
from echo_exp.running.result import AlreadyFinishedError, Callbacks, ClaimedError, OnOutcome, Result
from echo_exp.running.resume import Start
from echo_exp.settings import SettingError, writable
from echo_exp.tracking import Store, TrackingError
from echo_exp.tracking.ui.view import MEMBER, member
from echo_exp.training.interrupts import Interrupts


def execute(
    config: DictConfig,
    overrides: Sequence[str] = (),
    parent: str | None = None,
    callbacks: Callbacks = tuple,
    on_outcome: OnOutcome = lambda _: None,
    given: Sequence[str] = (),
) -> Result:
    """Trains and tests what a configuration describes, and records it.

    Args:
        config: The composed configuration.
        overrides: What the user changed in it, for the record.
        parent: The id of the run that this one is nested under.
        callbacks: Makes further callbacks of the training.
        on_outcome: Called with the outcome, before all of it is recorded.
        given: Names of those callbacks that may change the result; no other run is then the same.

    Returns:
        The outcome, and where it is recorded.

    Raises:
        SettingError: A setting is wrong; nothing was recorded.
        PrunedError: A callback has given up the run; it is KILLED.
        DivergedError: The loss became NaN or infinite; the run is FAILED.
        Interrupted: A signal asked to stop; the run is KILLED and can be resumed.
        TrackingError: Something could not be recorded; the run is FAILED.
        AlreadyFinishedError: With `resume=auto`, a finished run has the same settings and code; or
            such a run has continued the one that `resume` names.
        ClaimedError: Likewise, but another process is running it now.
    """
    with Interrupts() as interrupts:
        store = checked_store(config, parent)
        automatic = config.resume == resume.AUTO
        with started(store, config, overrides, given) as start:
            from echo_exp.running import training_run  # while the writer imports MLflow

            return training_run.carry_out(
                start, store, overrides, parent, interrupts, callbacks, automatic, on_outcome
            )


def checked_store(config: DictConfig, parent: str | None) -> Store | None:
    """Checks a configuration and its folders, and opens the tracking store.

    Args:
        config: The composed configuration.
        parent: The id of the run that its run is nested under.

    Returns:
        The store; None if nothing is tracked.

    Raises:
        SettingError: A setting is wrong, or a folder cannot be written.
    """
    settings = configuration.read(config)
    _check_writable("output_dir", settings.output_dir)
    store = open_store(config)
    if store is None and settings.inspect:
        raise SettingError(
            "inspect", "true", "with tracking=none there is no run to store its figures"
        )
    if store is not None:
        _check_writable("tracking.spool", Path(store.spool))
    if store is not None and parent is not None:  # the sweep may have begun long ago
        store.await_store(store.patience)
    return store


@contextlib.contextmanager
def started(
    store: Store | None, config: DictConfig, overrides: Sequence[str], given: Sequence[str] = ()
) -> Iterator[Start]:
    """Finds where a run starts; claims it within the block, if another process might start it."""
    start = Start(config, callbacks=given)
    if config.resume not in (None, resume.AUTO):
        if store is None:
            raise SettingError("resume", config.resume, "with tracking=none there are no runs")
        with reached(config):
            start = dataclasses.replace(resume.find(store, config, overrides), callbacks=given)
        start.check_callbacks()
    if store is None or config.resume is None or start.run is not None or given:
        yield start
        return
    with _claimed(store, start):
        with reached(config):
            start = _once(store, start, overrides)
        yield start


def _once(store: Store, start: Start, overrides: Sequence[str]) -> Start:
    """Returns where a run starts that an earlier call may have begun.

    If that left no checkpoint, the run starts from the beginning; what was measured stays.
    """
    config = start.config
    config.resume = None
    same = store.find_same(start.marks.same)
    if same is None:
        shorter = start.shorter or store.find_shorter(start.marks.longer, config.epochs)
        return start if shorter is start.shorter else dataclasses.replace(start, shorter=shorter)
    if same.status == "FINISHED":
        parent = config.sweep.get("parent")
        if parent is not None:
            store.mark(same.run_id, {member(parent): MEMBER})
        raise AlreadyFinishedError(same)
    config.resume = same.run_id
    return resume.find(store, config, overrides)


@contextlib.contextmanager
def _claimed(store: Store, start: Start) -> Iterator[None]:
    """Claims a run within the block, so that other processes do not run it, too."""
    thing = claim(start.marks.fingerprints.whole)
    with reached(start.config):
        holder = store.claim(thing)
    if holder is not None:
        raise ClaimedError(f"{holder} is running the same")
    try:
        yield
    finally:
        with contextlib.suppress(TrackingError):  # the claim expires by itself
            store.release(thing)


def claim(fingerprint: str) -> str:
    """Returns the name under which a process claims to run some settings with this code."""
    return f"job/{fingerprint}/{code()}"


def _check_writable(key: str, folder: Path) -> None:
    probe = folder / f".probe-{os.getpid()}"
    with writable(key, folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(bytes(2**16))
            probe.unlink()
        except OSError:
            with contextlib.suppress(OSError):
                probe.unlink()
            raise
