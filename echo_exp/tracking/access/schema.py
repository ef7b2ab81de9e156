"""Creates a new local store quickly, from a prepared schema.

MLflow makes a database in its first version and migrates it through all that followed, which takes
seconds. `schema.sql` is what it comes to, for one version of MLflow; with any other MLflow makes
the store itself.

    python -m benchmarks.schema    writes the file anew
"""

import os
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

FILE = Path(__file__).with_name("schema.sql")


def made_by() -> str:
    """Returns the first line of the file, which names the version of MLflow."""
    return f"-- MLflow {version('mlflow')}"


def create(path: Path) -> None:
    """Creates a store if there is none yet, completely or not at all."""
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
