"""Where a store's artifacts are on this machine, whatever path the store has for them.

MLflow writes the absolute path of every experiment, run and model into its database. A folder with
a database and its artifacts may since have been moved or copied, and other machines may see it
under another path. So no path from a store is used unchecked: a path outside the folder of the
configuration is taken for the same place inside it.
"""

import re
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

REMOTE = (
    *("abfss", "dbfs", "ftp", "gs", "hdfs", "http", "https"),
    *("mlflow-artifacts", "r2", "s3", "sftp", "wasbs"),
)
"""Schemes of artifacts that are not in this machine's file system."""

PATHS = (
    (SqlExperiment, "artifact_location", 0),  # <artifacts>
    (SqlRun, "artifact_uri", 2),  # <artifacts>/<run>/artifacts
    (SqlLoggedModel, "artifact_location", 3),  # <artifacts>/models/<model>/artifacts
    (SqlModelVersion, "storage_location", 3),
    (SqlModelVersion, "source", 3),
)
"""The columns of MLflow's database that hold paths.

With each: how many trailing parts of the path identify a place in the folder of artifacts.
"""

_roots: dict[URL, Path] = {}


class UntrustedError(RuntimeError):
    """The store names a folder of artifacts that the configuration does not allow."""


def check_run_id(run_id: str) -> None:
    """Checks that the id of a run can be the name of a folder and leads to no other place.

    Args:
        run_id: The id, as the store has it.

    Raises:
        UntrustedError: It has other characters than letters, digits, ``_`` and ``-``.
    """
    if not re.fullmatch(r"[\w-]+", run_id):
        raise UntrustedError(
            f"the store has a run with the id {run_id!r}, which is no id of MLflow"
        )


def local_folder(uri: str, allowed: str | None) -> Path | None:
    """Returns the folder of artifacts that a store names; None if it is not on this machine.

    The store is not trusted: anybody who writes to it could have files of this machine overwritten.

    Args:
        uri: Where the store says the artifacts are.
        allowed: The folder of artifacts in the configuration.

    Raises:
        UntrustedError: The artifacts are outside that folder, or the scheme is unknown.
    """
    parts = urlsplit(uri)
    if parts.scheme in REMOTE:
        return None
    folder = Path(unquote(parts.path))
    inside = allowed is not None and "://" not in allowed and _inside(folder, Path(allowed))
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost") or not inside:
        raise UntrustedError(
            f"the store has its artifacts in {uri}, which is not in tracking.artifacts={allowed}"
        )
    return folder


def relocate(database: str, root: Path) -> None:
    """Makes this process map all paths that it reads from a database into a folder, see `here`.

    The database is not changed: other machines may see the folder under its paths.

    Args:
        database: The database's URI.
        root: The folder of its artifacts on this machine.
    """
    _listen()
    _roots[_key(make_url(database))] = root


def here(uri: str, root: Path, least: int) -> str:
    """Maps a path that a store names into the folder of its artifacts.

    Args:
        uri: The path, or its URI. A URI that is not in a file system is returned as it is.
        root: The folder of the artifacts on this machine.
        least: How many trailing parts of the path identify a place in the folder.

    Returns:
        The path itself if it is inside the folder; else its longest trailing part that exists in
        the folder; if none exists, the place of its last ``least`` parts.
    """
    found = urlsplit(uri)
    if found.scheme not in ("", "file"):
        return uri
    path = PurePosixPath(unquote(found.path))
    safe = ".." not in path.parts
    if safe and found.netloc in ("", "localhost") and path.is_relative_to(root):
        return uri
    named = [part for part in path.parts if part not in (path.anchor, "..")]
    ends = [named[first:] for first in range(len(named))] if safe else []
    there = next((end for end in ends if root.joinpath(*end).exists()), None)
    end = there if there is not None else named[len(named) - least :] if least else []
    return root.joinpath(*end).as_uri()


def _inside(folder: Path, allowed: Path) -> bool:
    return folder.resolve().is_relative_to(allowed.resolve())


def _key(url: URL) -> URL:
    return url.set(query={})


@cache
def _listen() -> None:
    for entity, column, least in PATHS:
        for name in ("load", "refresh"):
            event.listen(entity, name, _listener(column, least))


def _listener(column: str, least: int) -> Any:
    def loaded(target: Any, context: Any, *_: Any) -> None:
        session: Session = context.session
        root = _roots.get(_key(session.get_bind().engine.url))
        path = target.__dict__.get(column)  # absent if MLflow did not load it
        if root is not None and path is not None:
            set_committed_value(target, column, here(path, root, least))

    return loaded
