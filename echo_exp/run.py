"""One run: from a configuration to a finished entry in the tracking store."""

import contextlib
import functools
import getpass
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
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
from echo_exp import descriptions, launch, resume, trust
from echo_exp.code import code
from echo_exp.config import Settings
from echo_exp.interrupts import Interrupted, Interrupts
from echo_exp.settings import SettingError, redacted
from echo_exp.tracking import (
    PRUNED_TAG,
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
    from echo_exp.outcome import Outcome
    from echo_exp.trained import TrainedNetwork

CHECKPOINTS = "checkpoints"
INSPECTION = "inspection"

Callbacks = Callable[[], "Sequence[pl.Callback]"]
"""Makes what else looks at a training; called when Lightning is imported."""


class AlreadyFinishedError(Exception):
    """`resume=auto` found a finished run of the same settings."""

    def __init__(self, stored: StoredRun) -> None:
        super().__init__(f"run {stored.run_id} has done this already")
        self.stored = stored


class ClaimedError(Exception):
    """`resume=auto`, and another process is doing the same."""


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
        AlreadyFinishedError: `resume=auto`, and a finished run had the same settings and code.
        ClaimedError: `resume=auto`, and another process is doing the same.
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
        if config.resume != resume.AUTO:
            return _execute(config, settings, store, overrides, parent, interrupts, callbacks)
        with _claimed(store, config):
            with reached(config):
                config.resume = _unfinished(store, config)
            return _execute(config, settings, store, overrides, parent, interrupts, callbacks, True)


def _execute(
    config: DictConfig,
    settings: Settings,
    store: Store | None,
    overrides: Sequence[str],
    parent: str | None,
    interrupts: Interrupts,
    callbacks: Callbacks,
    automatic: bool = False,
) -> Result:
    earlier: StoredRun | None = None
    if config.resume is not None:
        if store is None:
            raise SettingError("resume", config.resume, "tracking=none has no runs")
        with reached(config):
            earlier, config = resume.find(store, config, overrides)
        settings = configuration.read(config)

    from echo_exp import experiment  # torch and Lightning, while the writer imports MLflow

    parts = experiment.assemble(config, settings)
    own = _own_callbacks(config)
    checkpoint = None
    if earlier is not None:
        checkpoint = experiment.last_checkpoint(_folder(settings, earlier), parts)
    run = _open_run(store, config, overrides, parent, earlier)
    folder = _folder(settings, run.stored if run else None)
    waiting, notes = None, []
    if run is not None:
        run.set_tag(NOTE_TAG, descriptions.run(config, run.stored, where(overrides)))
    try:
        more = [*own, *callbacks()]
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
def _claimed(store: Store | None, config: DictConfig) -> Iterator[None]:
    """Keeps other processes from doing the same, if they ask."""
    if store is None:
        yield
        return
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


def _unfinished(store: Store | None, config: DictConfig) -> str | None:
    """Returns the id of an unfinished run of the same, if there is one.

    Where it left no checkpoint it is run from the beginning: what it has measured stays.
    """
    same = store.find_same(_identity(config)) if store is not None else None
    if same is None:
        return None
    if same.status == "FINISHED":
        raise AlreadyFinishedError(same)
    return same.run_id


def _open_run(
    store: Store | None,
    config: DictConfig,
    overrides: Sequence[str],
    parent: str | None,
    earlier: StoredRun | None,
) -> Run | None:
    if store is None:
        return None
    with reached(config):
        if earlier is None:
            return _create_run(store, config, overrides, parent)
        try:
            return store.resume_run(earlier.run_id)
        except UnreachableError:
            raise
        except TrackingError as error:  # another process is still at it
            raise SettingError("resume", earlier.run_id, str(error)) from error


def _create_run(
    store: Store, config: DictConfig, overrides: Sequence[str], parent: str | None
) -> Run:
    if parent is None:
        store.describe({NOTE_TAG: descriptions.experiment(), **view()})
    return store.create_run(
        name=_name(config),
        tags=tags(overrides) | {"kind": "run"} | _identity(config),
        params=configuration.parameters(config),
        files={
            "config.yaml": redacted(OmegaConf.to_yaml(config, resolve=True)),
            "overrides.yaml": redacted(OmegaConf.to_yaml(OmegaConf.create(list(overrides)))),
        },
        parent=parent,
    )


def _identity(config: DictConfig) -> dict[str, str]:
    """Returns the tags by which a run of the same settings and code is found again."""
    return {"fingerprint": configuration.fingerprint(config), "code": code_of(config)}


def code_of(config: DictConfig) -> str:
    """Returns the version of all code that decides what a configuration gives, the user's too."""
    return code(frozenset(str(name) for _, name in trust.targets(config)))


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
    found = {
        "mlflow.source.name": redacted(shlex.join(["echo-exp", *overrides])),
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
    name = "echo-exp-ui"
    ours = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    ui = str(ours) if ours.exists() and found != str(ours) else name
    command = redacted(shlex.join([ui, f"run={stored.run_id}", *where(overrides)]))
    there = f"http://127.0.0.1:5000/{page(stored.experiment_id, stored.run_id)}"
    return f"{look} {command}\n{'then:':>{len(look)}} {there}"
