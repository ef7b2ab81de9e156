"""The one way to a store and its artifacts, and which of MLflow's errors may pass with time."""

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


FIRST_ANSWER_SECONDS = 8
"""A server that does not answer a first question in this time is away."""
EXPERIMENTS = "/api/2.0/mlflow/experiments/search"


@dataclass(frozen=True)
class Access:
    """A store that has been reached.

    Made by `reach`. Artifacts are read and written through it alone, so that nothing is believed of
    what the store says of their places.

    Attributes:
        client: MLflow's client of the store.
        uri: The store's URI.
        artifacts: The folder, or the URI, of artifacts that the configuration names.
    """

    client: MlflowClient
    uri: str
    artifacts: str | None

    def folder(self, uri: str) -> Path | None:
        """Returns the folder of artifacts that the store names, None if it is not on this machine.

        Raises:
            UntrustedError: It is not in that of the configuration.
        """
        return local_folder(uri, self.artifacts)

    def place(self, uri: str) -> ArtifactRepository:
        """Returns the place of artifacts that the store names, which MLflow would ask it again for.

        Raises:
            UntrustedError: It is not in the folder of the configuration.
        """
        self.folder(uri)
        return get_artifact_repository(uri, tracking_uri=self.uri)


def reach(uri: str, artifacts: str | None) -> Access:
    """Reaches a store.

    Args:
        uri: Its URI; the path of an SQLite file is absolute.
        artifacts: The folder, or the URI, of artifacts that the configuration names.

    Raises:
        ModuleNotFoundError: The database's driver is not installed.
        Exception: It cannot be reached (`mends`), or is none.
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
    """Asks a server one question, once, since MLflow would ask for minutes."""
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
    """Tells whether an error may pass with time: the store could not be reached, or is full."""
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
