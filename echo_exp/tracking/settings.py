"""The settings of a tracking store, and the addresses it may have."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from echo_exp.settings import SettingError, integer

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")
LAST = "last"
"""What names the newest run or sweep where an id is asked for."""
CONFIG = "config.yaml"
"""The artifact of a run that holds its whole configuration."""
SPOOL = "outputs/spool"
PATIENCE = 30
LONGEST_PATIENCE = 1_000_000


@dataclass(frozen=True)
class TrackingSettings:
    """The settings of ``tracking``.

    Attributes:
        uri: MLflow tracking URI; the path of an SQLite file may be relative. None tracks nothing.
        artifacts: Folder or URI of the artifacts of new experiments; None lets the server choose.
        experiment: MLflow experiment of new runs, created if it does not exist.
        spool: Folder in which measurements wait while the store is unavailable.
        patience: Seconds that the end of a run waits for an unavailable store.

    Raises:
        SettingError: A setting has a value that is not allowed.
    """

    uri: str | None
    artifacts: str | None = None
    experiment: str = "echo"
    spool: str = SPOOL
    patience: int = PATIENCE

    def __post_init__(self) -> None:
        integer("tracking.patience", self.patience, 0, LONGEST_PATIENCE)
        if not (isinstance(self.spool, str) and self.spool):
            raise SettingError("tracking.spool", self.spool, "it must be a folder")


LOCAL = TrackingSettings("sqlite:///outputs/mlflow.db", "outputs/artifacts")
"""The store that `echo-exp` writes to by default."""


def check_uri(uri: Any) -> str:
    """Returns an MLflow tracking URI after checking that a store of its scheme can hold runs.

    Raises:
        SettingError: It cannot.
    """
    scheme = urlsplit(uri).scheme.split("+")[0] if isinstance(uri, str) else None
    if scheme not in SCHEMES:
        raise SettingError(
            "tracking.uri",
            uri,
            "it must be a database or a server of MLflow, one of "
            + ", ".join(f"{scheme}://" for scheme in SCHEMES),
        )
    return str(uri)


def served(uri: str) -> bool:
    """Returns whether a store is a server, whose database and artifacts may be elsewhere."""
    return uri.startswith(("http://", "https://"))


def absolute(uri: str) -> str:
    """Returns a URI whose SQLite path is absolute, for processes that run in other folders."""
    path = uri.removeprefix("sqlite:///")
    return uri if path == uri else f"sqlite:///{Path(path).absolute()}"


def existing(settings: TrackingSettings, made_by: str = "echo-exp") -> str:
    """Returns the URI of an existing store to read from: MLflow would create a missing file.

    Args:
        settings: The store.
        made_by: The command that creates it, for the message.

    Raises:
        SettingError: There is no such store.
    """
    if settings.uri is None:
        raise SettingError("tracking.uri", None, "it must name the store that has the runs")
    uri = absolute(check_uri(settings.uri))
    if not may_exist(uri):
        reason = (
            f"there is no such store yet; `{made_by}` creates it, output_dir= names another folder"
        )
        raise SettingError("tracking.uri", uri, reason)
    return uri


def may_exist(uri: str) -> bool:
    """Returns whether a store may exist: False only for a missing SQLite file."""
    file = absolute(uri).removeprefix("sqlite:///")
    return file == absolute(uri) or Path(file).exists()
