"""Where a store, and what belongs to it, lie on this machine; and how large its database is."""

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
"""Folder of the runs whose artifacts are not on this machine, or that are not tracked."""
LOCKS = ".locks"
SIDES = ("", "-wal", "-shm", "-journal")
"""What SQLite adds to the name of a database for the files beside it."""
SHRINK_SECONDS = 20
"""So long a database is waited for that others write to."""


@dataclass(frozen=True)
class Places:
    """Where all of it lies.

    Attributes:
        output: The folder of all output.
        spool: The folder of outboxes.
        artifacts: The folder of artifacts; None where they are elsewhere.
        database: The file of the store; None where it is none.
    """

    output: Path
    spool: Path
    artifacts: Path | None
    database: Path | None

    @classmethod
    def of(cls, access: Access, output: Path, spool: Path) -> "Places":
        """Returns the places of a store that has been reached."""
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
        """The folder of the locks on runs, where the store is a file."""
        return None if self.database is None else self.database.parent / LOCKS

    @property
    def roots(self) -> list[Path]:
        """Folders and files that hold all, none of them inside another."""
        named = [self.output, self.spool, self.artifacts, self.locks, *self._sides]
        every = dict.fromkeys(path.resolve() for path in named if path is not None)  # as links go
        return [
            p for p in every if not any(p != other and p.is_relative_to(other) for other in every)
        ]

    def home(self, run: KnownRun) -> Path:
        """Returns the folder of what a run has on this machine."""
        return run.folder or self.output / RUNS / run.run_id

    def database_size(self, access: Access) -> int | None:
        """Returns the bytes of the store's database; None where they cannot be told."""
        if self.database is not None:
            return self._database_file
        if not access.uri.startswith("postgresql"):
            return None
        with session(access) as opened:
            query = sqlalchemy.text("SELECT pg_database_size(current_database())")
            return int(opened.execute(query).scalar())

    @property
    def free(self) -> int:
        """Bytes in an SQLite file that deleted rows have left free."""
        if self.database is None:
            return 0
        with closing(sqlite3.connect(self.database)) as opened:
            pages, size = (
                opened.execute(f"PRAGMA {what}").fetchone()[0]
                for what in ("freelist_count", "page_size")
            )
        return int(pages * size)

    def shrink(self) -> int:
        """Returns free space in an SQLite file to the disk, completely or not at all.

        Returns:
            So many bytes.

        Raises:
            sqlite3.OperationalError: Others are writing to it, or the disk has no room for a copy.
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
