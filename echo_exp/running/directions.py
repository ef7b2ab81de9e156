"""What a user may do next: the commands and the pages that a run's messages name."""

import re
import shlex
from collections.abc import Sequence

from echo_exp.settings import program, redacted
from echo_exp.tracking import Store, StoredRun, Waiting
from echo_exp.tracking.ui.view import page


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
