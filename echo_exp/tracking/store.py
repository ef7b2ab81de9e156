"""The program's side of tracking: sends what happens in a run to the writer process."""

import atexit
import contextlib
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from echo_exp.clock import Clock
from echo_exp.settings import SettingError, integer

SEND_SECONDS = 0.25
"""Metrics are sent to the writer about this often, and written by it as often."""

PRUNED_TAG = "pruned"
"""The epoch at which a search gave up a run."""

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")


Series = tuple[str, list[int], list[int], list[float]]
"""A metric's name, steps, timestamps in milliseconds since 1970, and values."""

SPOOL = "outputs/spool"
PATIENCE = 30
LONGEST_PATIENCE = 1_000_000

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it writes to the home folder
    "ORT_DISABLE_TELEMETRY": "1",  # so does that of ONNX Runtime
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""How libraries behave in a command, where the user's environment does not say otherwise."""

IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "PGCONNECT_TIMEOUT": "10",
}
"""How it behaves besides: nobody waits for minutes, and whoever writes tries again anyway."""


class TrackingError(RuntimeError):
    """The tracking store refused or lost something."""


class UnreachableError(TrackingError):
    """The tracking store cannot be reached, or is full."""


class DeletedError(TrackingError):
    """Somebody has deleted a run, or its experiment, in MLflow.

    Args:
        reason: What was deleted, and how it is restored.
        for_good: Whether nothing restores it.
    """

    def __init__(self, reason: str, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


@dataclass(frozen=True)
class TrackingSettings:
    """The settings of ``tracking``.

    Attributes:
        uri: MLflow tracking URI; the path of an SQLite file may be relative. None tracks nothing.
        artifacts: Folder, or URI, of the artifacts of new experiments; None leaves it to a server.
        experiment: MLflow experiment of new runs, made where it is missing.
        spool: Folder of what waits while the store is away.
        patience: Seconds that the end of a run waits for a store that is away.

    Raises:
        SettingError: One has a value that is not allowed.
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


@dataclass(frozen=True)
class Waiting:
    """What a run that has ended could not tell the store.

    Attributes:
        run_id: The run.
        measurements: How many points of metrics wait; the end of the run waits too.
        folder: Where.
        reason: Why.
        in_vain: The file that has them, where nothing can bring them to the store any more.
    """

    run_id: str
    measurements: int
    folder: Path
    reason: str
    in_vain: Path | None = None

    def __str__(self) -> str:
        end = "" if self.in_vain is None else f"; {self.in_vain} may be removed"
        return (
            f"{self.measurements:,} measurements of run {self.run_id} wait in {self.folder}: "
            f"{self.reason}{end}"
        )


@dataclass(frozen=True)
class StoredRun:
    """A run as the store knows it.

    Attributes:
        run_id: MLflow's name of the run.
        experiment_id: MLflow's name of its experiment.
        name: The run's name in the UI.
        status: RUNNING, FINISHED, FAILED or KILLED.
        tags: Its tags.
        artifacts: Folder of its artifacts where that is on this machine.
        config: Its resolved configuration as YAML, where it was written.
        metrics: The last value of each of its metrics.
        latest: The latest timestamp among these, in milliseconds since 1970.
    """

    run_id: str
    experiment_id: str
    name: str
    status: str
    tags: Mapping[str, str]
    artifacts: Path | None
    config: str | None
    metrics: Mapping[str, float]
    latest: int


def check_uri(uri: Any) -> str:
    """Returns an MLflow tracking URI where its scheme is one that holds runs.

    Raises:
        SettingError: It is not.
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


class Store:
    """A tracking store, reached through a writer process that starts at once.

    Its arguments are those of `TrackingSettings`.

    Raises:
        SettingError: The URI is of an unknown scheme.
    """

    def __init__(
        self,
        uri: str,
        artifacts: str | None = None,
        experiment: str = "echo",
        spool: str = SPOOL,
        patience: int = PATIENCE,
    ) -> None:
        self.uri = absolute(check_uri(uri))
        self.spool = str(Path(spool).absolute())
        self.patience = patience
        if artifacts is not None and "://" not in artifacts:
            artifacts = str(Path(artifacts).absolute())
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "echo_exp.tracking.writer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the program; the writer must see it end
            env={**QUIET, **IMPATIENT, **os.environ, "PYTHONPATH": _python_path()},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._commands: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        atexit.register(self.close)
        settings = {  # on its input: arguments are for everybody to see
            "uri": self.uri,
            "experiment": experiment,
            "artifacts": artifacts,
            "spool": self.spool,
            "patience": patience,
        }
        self._write(settings)

    def await_store(self, seconds: float) -> None:
        """Has the next request wait so long for a store that is away."""
        self.send("await_store", seconds=seconds)

    def create_run(
        self,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        files: Mapping[str, str],
        parent: str | None = None,
    ) -> "Run":
        """Creates a run and returns the means to write to it.

        Args:
            name: The run's name in the UI.
            tags: Its tags.
            params: Its parameters, flat.
            files: Texts to store as artifacts, by file name.
            parent: The id of the run that it is nested under.
        """
        stored = self.request(
            "create",
            name=name,
            tags=dict(tags),
            params=dict(params),
            files=dict(files),
            parent=parent,
        )
        return Run(self, stored)

    def open_parent(
        self, name: str, tags: Mapping[str, str], files: Mapping[str, str], key: str
    ) -> "Run":
        """Opens the run that a sweep's jobs are nested under: the one of its ``key``, or a new one.

        Several processes may have it open at once.

        Args:
            name: The run's name in the UI.
            tags: Its tags.
            files: Texts to store as artifacts, by file name.
            key: The tag whose value tells sweeps apart.
        """
        arguments = {"name": name, "tags": dict(tags), "files": dict(files), "key": key}
        return Run(self, self.request("open_parent", **arguments))

    def describe(self, tags: Mapping[str, str]) -> None:
        """Sets tags of the experiment, but for those that it has: people may have changed them."""
        self.request("describe", tags=dict(tags))

    def children(self, run_id: str) -> list[StoredRun]:
        """Returns the runs nested under a run, the newest first, without their configurations."""
        return self.request("children", run_id=run_id)  # type: ignore[no-any-return]

    def end_lost(self, run_id: str) -> None:
        """Delivers what the lost processes of a run's children have left, and ends the children."""
        self.request("end_lost", run_id=run_id)

    def claim(self, thing: str) -> str | None:
        """Claims something for this process; returns who has it where that is another."""
        return self.request("claim", thing=thing)  # type: ignore[no-any-return]

    def release(self, thing: str) -> None:
        """Gives back what was claimed."""
        self.request("release", thing=thing)

    def claimed(self, things: Sequence[str]) -> dict[str, str]:
        """Returns which of some things other processes have claimed, and who they are."""
        return self.request("claimed", things=list(things))  # type: ignore[no-any-return]

    def resume_run(self, run_id: str) -> "Run":
        """Returns the means to go on writing to an unfinished run; what it has is not doubled."""
        return Run(self, self.request("resume", run_id=run_id))

    def find_run(self, which: str) -> StoredRun:
        """Returns a run of the experiment by its id, or the newest for ``last``.

        Raises:
            LookupError: There is none; the message names the newest runs.
        """
        found = self.request("find", which=which)
        if isinstance(found, str):
            raise LookupError(found)
        return found  # type: ignore[no-any-return]

    def find_same(self, tags: Mapping[str, str]) -> StoredRun | None:
        """Returns the newest run with some tags that has finished, else the newest unfinished."""
        return self.request("same", tags=dict(tags))  # type: ignore[no-any-return]

    def find_shorter(self, tags: Mapping[str, str], epochs: int) -> StoredRun | None:
        """Returns, of the finished runs with some tags, that of the most epochs below a number."""
        return self.request("shorter", tags=dict(tags), epochs=epochs)  # type: ignore[no-any-return]

    def history(self, run_id: str, last: int) -> list[Series]:
        """Returns the points of a run's curves up to an epoch, as they were measured."""
        return self.request("history", run_id=run_id, last=last)  # type: ignore[no-any-return]

    def fetch(self, run_id: str, path: str, folder: Path) -> Path:
        """Copies artifacts of a run to a folder, and returns where they are there."""
        return self.request(  # type: ignore[no-any-return]
            "fetch", run_id=run_id, path=path, folder=str(folder)
        )

    def mark(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags of a run that is not open here."""
        self.request("mark", run_id=run_id, tags=dict(tags))

    def send(self, command: str, **arguments: Any) -> None:
        """Sends a command that needs no answer."""
        self._write((command, arguments))

    def request(self, command: str, **arguments: Any) -> Any:
        """Sends a command and returns its answer.

        Raises:
            UnreachableError: The store cannot be reached.
            DeletedError: What it is about was deleted in MLflow.
            TrackingError: The writer could not do it.
        """
        self._write((command, arguments))
        kind, answer = self._read()
        if kind == "deleted":
            raise DeletedError(answer)
        if kind == "unreachable":
            raise UnreachableError(answer)
        if kind == "error":
            raise TrackingError(answer)
        return answer

    def close(self) -> None:
        """Lets the writer write what it has, and waits for its end."""
        with contextlib.suppress(BrokenPipeError):
            self._commands.close()
        self._process.wait()
        self._answers.close()

    def _write(self, message: Any) -> None:
        try:
            pickle.dump(message, self._commands)
            self._commands.flush()
        except BrokenPipeError:
            raise TrackingError(self._read()[1]) from None

    def _read(self) -> tuple[str, Any]:
        try:
            kind, answer = pickle.load(self._answers)
        except EOFError:
            return "error", "the process that writes to the tracking store has ended"
        return kind, answer


@dataclass
class Run:
    """An open run; metrics are gathered and sent a few times a second."""

    store: Store
    stored: StoredRun
    clock: Clock = field(init=False)
    _metrics: list[Series] = field(default_factory=list)
    _sent: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.clock = Clock(after=self.stored.latest / 1000)

    @property
    def run_id(self) -> str:
        """MLflow's name of the run."""
        return self.stored.run_id

    def log_metrics(
        self,
        steps: Sequence[int],
        values: Mapping[str, Sequence[float]],
        timestamps: Sequence[int] | None = None,
    ) -> None:
        """Records metrics.

        Args:
            steps: Tutorial epochs, counted from 1.
            values: For each metric its value at each step.
            timestamps: Milliseconds since 1970 of each step; now, where not given.
        """
        times = list(timestamps or [int(1000 * self.clock.now())] * len(steps))
        for name, series in values.items():
            self._metrics.append((name, list(steps), times, list(series)))
        if time.monotonic() - self._sent >= SEND_SECONDS:
            self.flush()

    def log_history(self, series: Sequence[Series]) -> None:
        """Records what another run has measured, with its times."""
        self._metrics += series
        self.settle()

    def flush(self) -> None:
        """Sends the metrics gathered so far."""
        self._sent = time.monotonic()
        if self._metrics:
            self.store.send("metrics", run_id=self.run_id, series=self._metrics)
            self._metrics = []

    def settle(self) -> None:
        """Returns when the metrics are safe: on the disk, on their way to the store.

        Raises:
            TrackingError: There is no room for them.
        """
        self.flush()
        self.store.request("settle")

    def set_tag(self, key: str, value: str) -> None:
        """Sets a tag."""
        self.store.send("tag", run_id=self.run_id, key=key, value=value)

    def log_table(self, columns: Mapping[str, Sequence[Any]], file: str) -> None:
        """Records a table as an artifact."""
        self.store.send("table", run_id=self.run_id, columns=dict(columns), file=file)

    def log_files(self, folder: Path, name: str) -> None:
        """Copies a folder to the artifacts, under ``name``, where it does not lie there already."""
        if self.stored.artifacts is None:
            self.store.send("files", run_id=self.run_id, folder=str(folder), name=name)

    def log_model(self, network: Path) -> None:
        """Records an exported network as the run's MLflow model.

        Args:
            network: The folder that `echo_exp.export.network.export_pt2` wrote; it may go then.

        Raises:
            TrackingError: It could not be packed.
        """
        self.flush()  # the scores go before what they are the scores of
        self.store.request("model", run_id=self.run_id, network=str(network))

    def log_frame(self, columns: Mapping[str, Any], file: str) -> None:
        """Records a table too large to look at as a Parquet file."""
        self.store.send("frame", run_id=self.run_id, columns=dict(columns), file=file)

    def log_learning_curve(self, curves: Mapping[str, Any], loss_name: str) -> None:
        """Draws losses and accuracies as ``learning_curve.png``, see `echo_exp.figures`."""
        self.store.send(
            "learning_curve", run_id=self.run_id, curves=dict(curves), loss_name=loss_name
        )

    def finish(self, status: str = "FINISHED", error: str | None = None) -> Waiting | None:
        """Ends the run once all of it is written.

        Returns:
            What could not be written because the store is away, and waits for `echo-exp-sync`.

        Raises:
            TrackingError: Something was refused; the run is then FAILED.
        """
        self.flush()
        return self.store.request(  # type: ignore[no-any-return]
            "finish", run_id=self.run_id, status=status, error=error
        )


def absolute(uri: str) -> str:
    """Returns a URI with the path of an SQLite file made absolute: others look from elsewhere."""
    path = uri.removeprefix("sqlite:///")
    return uri if path == uri else f"sqlite:///{Path(path).absolute()}"


def existing(settings: TrackingSettings, made_by: str = "echo-exp") -> str:
    """Returns the URI of a store to read from: MLflow would make a file that is not there.

    Args:
        settings: The store.
        made_by: The command that makes what is looked for.

    Raises:
        SettingError: There is none.
    """
    if settings.uri is None:
        raise SettingError("tracking.uri", None, "it must name the store that has the runs")
    uri = absolute(check_uri(settings.uri))
    file = uri.removeprefix("sqlite:///")
    if file != uri and not Path(file).exists():
        reason = (
            f"there is no such store yet; `{made_by}` makes it, output_dir= names another place"
        )
        raise SettingError("tracking.uri", uri, reason)
    return uri


def _python_path() -> str:
    return os.pathsep.join(filter(None, sys.path))
