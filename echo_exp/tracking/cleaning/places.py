"""Where a store and its files are on this machine, and how large its database is."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from echo_exp.tracking.access.connection import Access
from echo_exp.tracking.cleaning.files import Scale
from echo_exp.tracking.cleaning.known import KnownRun, session
from echo_exp.tracking.settings import served

RUNS = "runs"
"""Folder of runs whose artifacts are not on this machine, or that are not tracked."""
LOCKS = ".locks"
SIDES = ("", "-wal", "-shm", "-journal")
"""Suffixes of a database file and of the files that SQLite puts beside it."""
SHRINK_SECONDS = 20
"""How long to wait for other processes that are writing to the database."""


@dataclass(frozen=True)
class Places:
    """Where a store and its files are.

    Attributes:
        output: The folder of all output.
        spool: The folder of outboxes.
        artifacts: The folder of artifacts; None if it is not on this machine.
        database: The database file; None if the store is not a file.
    """

    output: Path
    spool: Path
    artifacts: Path | None
    database: Path | None

    @classmethod
    def of(cls, access: Access, output: Path, spool: Path) -> "Places":
        """Returns the places of a store.

        Args:
            access: The store.
            output: The folder of all output.
            spool: The folder of outboxes.
        """
        file = access.uri.removeprefix("sqlite:///")
        here = access.artifacts is not None and "://" not in access.artifacts
        return cls(
            output=output.absolute(),
            spool=spool.absolute(),
            artifacts=Path(str(access.artifacts)) if here and not served(access.uri) else None,
            database=None if file == access.uri else Path(file),
        )

    @property
    def locks(self) -> Path | None:
        """The folder of the lock files of runs; None if the store is not a file."""
        return None if self.database is None else self.database.parent / LOCKS

    @property
    def roots(self) -> list[Path]:
        """The folders and files that together contain everything, none inside another."""
        named = [self.output, self.spool, self.artifacts, self.locks, *self._sides]
        every = dict.fromkeys(path.resolve() for path in named if path is not None)
        return [
            p for p in every if not any(p != other and p.is_relative_to(other) for other in every)
        ]

    def home(self, run: KnownRun) -> Path:
        """Returns the folder of a run's files on this machine."""
        return run.folder or self.output / RUNS / run.run_id

    def database_size(self, access: Access) -> int | None:
        """Returns the size of the store's database in bytes; None if it is unknown."""
        if self.database is not None:
            return self._database_file
        if not access.uri.startswith("postgresql"):
            return None
        with session(access) as opened:
            query = sqlalchemy.text("SELECT pg_database_size(current_database())")
            return int(opened.execute(query).scalar())

    @property
    def free(self) -> int:
        """Unused bytes in an SQLite file, left by deleted rows."""
        if self.database is None:
            return 0
        with closing(sqlite3.connect(self.database)) as opened:
            pages, size = (
                opened.execute(f"PRAGMA {what}").fetchone()[0]
                for what in ("freelist_count", "page_size")
            )
        return int(pages * size)

    def shrink(self) -> int:
        """Gives the unused space in an SQLite file back to the disk, completely or not at all.

        Returns:
            The number of bytes.

        Raises:
            sqlite3.OperationalError: Another process is writing to the file, or the disk has no
                room for a copy of it.
        """
        if self.database is None:
            return 0
        before = self._database_file
        with closing(sqlite3.connect(self.database, timeout=SHRINK_SECONDS)) as opened:
            opened.execute("VACUUM")
        return max(0, before - self._database_file)

    @property
    def _database_file(self) -> int:
        return sum(Scale().size(side) for side in self._sides)

    @property
    def _sides(self) -> list[Path]:
        return [Path(f"{self.database}{side}") for side in SIDES] if self.database else []
