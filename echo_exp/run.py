"""One run: from a configuration to a finished entry in the tracking store."""

import contextlib
import functools
import getpass
import os
import platform
import re
import shlex
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from echo_exp import config as configuration
from echo_exp import descriptions, launch, resume
from echo_exp.code import code
from echo_exp.config import Settings
from echo_exp.interrupts import Interrupted, Interrupts
from echo_exp.resume import Start
from echo_exp.settings import SettingError, redacted
from echo_exp.shell import program
from echo_exp.tracking import (
    PRUNED_TAG,
    DeletedError,
    Run,
    Store,
    StoredRun,
    TrackingError,
    TrackingSettings,
    UnreachableError,
    Waiting,
)
from echo_exp.tracking.view import NOTE_TAG, page, view

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from echo_exp.experiment import Parts
    from echo_exp.longer import Beginning
    from echo_exp.outcome import Outcome
    from echo_exp.trained import TrainedNetwork

CHECKPOINTS = "checkpoints"
INSPECTION = "inspection"
CONTINUED = "continued"
"""The tag of a run that names those that go on from it."""

Callbacks = Callable[[], "Sequence[pl.Callback]"]
"""Makes what else looks at a training; called when Lightning is imported."""


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


def open_store(config: DictConfig) -> Store | None:
    """Opens the tracking store of a configuration, once a process.

    Raises:
        SettingError: A setting of ``tracking`` is unknown or has a value that is not allowed.
    """
    settings = configuration.tracking(config)
    return None if settings.uri is None else _store(settings, Path.cwd())


@cache
def _store(settings: TrackingSettings, _folder: Path) -> Store:
    """Opens a store; relative paths in its settings begin in a folder."""
    return Store(**asdict(settings))


@contextlib.contextmanager
def reached(config: DictConfig) -> Iterator[None]:
    """Names the tracking store where it cannot be used at a start, when nothing is measured yet.

    Raises:
        SettingError: The store cannot be used.
    """
    try:
        yield
    except DeletedError as error:
        reason = f"{error}, or tracking.experiment=another takes another"
        raise SettingError("tracking.experiment", config.tracking.experiment, reason) from error
    except TrackingError as error:
        reason = f"it cannot be used ({error})"
        raise SettingError("tracking.uri", config.tracking.uri, reason) from error


def execute(
    config: DictConfig,
    overrides: Sequence[str] = (),
    parent: str | None = None,
    callbacks: Callbacks = tuple,
) -> Result:
    """Trains and tests what a configuration describes, and records it.

    Args:
        config: The composed configuration.
        overrides: What the user changed in it, for the record.
        parent: The id of the run that this one is nested under.
        callbacks: Makes what else looks at the training.

    Raises:
        SettingError: A setting is wrong; nothing was recorded.
        PrunedError: A callback has given up the run; it is KILLED.
        DivergedError: The loss became NaN or infinite; the run is FAILED.
        Interrupted: A signal asked to stop; the run is KILLED and can be resumed.
        TrackingError: Something could not be recorded; the run is FAILED.
        AlreadyFinishedError: A finished run had the same settings and code, and `resume=auto`, or
            that run has gone on from the one that is named.
        ClaimedError: Likewise, and another process is doing the same.
    """
    with Interrupts() as interrupts:
        settings = configuration.read(config)
        _check_writable("output_dir", settings.output_dir)
        store = open_store(config)
        if store is None and settings.inspect:
            raise SettingError("inspect", "true", "tracking=none has no place for its figures")
        if store is not None:
            _check_writable("tracking.spool", Path(store.spool))
        if store is not None and parent is not None:  # the sweep may have begun long ago
            store.await_store(store.patience)
        automatic = config.resume == resume.AUTO
        with _started(store, config, overrides) as start:
            return _execute(start, store, overrides, parent, interrupts, callbacks, automatic)


def _execute(
    start: Start,
    store: Store | None,
    overrides: Sequence[str],
    parent: str | None,
    interrupts: Interrupts,
    callbacks: Callbacks,
    automatic: bool,
) -> Result:
    config, overrides = start.config, start.told(overrides)
    settings = configuration.read(config)

    from echo_exp import experiment  # torch and Lightning, while the writer imports MLflow

    parts = experiment.assemble(config, settings)
    more = [*_own_callbacks(config), *callbacks()]
    checkpoint = None
    if start.run is not None:
        checkpoint = experiment.last_checkpoint(_folder(settings, start.run), parts)
    beginning = None
    if checkpoint is None and not (automatic and more):  # a callback may depend on all epochs
        beginning = _beginning(store, start, parts, automatic)
    run = _open_run(store, start, overrides, parent, beginning)
    folder = _folder(settings, run.stored if run else None)
    waiting, notes = None, []
    if run is not None:
        run.set_tag(NOTE_TAG, descriptions.run(config, run.stored, where(overrides)))
    try:
        if run is not None and beginning is not None:
            beginning.give(run, folder)
            checkpoint = beginning.last
        outcome = experiment.train(parts, settings, run, folder, interrupts, checkpoint, more)
        if run is not None:
            _record(run, parts, outcome, folder)
            notes = _add(run, config, outcome, folder)
            told = descriptions.run(config, run.stored, where(overrides), outcome)
            run.set_tag(NOTE_TAG, told)
            waiting = run.finish()
    except BaseException as error:
        if run is not None:
            _close_early(run, error, automatic, overrides)
        raise
    return Result(config, outcome, run.stored if run else None, folder, waiting, tuple(notes))


@contextlib.contextmanager
def _started(store: Store | None, config: DictConfig, overrides: Sequence[str]) -> Iterator[Start]:
    """Finds where a run begins; one that others may begin too is claimed while it lasts."""
    start = Start(config)
    if config.resume not in (None, resume.AUTO):
        if store is None:
            raise SettingError("resume", config.resume, "tracking=none has no runs")
        with reached(config):
            start = resume.find(store, config, overrides)
    if store is None or config.resume is None or start.run is not None:
        yield start
        return
    with _claimed(store, start.config):
        with reached(config):
            start = _once(store, start, overrides)
        yield start


def _once(store: Store, start: Start, overrides: Sequence[str]) -> Start:
    """Returns where a run begins of which there may be one already.

    Where that left no checkpoint it is run from the beginning: what it has measured stays.
    """
    config = start.config
    config.resume = None
    same = store.find_same(resume.identity(config))
    if same is None:
        shorter = start.shorter or store.find_shorter(resume.kin(config), config.epochs)
        return Start(config, shorter=shorter)
    if same.status == "FINISHED":
        raise AlreadyFinishedError(same)
    config.resume = same.run_id
    return resume.find(store, config, overrides)


def _beginning(
    store: Store | None, start: Start, parts: "Parts", automatic: bool
) -> "Beginning | None":
    """Returns what a run takes over from the shorter one, if that is there and can be used.

    Raises:
        SettingError: It cannot, and the user has named it.
    """
    from echo_exp import longer

    if store is None or start.shorter is None:
        return None
    try:
        with reached(start.config):
            return longer.beginning(store, start.shorter, CHECKPOINTS, parts)
    except SettingError:
        if automatic or start.run is not None:  # to train it all comes to the same
            return None
        raise


def _own_callbacks(config: DictConfig) -> "list[pl.Callback]":
    """Makes the user's own callbacks.

    Raises:
        SettingError: One has a wrong setting, or is no callback.
    """
    import pytorch_lightning as pl

    made = []
    for name, node in configuration.callbacks(config).items():
        key = f"{configuration.CALLBACKS}.{name}"
        try:
            callback = configuration.build(node, key)
        except SettingError:
            raise
        except Exception as error:
            reason = f"it cannot be made of these ({type(error).__name__}: {error})"
            raise SettingError(key, node, reason) from error
        if not isinstance(callback, pl.Callback):
            raise SettingError(key, node, "it must be a pytorch_lightning.Callback")
        made.append(callback)
    return made


@contextlib.contextmanager
def _claimed(store: Store, config: DictConfig) -> Iterator[None]:
    """Keeps other processes from doing the same, if they ask."""
    thing = claim(configuration.fingerprint(config))
    with reached(config):
        holder = store.claim(thing)
    if holder is not None:
        raise ClaimedError(f"{holder} is doing this")
    try:
        yield
    finally:
        with contextlib.suppress(TrackingError):  # it becomes void by itself
            store.release(thing)


def claim(fingerprint: str) -> str:
    """Returns the name under which processes agree who runs some settings with this code."""
    return f"job/{fingerprint}/{code()}"


def _open_run(
    store: Store | None,
    start: Start,
    overrides: Sequence[str],
    parent: str | None,
    beginning: "Beginning | None",
) -> Run | None:
    if store is None:
        return None
    with reached(start.config):
        if start.run is None:
            shorter = start.shorter if beginning is not None else None
            run = _create_run(store, start.config, overrides, parent, shorter)
            if shorter is not None:
                _link(store, shorter, run)
            return run
        try:
            return store.resume_run(start.run.run_id)
        except UnreachableError:
            raise
        except TrackingError as error:  # another process is still at it
            raise SettingError("resume", start.run.run_id, str(error)) from error


def _link(store: Store, shorter: StoredRun, run: Run) -> None:
    """Tells a finished run which one goes on from it; that can do without."""
    known = shorter.tags.get(CONTINUED)
    told = descriptions.continued(shorter.tags.get(NOTE_TAG, ""), run.stored)
    with contextlib.suppress(TrackingError):
        ids = ", ".join(filter(None, [known, run.run_id]))
        store.mark(shorter.run_id, {CONTINUED: ids, NOTE_TAG: told})


def _create_run(
    store: Store,
    config: DictConfig,
    overrides: Sequence[str],
    parent: str | None,
    shorter: StoredRun | None,
) -> Run:
    if parent is None:
        store.describe({NOTE_TAG: descriptions.experiment(), **view()})
    found = tags(overrides) | {"kind": "run"} | resume.identity(config) | resume.kin(config)
    return store.create_run(
        name=_name(config),
        tags=found | ({resume.CONTINUES: shorter.run_id} if shorter is not None else {}),
        params=configuration.parameters(config),
        files={
            "config.yaml": redacted(OmegaConf.to_yaml(config, resolve=True)),
            "overrides.yaml": redacted(OmegaConf.to_yaml(OmegaConf.create(list(overrides)))),
        },
        parent=parent,
    )


def _name(config: DictConfig) -> str:
    """Returns what a run is called in the UI."""
    problem, seed, replicas = config.problem, config.seed, config.replicas
    model = config.model._target_.rsplit(".", 1)[-1]
    state = "stateless " if config.model.get("stateful") is False else ""
    units = f"{config.model.units} units, " if "units" in config.model else ""
    seeds = f"seed {seed}" if replicas == 1 else f"seeds {seed}–{seed + replicas - 1}"
    return f"{state}{model} {problem.n_in}→{problem.n_out}, {units}{seeds}"


def _record(run: Run, parts: "Parts", outcome: "Outcome", folder: Path) -> None:
    # Of no epoch: MLflow's UI draws what has one as a curve, and these as bars.
    run.log_metrics([0], {name: [value] for name, value in outcome.metrics().items()})
    run.log_table(outcome.listing.columns(), "samples.json")
    if len(outcome.seeds) > 1:
        run.log_table(outcome.table(), "replicas.json")
        run.log_frame(outcome.frame(), "curves.parquet")
    run.log_learning_curve(outcome.curves, parts.module.representation.loss_name)
    run.log_files(folder, CHECKPOINTS)


def _add(run: Run, config: DictConfig, outcome: "Outcome", folder: Path) -> list[str]:
    """Adds what is made of the trained network, of several replicas the one that is listed.

    Returns:
        What failed, which is no failure of the run.
    """
    from echo_exp import trained
    from echo_exp.checkpoints import LAST

    inspect = functools.partial(_inspect, folder=folder.parent / INSPECTION)
    asked: dict[str, Callable[[Run, TrainedNetwork], None]] = {
        "export": _export,
        "inspect": inspect,
    }
    notes = []
    if any(config[name] for name in asked):
        network = trained.build(config, folder / LAST, outcome.listed)
        for name, add in asked.items():
            try:
                if config[name]:
                    add(run, network)
            except Exception as error:
                notes.append(f"{name}: {error}")
                run.set_tag(f"failed.{name}", redacted(str(error)))
    return notes


def _export(run: Run, network: "TrainedNetwork") -> None:
    from echo_exp.export.network import export_pt2

    with tempfile.TemporaryDirectory() as folder:
        run.log_model(export_pt2(network, Path(folder) / "network").parent)


def _inspect(run: Run, network: "TrainedNetwork", folder: Path) -> None:
    from echo_exp.inspection.inspection import inspect

    inspect(network, folder)
    run.log_files(folder, INSPECTION)


def _close_early(run: Run, error: BaseException, automatic: bool, overrides: Sequence[str]) -> None:
    stopped = isinstance(error, Interrupted | KeyboardInterrupt)
    if stopped:
        command = "the same command" if automatic else f"`echo-exp resume={run.run_id}`"
        error.add_note(f"{command} goes on where it stopped")
    with contextlib.suppress(TrackingError):  # the error itself is what the user must see
        if isinstance(error, PrunedError):
            run.set_tag(PRUNED_TAG, str(error.epoch))
            waiting = run.finish("KILLED")
        else:
            reason = redacted(f"{type(error).__name__}: {error}")
            waiting = run.finish("KILLED" if stopped else "FAILED", reason)
        if waiting is not None:
            error.add_note(undelivered(waiting, overrides))


def undelivered(waiting: Waiting, overrides: Sequence[str]) -> str:
    """Returns what waits for the tracking store, and the command that delivers it."""
    if waiting.in_vain is not None:
        return redacted(str(waiting))
    return redacted(
        f"{waiting}\n`{shlex.join(['echo-exp-sync', *where(overrides)])}` delivers them"
    )


def where(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides that tell where runs are written: other commands need them too."""
    return [override for override in overrides if re.match(r"(tracking|output_dir)\b", override)]


def _folder(settings: Settings, stored: StoredRun | None) -> Path:
    """Returns where a run's checkpoints lie: among its artifacts, if these are here."""
    if stored is not None and stored.artifacts is not None:
        return stored.artifacts / CHECKPOINTS
    unknown = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{uuid.uuid4().hex[:8]}"
    name = stored.run_id if stored else unknown
    return settings.output_dir / "runs" / name / CHECKPOINTS


def _check_writable(key: str, folder: Path) -> None:
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(bytes(2**16))
        probe.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink()
        reason = f"it cannot be written ({error.strerror})"
        raise SettingError(key, folder, reason) from error


def tags(overrides: Sequence[str]) -> dict[str, str]:
    """Returns where a run comes from: the command, its user, the code, versions, the machine."""
    flags = [flag for flag in configuration.flags() if flag not in overrides]
    found = {
        "mlflow.source.name": redacted(shlex.join(["echo-exp", *flags, *overrides])),
        "mlflow.source.type": "LOCAL",
    }
    with contextlib.suppress(OSError, KeyError):  # a user without a name
        found["mlflow.user"] = getpass.getuser()
    for name in ("echo_exp", "torch", "pytorch-lightning", "hydra-core", "mlflow", "numpy"):
        with contextlib.suppress(PackageNotFoundError):  # a checkout that was not installed
            found[f"version.{name}"] = version(name)
    found["version.python"] = platform.python_version()
    found["machine"] = f"{platform.node()} ({platform.machine()}, {os.cpu_count()} cores)"
    found |= launch.place()
    commit = _git_commit()
    return found | ({"mlflow.source.git.commit": commit} if commit else {})


def _git_commit() -> str | None:
    checkout = configuration.FOLDER.parent
    if not (checkout / ".git").exists():
        return None
    describe = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        return subprocess.run(
            describe, capture_output=True, encoding="utf-8", check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def directions(store: Store, stored: StoredRun, overrides: Sequence[str], what: str = "it") -> str:
    """Returns the command that shows a run in MLflow's UI, and the page; of a server only this."""
    look = f"Look at {what}:"
    if store.uri.startswith(("http://", "https://")):
        return (
            f"{look} {redacted(store.uri).rstrip('/')}/{page(stored.experiment_id, stored.run_id)}"
        )
    ui = program("echo-exp-ui")
    command = redacted(shlex.join([ui, f"run={stored.run_id}", *where(overrides)]))
    there = f"http://127.0.0.1:5000/{page(stored.experiment_id, stored.run_id)}"
    return f"{look} {command}\n{'then:':>{len(look)}} {there}"
