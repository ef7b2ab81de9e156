"""The only way to a store and its artifacts, and which of MLflow's errors may be temporary."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
import sqlalchemy
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request_safe

from echo_exp.settings import redacted
from echo_exp.tracking.access import schema
from echo_exp.tracking.access.locations import local_folder, relocate
from echo_exp.tracking.settings import served

LONGEST_REASON = 500
ALONE = ("SET lock_timeout = '300s'", "SELECT pg_advisory_lock(hashtext('echo_exp'))")
"""Statements that let only one process of this program connect to PostgreSQL at a time."""

LASTING = (
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
)
"""Codes of errors that are MLflow's answer; any other code means that it could not answer."""
BROKEN = re.compile(r"\([\w.]+\.(?:OperationalError|InterfaceError|AdminShutdown)\)")
"""How SQLAlchemy reports a broken connection; a server passes the text on."""
ANSWERS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
MAY_PASS = (401, 403, 404, 408, 429)
"""HTTP errors that a proxy on the way may cause, or that changed settings may resolve."""

FIRST_ANSWER_SECONDS = 8
"""A server that does not answer the first request within this time counts as unreachable."""
EXPERIMENTS = "/api/2.0/mlflow/experiments/search"


@dataclass(frozen=True)
class Access:
    """A store that has been reached.

    Made by `reach`. Artifacts are read and written only through it, because it checks where the
    store says they are.

    Attributes:
        client: MLflow's client of the store.
        uri: The store's URI.
        artifacts: The folder or URI of artifacts in the configuration.
    """

    client: MlflowClient
    uri: str
    artifacts: str | None

    def folder(self, uri: str) -> Path | None:
        """Returns the folder of artifacts that the store names; None if it is not on this machine.

        Raises:
            UntrustedError: It is outside the folder of the configuration.
        """
        return local_folder(uri, self.artifacts)

    def place(self, uri: str) -> ArtifactRepository:
        """Returns MLflow's repository of the artifacts at a URI that the store names.

        Without the URI, MLflow would ask the store for it again.

        Raises:
            UntrustedError: It is outside the folder of the configuration.
        """
        self.folder(uri)
        return get_artifact_repository(uri, tracking_uri=self.uri)


def reach(uri: str, artifacts: str | None) -> Access:
    """Reaches a store.

    Args:
        uri: Its URI; the path of an SQLite file is absolute.
        artifacts: The folder or URI of artifacts in the configuration.

    Raises:
        ModuleNotFoundError: The database's driver is not installed.
        Exception: The store cannot be reached (see `mends`), or is no store.
    """
    if artifacts is not None and "://" not in artifacts:
        artifacts = str(Path(artifacts).absolute())
        if uri.startswith("sqlite:"):
            relocate(uri, Path(artifacts))
    if uri.startswith("sqlite:///"):
        schema.create(Path(uri.removeprefix("sqlite:///")))
    return Access(_connect(uri), uri, artifacts)


def _connect(uri: str) -> MlflowClient:
    if served(uri):
        _ask(uri)
        return MlflowClient(uri)
    with _opened(uri):
        return MlflowClient(uri)


def _ask(uri: str) -> None:
    """Sends a server one request without retries, because MLflow would retry for minutes."""
    timeout = min(FIRST_ANSWER_SECONDS, int(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")))
    http_request_safe(
        get_default_host_creds(uri),
        EXPERIMENTS,
        "GET",
        params={"max_results": 1},
        max_retries=0,
        timeout=timeout,
    )


@contextmanager
def _opened(uri: str) -> Iterator[None]:
    """Opens a database without retries, because MLflow would retry for two minutes.

    On PostgreSQL, only one process at a time: two that create the same new store at the same time
    would both migrate it. (An SQLite file is protected by a lock of the writer.)
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
    """Returns whether an error may be temporary: the store could not be reached, or is full."""
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
    """Describes an error in one line; database errors come with pages of SQL."""
    lines = str(error).strip().splitlines()
    return redacted(": ".join([type(error).__name__, *lines[:1]]))[:LONGEST_REASON]
