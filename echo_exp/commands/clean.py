"""The command `echo-exp-clean`: shows what uses disk space, and removes what is named."""

import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, ListConfig

from echo_exp import configuration
from echo_exp.commands import hydra_main as command
from echo_exp.settings import SettingError, choice, redacted
from echo_exp.tracking import TrackingError
from echo_exp.tracking.settings import existing, served
from echo_exp.training.interrupts import Interrupts

if TYPE_CHECKING:
    from echo_exp.tracking.cleaning.files import Removable
    from echo_exp.tracking.cleaning.places import Places
    from echo_exp.tracking.cleaning.survey import Survey

DELETED = "deleted"
CAN_GO = {
    DELETED: "runs, models and experiments deleted in MLflow",
    "checkpoints": "checkpoints of finished runs, except the best",
    "orphans": "artifacts without a run in the store",
    "leftovers": "files of processes that were killed",
}
"""The names of what can be removed, with a description of each."""


def main() -> None:
    """Runs `echo-exp-clean`: exits with 0, 1 if a removal failed, 2 if a setting is wrong."""
    with Interrupts():
        command.run(_clean, "clean")


def _clean(config: DictConfig) -> None:
    warnings.simplefilter("ignore")
    logging.disable()  # MLflow logs the errors that it raises, with tracebacks
    asked = _asked(config)
    settings = configuration.tracking(config)
    if served(existing(settings)) and DELETED in asked:
        reason = "only the store's server can delete for good: run `mlflow gc` on its machine"
        raise SettingError("remove", DELETED, reason)

    from echo_exp.running.result import CHECKPOINTS
    from echo_exp.tracking.access import reader
    from echo_exp.tracking.cleaning.checkpoints import Naming
    from echo_exp.tracking.cleaning.places import Places
    from echo_exp.tracking.cleaning.survey import survey
    from echo_exp.training.checkpoint_names import BEST

    access = reader.opened(settings)
    places = Places.of(access, Path(config.output_dir), Path(settings.spool))
    with reader.reached(access.uri):
        found = survey(access, places, Naming(CHECKPOINTS, BEST))
    if not asked:
        print(_table(found, redacted(access.uri)))
    elif not config.yes:
        print("\n".join(_preview(found, asked)))
    else:
        _remove(found, asked, places)


def _asked(config: DictConfig) -> list[str]:
    """Returns what is to be removed.

    Raises:
        SettingError: `remove` is not a list of names that exist, or `yes` is set without `remove`.
    """
    if not isinstance(config.remove, ListConfig):
        reason = "it must be a list, as in remove=[deleted,leftovers]"
        raise SettingError("remove", config.remove, reason)
    for name in config.remove:
        choice("remove", name, tuple(CAN_GO))
    choice("yes", config.yes, (True, False))
    if config.yes and not config.remove:
        raise SettingError("yes", "true", "it belongs to remove=, which says what is removed")
    return [name for name in CAN_GO if name in config.remove]


def _table(found: "Survey", store: str) -> str:
    statuses = ", ".join(f"{count:,} {status}" for status, count in sorted(found.statuses.items()))
    waiting = f"{found.measurements:,} measurements" if found.undelivered.number else ""
    free = f"{_size(found.free)} of it unused" if found.free else ""
    database = "?" if found.database is None else _size(found.database)
    amounts = [
        ("runs", found.runs, statuses),
        ("  their checkpoints", found.checkpoints, ""),
        ("sweeps, studies, searches", found.parents, ""),
        ("models", found.models, ""),
        ("deleted in MLflow", found.deleted, ""),
        ("not yet delivered", found.undelivered, waiting),
    ]
    rows = [
        (name, f"{amount.number:,}", _size(amount.size), note) for name, amount, note in amounts
    ]
    rows += [
        ("database", "", database, free),
        ("all, with other output", "", _size(found.total), ""),
    ]
    removable = [
        (f"remove=[{name}]", f"{len(items):,}", _size(_bytes(items)), CAN_GO[name])
        for name, items in found.removable.items()
    ]
    title = (store, "number", "size", "")
    return "\n".join([*_aligned([title, *rows, ("", "", "", ""), *removable]), *_notes(found)])


def _notes(found: "Survey") -> list[str]:
    """Returns notes on what cannot be measured, and on what is never removed."""
    notes = []
    if found.elsewhere:
        notes.append(
            f"the artifacts of {found.elsewhere:,} runs are not on this machine: neither measured "
            "nor removed"
        )
    if found.busy:
        notes.append(
            f"{found.busy:,} deleted runs are kept: running, or with undelivered measurements"
        )
    if found.unknown:
        notes.append(
            f"{found.unknown:,} folders in runs/ belong to no run of this store and are kept"
        )
    if found.unreadable:
        first = found.unreadable[0]
        notes.append(f"{len(found.unreadable):,} folders cannot be read, such as {first}")
    return ["", *notes] if notes else []


def _preview(found: "Survey", asked: Sequence[str]) -> list[str]:
    lines = [f"{_described(name, found.removable[name])} would be removed" for name in asked]
    return [*lines, *_notes(found), "Nothing was removed; yes=true does it."]


def _described(name: str, items: "Sequence[Removable]") -> str:
    return f"{name}: {len(items):,} ({CAN_GO[name]}), {_size(_bytes(items))}"


def _remove(found: "Survey", asked: Sequence[str], places: "Places") -> None:
    """Removes what was named, and prints what it removed.

    Raises:
        TrackingError: Something could not be removed.
    """
    failed = 0
    for name in asked:
        done = [item for item in found.removable[name] if _removed(item)]
        failed += len(found.removable[name]) - len(done)
        print(f"{_described(name, done)} removed")
    if DELETED in asked:
        _shrink(found, places)
    if failed:
        raise TrackingError(f"{failed:,} could not be removed")


def _removed(item: "Removable") -> bool:
    try:
        item.remove()
    except Exception as error:
        print(f"{item.path}: {type(error).__name__}: {redacted(str(error))}", file=sys.stderr)
        return False
    return True


def _shrink(found: "Survey", places: "Places") -> None:
    """Shrinks the database file by what was deleted, if nobody is writing to it."""
    if places.database is None:
        return
    try:
        reason = "some runs are not finished" if found.statuses.get("RUNNING") else ""
        freed = 0 if reason else places.shrink()
    except Exception as error:
        reason = str(error)
    if reason:
        print(f"database: {_size(places.free)} of unused space kept for new runs ({reason})")
    else:
        print(f"database: {_size(freed)} given back to the disk")


def _bytes(items: "Sequence[Removable]") -> int:
    return sum(item.size for item in items)


def _size(size: int) -> str:
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"


def _aligned(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"{name:<{widths[0]}}  {number:>{widths[1]}}  {size:>{widths[2]}}  {note}".rstrip()
        for name, number, size, note in rows
    ]


if __name__ == "__main__":
    main()
