"""What a user may do next: the commands and the pages that a run's messages name."""

import re
import shlex
from collections.abc import Sequence

from echo_exp.settings import program, redacted
from echo_exp.tracking import Store, StoredRun, Waiting
from echo_exp.tracking.settings import served
from echo_exp.tracking.ui.view import page

LOOK = "Open in MLflow:"


def where(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides that tell where runs are written: other commands need them too."""
    return [override for override in overrides if re.match(r"(tracking|output_dir)\b", override)]


def undelivered(waiting: Waiting, overrides: Sequence[str]) -> str:
    """Returns what waits for the tracking store, and the command that delivers it."""
    if waiting.in_vain is not None:
        return redacted(str(waiting))
    return redacted(
        f"{waiting}\n`{shlex.join(['echo-exp-sync', *where(overrides)])}` delivers them"
    )


def directions(
    store: Store, stored: StoredRun, overrides: Sequence[str], sweep: bool = False
) -> str:
    """Returns the command that shows a run in MLflow's UI, and its page; for a server, the page.

    Args:
        store: Where the run is.
        stored: The run.
        overrides: What the user gave.
        sweep: Whether it is the parent of a sweep, whose runs are shown.
    """
    setting, run_id = ("sweep", None) if sweep else ("run", stored.run_id)
    opened = page(stored.experiment_id, run_id, shown=stored.run_id)
    if served(store.uri):
        return f"{LOOK} {redacted(store.uri).rstrip('/')}/{opened}"
    ui = program("echo-exp-ui")
    command = redacted(shlex.join([ui, f"{setting}={stored.run_id}", *where(overrides)]))
    return f"{LOOK} {command}\n{'then:':>{len(LOOK)}} http://127.0.0.1:5000/{opened}"
