"""A new local store at once.

MLflow makes a database in its first version and migrates it through all that followed, which takes
seconds. `schema.sql` is what it comes to, for one version of MLflow; with any other MLflow makes
the store itself.

    python -m echo_exp.tracking.access.schema    writes the file anew
"""

import os
import sqlite3
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import sqlalchemy
from mlflow.store.db.utils import _initialize_tables

FILE = Path(__file__).with_name("schema.sql")


def made_by() -> str:
    """Returns the first line of the file, which names the version of MLflow."""
    return f"-- MLflow {version('mlflow')}"


def create(path: Path) -> None:
    """Makes a store where there is none yet, whole or not at all."""
    if path.exists():
        return
    with FILE.open(encoding="utf-8") as file:
        if file.readline().strip() != made_by():
            return
        statements = file.read()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    with closing(sqlite3.connect(partial)) as database:
        database.executescript(statements)
    partial.replace(path)


def dumped(path: Path) -> str:
    """Returns the statements that make a database with its rows."""
    with closing(sqlite3.connect(path)) as database:
        return "\n".join(database.iterdump()) + "\n"


def migrated(path: Path) -> None:
    """Has MLflow make an empty store."""
    _initialize_tables(sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.NullPool))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "mlflow.db"
        migrated(store)
        FILE.write_text(f"{made_by()}\n{dumped(store)}", encoding="utf-8")
