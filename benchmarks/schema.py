"""Writes down the tables of a new local store, as the installed MLflow creates them.

python -m benchmarks.schema
"""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import sqlalchemy
from mlflow.store.db.utils import _initialize_tables

from echo_exp.tracking.access.schema import FILE, made_by


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "mlflow.db"
        migrated(store)
        FILE.write_text(f"{made_by()}\n{dumped(store)}", encoding="utf-8")


def migrated(path: Path) -> None:
    """Lets MLflow create an empty store."""
    _initialize_tables(sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.NullPool))


def dumped(path: Path) -> str:
    """Returns the SQL statements that create a database with its rows."""
    with closing(sqlite3.connect(path)) as database:
        return "\n".join(database.iterdump()) + "\n"


if __name__ == "__main__":
    main()
