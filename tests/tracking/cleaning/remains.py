"""Files that a store, its runs and its programs leave on disk."""

import os
from pathlib import Path

from mlflow.exceptions import MlflowException

from echo_exp.tracking.cleaning.leftovers import STALE_SECONDS
from echo_exp.tracking.writer.outbox import Outbox, named

from ..stores import MadeStore

POINT = {"do": "metrics", "series": [["m", [1], [1], [0.5]]]}
ID = "0123456789abcdef0123456789abcdef"


def outbox_of(made: MadeStore, run_id: str, waits: bool, store: str | None = None) -> Outbox:
    spool = made.places.spool
    outbox = Outbox.begun(spool, run_id, store or named(made.access.uri, spool))
    if waits:
        outbox.put(POINT)
    return outbox


def removable(made: MadeStore, what: str) -> set[str]:
    return {item.path.name for item in made.survey().removable[what]}


def let_age(*paths: Path) -> None:
    for path in paths:
        before = path.lstat().st_mtime - 2 * STALE_SECONDS
        os.utime(path, (before, before))


def at_work(made: MadeStore) -> str:
    return made.run("RUNNING")


def that_failed(made: MadeStore) -> str:
    return made.run("FAILED")


def of_a_running_sweep(made: MadeStore) -> str:
    return made.run(parent=made.run("RUNNING", kind="sweep", files={}))


def not_delivered(made: MadeStore) -> str:
    run = made.run()
    outbox_of(made, run, waits=True).leave()
    return run


def is_known(made: MadeStore, run_id: str) -> bool:
    try:
        made.client.get_run(run_id)
    except MlflowException:
        return False
    return True
