"""Finds out what uses disk space, and what can be removed."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from echo_exp.tracking.access.connection import Access
from echo_exp.tracking.cleaning import leftovers, spool
from echo_exp.tracking.cleaning.checkpoints import Checkpoints, Naming
from echo_exp.tracking.cleaning.deleted import deleted
from echo_exp.tracking.cleaning.files import Removable, Scale, names
from echo_exp.tracking.cleaning.known import Known, KnownRun, known
from echo_exp.tracking.cleaning.orphans import orphans, there
from echo_exp.tracking.cleaning.places import RUNS, Places
from echo_exp.tracking.settings import served
from echo_exp.tracking.writer.outbox import SUFFIX

DELETED, CHECKPOINTS, ORPHANS, LEFTOVERS = "deleted", "checkpoints", "orphans", "leftovers"
NAMES = (DELETED, CHECKPOINTS, ORPHANS, LEFTOVERS)
"""The kinds of things that can be removed."""


@dataclass(frozen=True)
class Amount:
    """A number of things, and their total size in bytes."""

    number: int
    size: int

    @classmethod
    def of(cls, sizes: Iterable[int]) -> "Amount":
        """Returns the amount of things that have these sizes."""
        every = list(sizes)
        return cls(len(every), sum(every))


@dataclass(frozen=True)
class Survey:
    """How much space everything uses, and what can be removed.

    Attributes:
        statuses: Number of training runs in each status.
        runs: Training runs, with all their files on this machine.
        checkpoints: Their checkpoint files, which `runs` includes.
        parents: Parent runs of sweeps, studies and searches.
        models: MLflow models.
        deleted: Runs that people have deleted in MLflow.
        undelivered: Outboxes that no process holds and that are not fully delivered.
        measurements: Number of metric points in these outboxes.
        database: Size of the database in bytes; None if it is unknown.
        free: Unused bytes in the database.
        total: Size of everything on this machine in bytes.
        unknown: Number of run folders without a run in the store, such as those of untracked runs.
        removable: What can be removed, by its kind in `NAMES`.
        busy: Number of deleted runs that are still running or have undelivered measurements.
        elsewhere: Number of runs whose artifacts are not on this machine.
        unreadable: Folders that could not be read.
    """

    statuses: Mapping[str, int]
    runs: Amount
    checkpoints: Amount
    parents: Amount
    models: Amount
    deleted: Amount
    undelivered: Amount
    measurements: int
    database: int | None
    free: int
    total: int
    unknown: int
    removable: Mapping[str, Sequence[Removable]]
    busy: int
    elsewhere: int
    unreadable: Sequence[str]


@dataclass(frozen=True)
class Seen:
    """A store and its folders, as they were at one time.

    Attributes:
        access: The store.
        places: Where its files are.
        naming: The names of checkpoints.
        found: The folders of runs and of models, see `there`.
        stored: The runs and models of the store.
        boxes: The outboxes.
        held: Names of the locks that processes hold.
        files: The path and the size in bytes of each file of a run, by the run's id.
        scale: Measures files.
    """

    access: Access
    places: Places
    naming: Naming
    found: tuple[Collection[str], Collection[str]]
    stored: Known
    boxes: Sequence[spool.Box]
    held: Sequence[str]
    files: Mapping[str, Sequence[tuple[str, int]]]
    scale: Scale

    @cached_property
    def busy(self) -> set[str]:
        """Ids of the runs that a process is writing to, or that have undelivered measurements."""
        return {*self.held, *(box.run_id for box in self.boxes if not box.empty)}

    @cached_property
    def checkpoints(self) -> list[tuple[KnownRun, Checkpoints]]:
        """The checkpoints of the runs that are not deleted."""
        return [(run, some) for run in self.active for some in self._checkpoints(run)]

    @property
    def active(self) -> list[KnownRun]:
        """The runs that are not deleted."""
        return [run for run in self.stored.runs.values() if not run.deleted]

    @property
    def gone(self) -> list[KnownRun]:
        """The runs that are deleted."""
        return [run for run in self.stored.runs.values() if run.deleted]

    def idle(self, run: KnownRun) -> bool:
        """Returns whether a run and its sweep have ended, and the run is not `busy`."""
        return not self.stored.at_work(run) and run.run_id not in self.busy

    def amount(self, runs: Iterable[KnownRun]) -> Amount:
        """Returns the number of these runs, and the size of their files."""
        return Amount.of(sum(size for _, size in self.files[run.run_id]) for run in runs)

    def _checkpoints(self, run: KnownRun) -> Iterator[Checkpoints]:
        home = self.places.home(run)
        folder = home / ("" if run.folder is None else "artifacts") / self.naming.folder
        inside = f"{folder}{os.sep}"
        files = [file for file in self.files[run.run_id] if file[0].startswith(inside)]
        if files:
            yield Checkpoints(folder, files)


def survey(access: Access, places: Places, naming: Naming) -> Survey:
    """Surveys a store and its files.

    Args:
        access: The store.
        places: Where its files are.
        naming: The names of checkpoints.

    Raises:
        Exception: The store cannot be reached.
    """
    seen = _look(access, places, naming)
    trained = [run for run in seen.active if run.kind == "run"]
    waiting = [box for box in seen.boxes if not (box.empty or box.held)]
    models = [model.folder for model in seen.stored.models.values()]
    return Survey(
        statuses=Counter(run.status for run in trained),
        runs=seen.amount(trained),
        checkpoints=Amount.of(size for _, some in seen.checkpoints for _, size in some.files),
        parents=seen.amount(run for run in seen.active if run.kind != "run"),
        models=Amount.of(0 if folder is None else seen.scale.size(folder) for folder in models),
        deleted=seen.amount(seen.gone),
        undelivered=Amount.of(_spooled(seen, box) for box in waiting),
        measurements=sum(box.measurements for box in waiting),
        database=places.database_size(access),
        free=places.free,
        total=sum(seen.scale.size(root) for root in places.roots),
        unknown=len(set(names(places.output / RUNS)) - seen.stored.runs.keys()),
        removable={name: list(items) for name, items in _removable(seen)},
        busy=sum(not seen.idle(run) for run in seen.gone),
        elsewhere=sum(run.folder is None for run in seen.stored.runs.values()),
        unreadable=sorted(set(seen.scale.unreadable)),
    )


def _look(access: Access, places: Places, naming: Naming) -> Seen:
    scale = Scale()
    found = (
        there(places.artifacts) if places.artifacts else ([], [])
    )  # before the store, see `there`
    stored = known(access)
    boxes = spool.boxes(places.spool)
    held = list(spool.held(places.locks)) if places.locks else []
    runs = stored.runs.values()
    files = {run.run_id: list(scale.files(places.home(run))) for run in runs}
    return Seen(access, places, naming, found, stored, boxes, held, files, scale)


def _removable(seen: Seen) -> Iterator[tuple[str, Iterable[Removable]]]:
    access, places = seen.access, seen.places
    yield DELETED, () if served(access.uri) else deleted(access, seen.stored, seen.busy, seen.scale)
    yield CHECKPOINTS, _surplus(seen)
    yield (
        ORPHANS,
        (
            orphans(places.artifacts, access.uri, seen.found, seen.stored, seen.scale)
            if places.artifacts
            else ()
        ),
    )
    yield LEFTOVERS, _leftovers(seen)


def _surplus(seen: Seen) -> Iterator[Removable]:
    for run, checkpoints in seen.checkpoints:
        surplus = checkpoints.but(seen.naming.best)
        if surplus is not None and run.status == "FINISHED" and seen.idle(run):
            yield surplus


def _leftovers(seen: Seen) -> Iterator[Removable]:
    places, scale = seen.places, seen.scale
    yield from leftovers.files(places.output, places.spool, places.database, scale)
    if places.locks is not None:
        yield from leftovers.locks(places.locks, seen.held)
    yield from leftovers.spooled(places.spool, seen.boxes, seen.stored, seen.access.uri, scale)
    for run, checkpoints in seen.checkpoints:
        if seen.idle(run):
            yield from checkpoints.torn()


def _spooled(seen: Seen, box: spool.Box) -> int:
    folder = seen.places.spool
    return seen.scale.size(folder / f"{box.name}{SUFFIX}") + seen.scale.size(folder / box.name)
