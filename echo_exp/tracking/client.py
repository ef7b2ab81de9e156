"""How MLflow is reached, what may be written on its word, and which of its errors waiting mends."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
import sqlalchemy
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from echo_exp.settings import redacted

LONGEST_REASON = 500
REMOTE = (
    *("abfss", "dbfs", "ftp", "gs", "hdfs", "http", "https"),
    *("mlflow-artifacts", "r2", "s3", "sftp", "wasbs"),
)
"""Schemes of artifacts that lie on no file system of this machine."""

ALONE = ("SET lock_timeout = '60s'", "SELECT pg_advisory_lock(hashtext('echo_exp'))")
"""What makes a connection to PostgreSQL the only one of this program, until it is closed."""

LASTING = (
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
)
"""Codes of MLflow's errors that are answers; any other says that it could not answer."""
BROKEN = re.compile(r"\([\w.]+\.(?:OperationalError|InterfaceError|AdminShutdown)\)")
"""How SQLAlchemy words a connection that broke, also where a server passes its words on."""
ANSWERS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
MAY_PASS = (401, 403, 404, 408, 429)
"""HTTP's refusals that come from something on the way, or go away with its settings."""


class UntrustedError(RuntimeError):
    """The store wants artifacts where the configuration has not put any."""


def connect(uri: str) -> MlflowClient:
    """Returns a client of a store.

    Raises:
        ModuleNotFoundError: The database's driver is not installed.
        Exception: It cannot be reached (`mends`), or is none.
    """
    if uri.startswith(("http://", "https://")):
        return MlflowClient(uri)
    with _opened(uri):
        return MlflowClient(uri)


@contextmanager
def _opened(uri: str) -> Iterator[None]:
    """Opens a database once, since MLflow would try for two minutes; on PostgreSQL one at a time.

    Two that make the same new store at the same time would both migrate it. (Of a file the writer
    has a lock.)
    """
    try:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    except ModuleNotFoundError as error:
        named = "'echo_exp[postgres]'" if error.name == "psycopg" else error.name
        reason = f"its driver {error.name} is not installed: pip install {named}"
        raise ModuleNotFoundError(reason) from None
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            for statement in ALONE:
                connection.execute(sqlalchemy.text(statement))
        yield


def mends(error: BaseException) -> bool:
    """Tells whether waiting may mend an error: the store could not be reached, or is full."""
    if isinstance(error, MlflowException):
        broken = isinstance(error.__cause__, sqlalchemy.exc.PendingRollbackError)
        broken = broken or BROKEN.search(str(error)) is not None
        return broken or error.error_code not in LASTING
    if isinstance(error, requests.RequestException) and error.response is not None:
        status = error.response.status_code
        return status >= 500 or status in MAY_PASS
    if isinstance(error, sqlalchemy.exc.SQLAlchemyError):
        return isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError)
    return isinstance(error, OSError) and not isinstance(error, ANSWERS)


def reason(error: BaseException) -> str:
    """Says in one line what went wrong; database errors come with pages of SQL."""
    lines = str(error).strip().splitlines()
    return redacted(": ".join([type(error).__name__, *lines[:1]]))[:LONGEST_REASON]


def local_folder(uri: str, allowed: str | None) -> Path | None:
    """Returns the folder of artifacts that a store names, None where it is on no file system.

    A store is not believed: whoever writes to it could have any file of this machine overwritten.

    Args:
        uri: What the store says.
        allowed: The folder of the configuration, in which it must lie.

    Raises:
        UntrustedError: It does not, or its scheme is unknown.
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


def _inside(folder: Path, allowed: Path) -> bool:
    return folder.resolve().is_relative_to(allowed.resolve())


def repository(uri: str, allowed: str | None, store: str) -> ArtifactRepository:
    """Returns the place of a run's artifacts, once it has passed `local_folder`.

    MLflow's client would ask the store for it again at each artifact.
    """
    local_folder(uri, allowed)
    return get_artifact_repository(uri, tracking_uri=store)
