"""The entry of a run in the tracking store: how it is opened, and how it is closed early."""

import contextlib
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration
from echo_exp.running import descriptions, provenance, resume
from echo_exp.running.directions import undelivered, where
from echo_exp.running.opening import reached
from echo_exp.running.result import PrunedError
from echo_exp.running.resume import Start
from echo_exp.settings import SettingError, redacted
from echo_exp.tracking import (
    PRUNED_TAG,
    Run,
    Store,
    StoredRun,
    TrackingError,
    UnreachableError,
)
from echo_exp.tracking.settings import CONFIG
from echo_exp.tracking.ui.view import MEMBER, NOTE_TAG, member, view
from echo_exp.training.interrupts import Interrupted

CONTINUED = "continued"
"""The tag of a run that names the runs that continue it."""


def open_entry(
    store: Store | None,
    start: Start,
    overrides: Sequence[str],
    parent: str | None,
    continues: bool,
) -> Run | None:
    """Opens the entry of a run.

    Args:
        store: The tracking store, if there is one.
        start: Where the run starts.
        overrides: What the user changed, for the record.
        parent: The id of the run that it is nested under.
        continues: Whether it takes over the epochs of the shorter run that ``start`` names.

    Returns:
        The entry; None if nothing is tracked.

    Raises:
        SettingError: The store cannot be used, or another process is running this run.
        UnreachableError: The store cannot be reached any more.
    """
    if store is None:
        return None
    with reached(start.config):
        if start.run is None:
            shorter = start.shorter if continues else None
            run = _create_run(store, start, overrides, parent, shorter)
            if shorter is not None:
                _link(store, shorter, run)
            return run
        try:
            run = store.resume_run(start.run.run_id)
            if parent is not None:
                run.set_tag(member(parent), MEMBER)
            return run
        except UnreachableError:
            raise
        except TrackingError as error:  # another process is still running it
            raise SettingError("resume", start.run.run_id, str(error)) from error


def _link(store: Store, shorter: StoredRun, run: Run) -> None:
    """Tags a finished run with the one that continues it; neither needs the tag."""
    known = shorter.tags.get(CONTINUED)
    note = descriptions.continued(shorter.tags.get(NOTE_TAG, ""), run.stored)
    with contextlib.suppress(TrackingError):
        ids = ", ".join(filter(None, [known, run.run_id]))
        store.mark(shorter.run_id, {CONTINUED: ids, NOTE_TAG: note})


def _create_run(
    store: Store,
    start: Start,
    overrides: Sequence[str],
    parent: str | None,
    shorter: StoredRun | None,
) -> Run:
    config = start.config
    if parent is None:
        store.describe({NOTE_TAG: descriptions.experiment(), **view()})
    found = (
        provenance.tags(overrides)
        | {"kind": "run", "problem": configuration.problem_kind(config)}
        | start.tags
        | ({member(parent): MEMBER} if parent else {})
    )
    return store.create_run(
        name=config.sweep.get("name") or run_name(config),
        tags=found | ({resume.CONTINUES: shorter.run_id} if shorter is not None else {}),
        params=configuration.parameters(config),
        files={
            CONFIG: redacted(OmegaConf.to_yaml(config, resolve=True)),
            "overrides.yaml": redacted(OmegaConf.to_yaml(OmegaConf.create(list(overrides)))),
        },
        parent=parent,
    )


def run_name(config: DictConfig) -> str:
    """Returns the name in the UI of a run that belongs to no sweep."""
    seed, replicas = config.seed, config.replicas
    model = config.model._target_.rsplit(".", 1)[-1]
    state = "stateless " if config.model.get("stateful") is False else ""
    units = f"{config.model.units} units, " if "units" in config.model else ""
    seeds = f"seed {seed}" if replicas == 1 else f"seeds {seed}–{seed + replicas - 1}"
    problem = f"{configuration.problem_kind(config)} {configuration.problem(config).name}"
    return f"{state}{model}, {problem}, {units}{seeds}"


def end_early(
    run: Run,
    error: BaseException,
    about: str,
    overrides: Sequence[str],
    automatic: bool,
) -> None:
    """Closes the entry of a run that an error has ended; notes on the error how to continue it."""
    stopped = isinstance(error, Interrupted | KeyboardInterrupt)
    if stopped:
        command = "the same command" if automatic else f"`echo-exp resume={run.run_id}`"
        _add_note(error, f"{command} continues it where it stopped")
    with contextlib.suppress(TrackingError):  # the error itself is what the user must see
        note = descriptions.run(about, run.stored, where(overrides), end=_end(error))
        run.set_tag(NOTE_TAG, note)
        if isinstance(error, PrunedError):
            run.set_tag(PRUNED_TAG, str(error.epoch))
            run.end("KILLED")
        else:
            run.end("KILLED" if stopped else "FAILED", redacted(_reason(error)))


def _end(error: BaseException) -> str:
    """Says how a run has ended early."""
    if isinstance(error, PrunedError):
        return f"It was {error} by its search."
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return f"It was {str(error) or 'stopped'}."
    return f"It failed: {_reason(error)}"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def await_end(run: Run, error: BaseException, overrides: Sequence[str]) -> None:
    """Waits until the end of such a run is written; notes on the error what is undelivered."""
    with contextlib.suppress(TrackingError):
        waiting = run.ended()
        if waiting is not None:
            _add_note(error, undelivered(waiting, overrides))


def _add_note(error: BaseException, note: str) -> None:
    """Adds a note to an error, but only once if it holds for many runs."""
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
