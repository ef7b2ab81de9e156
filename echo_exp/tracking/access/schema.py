"""Creates a new local store quickly, from a prepared schema.

MLflow creates a database in its first version and migrates it through all later ones, which takes
seconds. `schema.sql` is the result for one version of MLflow; with any other, MLflow creates the
store itself.

    python -m benchmarks.schema    rewrites the file
"""

import os
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

FILE = Path(__file__).with_name("schema.sql")


def made_by() -> str:
    """Returns the first line of a schema file for the installed version of MLflow."""
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
