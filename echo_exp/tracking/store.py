"""The program's side of tracking: sends what happens in a run to the writer process."""

import atexit
import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from echo_exp.tracking.clock import Clock
from echo_exp.tracking.environment import IMPATIENT, QUIET
from echo_exp.tracking.errors import DeletedError, TrackingError, UnreachableError
from echo_exp.tracking.settings import PATIENCE, SPOOL, absolute, check_uri

SEND_SECONDS = 0.25
"""Metrics are sent to the writer, and written by it, about this often."""

PARENT_TAG = "mlflow.parentRunId"
"""The tag by which MLflow nests a run under another."""
PRUNED_TAG = "pruned"
"""The tag with the epoch at which a search stopped a run."""


Series = tuple[str, list[int], list[int], list[float]]
"""A metric's name, steps, timestamps in milliseconds since 1970, and values."""


@dataclass(frozen=True)
class Waiting:
    """Measurements that a finished run could not deliver to the store.

    Attributes:
        run_id: The run.
        measurements: Number of metric points that wait; the end of the run waits too.
        folder: The folder in which they wait.
        reason: Why they could not be delivered.
        in_vain: The file that has them, if they can never be delivered.
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
    """A run as the store records it.

    Attributes:
        run_id: Its id.
        experiment_id: The id of its experiment.
        name: Its name in the UI.
        status: RUNNING, FINISHED, FAILED or KILLED.
        tags: Its tags.
        artifacts: Folder of its artifacts; None if it is not on this machine.
        config: Its resolved configuration as YAML; None if there is none, or none was asked for.
        metrics: The last value of each of its metrics.
        latest: The latest timestamp of these values, in milliseconds since 1970.
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


@dataclass(frozen=True)
class Trained:
    """A finished run and the seeds that it has trained."""

    run: StoredRun
    seeds: range


class Store:
    """A tracking store, reached through a writer process that starts at once.

    Its arguments are those of `TrackingSettings`. A method that asks the store for something raises
    the errors of `request`.

    Raises:
        SettingError: The URI has an unknown scheme.
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
            start_new_session=True,  # Ctrl-C is for the program; the writer records its end
            env={**QUIET, **IMPATIENT, **os.environ, "PYTHONPATH": _python_path()},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._commands: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        self._requests = 0
        self._turn = threading.RLock()  # a sweep shows its progress from another thread
        atexit.register(self.close)
        settings = {  # sent on standard input: anybody can see arguments
            "uri": self.uri,
            "experiment": experiment,
            "artifacts": artifacts,
            "spool": self.spool,
            "patience": patience,
        }
        self._write(settings)

    def await_store(self, seconds: float) -> None:
        """Sets how long the next request waits for an unreachable store."""
        self.send("await_store", seconds=seconds)

    def create_run(
        self,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        files: Mapping[str, str],
        parent: str | None = None,
    ) -> "Run":
        """Creates a run and opens it for writing.

        Args:
            name: The run's name in the UI.
            tags: Its tags.
            params: Its parameters, flat.
            files: Texts to store as artifacts, by file name.
            parent: The id of the run to nest it under.
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
        self,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        files: Mapping[str, str],
        key: str,
    ) -> "Run":
        """Opens the parent run of a sweep, or creates it if there is none yet.

        Several processes may have it open at once.

        Args:
            name: The run's name in the UI.
            tags: Its tags.
            params: The parameters of a new run, flat.
            files: Texts to store as artifacts, by file name.
            key: The tag whose value identifies the sweep.
        """
        stored = self.request(
            "open_parent",
            name=name,
            tags=dict(tags),
            params=dict(params),
            files=dict(files),
            key=key,
        )
        return Run(self, stored)

    def describe(self, tags: Mapping[str, str]) -> None:
        """Sets the tags that the experiment lacks; people may have edited those that it has."""
        self.request("describe", tags=dict(tags))

    def save_view(self, tags: Mapping[str, str]) -> None:
        """Sets the experiment's tag that holds the view of a sweep, and deletes outdated views."""
        self.request("save_view", tags=dict(tags))

    def children(self, run_id: str) -> list[StoredRun]:
        """Returns the runs nested under a run, newest first, without their configurations."""
        return self.request("children", run_id=run_id)  # type: ignore[no-any-return]

    def end_lost(self, run_id: str) -> None:
        """Delivers what killed processes left of the runs under a run, and ends these runs."""
        self.request("end_lost", run_id=run_id)

    def claim(self, thing: str) -> str | None:
        """Claims something for this process; returns the process that holds it, if another does."""
        return self.request("claim", thing=thing)  # type: ignore[no-any-return]

    def release(self, thing: str) -> None:
        """Gives up a claim."""
        self.request("release", thing=thing)

    def claimed(self, things: Sequence[str]) -> dict[str, str]:
        """Returns which of these things other processes have claimed, with their holders."""
        return self.request("claimed", things=list(things))  # type: ignore[no-any-return]

    def resume_run(self, run_id: str) -> "Run":
        """Opens an unfinished run to continue it; metrics that it has are not written again."""
        return Run(self, self.request("resume", run_id=run_id))

    def find_run(self, which: str) -> StoredRun:
        """Returns a run of the experiment by its id, or the newest for ``last``.

        Raises:
            LookupError: There is none (the message names the newest runs), or it was deleted.
        """
        found = self.request("find", which=which)
        if isinstance(found, str):
            raise LookupError(found)
        return found  # type: ignore[no-any-return]

    def find_same(self, tags: Mapping[str, str]) -> StoredRun | None:
        """Returns the newest finished run with these tags, or else the newest unfinished one."""
        return self.request("same", tags=dict(tags))  # type: ignore[no-any-return]

    def find_shorter(self, tags: Mapping[str, str], epochs: int) -> StoredRun | None:
        """Returns the longest finished run with these tags that has fewer than so many epochs."""
        return self.request("shorter", tags=dict(tags), epochs=epochs)  # type: ignore[no-any-return]

    def find_trained(self, tag: str, values: Sequence[str]) -> list[Trained]:
        """Returns the finished runs whose tag has one of these values, newest first."""
        return self.request("trained", tag=tag, values=list(values))  # type: ignore[no-any-return]

    def history(self, run_id: str, last: int) -> list[Series]:
        """Returns the points of a run's curves up to epoch ``last``, with their timestamps."""
        return self.request("history", run_id=run_id, last=last)  # type: ignore[no-any-return]

    def fetch(self, run_id: str, path: str, folder: Path) -> Path:
        """Copies artifacts of a run to a folder, and returns their path in it."""
        return self.request(  # type: ignore[no-any-return]
            "fetch", run_id=run_id, path=path, folder=str(folder)
        )

    def mark(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags of a run that is not open in this process."""
        self.request("mark", run_id=run_id, tags=dict(tags))

    def send(self, command: str, **arguments: Any) -> None:
        """Sends a command that needs no answer."""
        with self._turn:
            self._write((command, arguments, None))

    def request(self, command: str, **arguments: Any) -> Any:
        """Sends a command and returns its answer.

        Raises:
            UnreachableError: The store cannot be reached.
            DeletedError: The run or the experiment was deleted in MLflow.
            TrackingError: The writer could not carry it out.
        """
        with self._turn:
            self._requests += 1
            self._write((command, arguments, self._requests))
            kind, answer = self._read(self._requests)
        if kind == "deleted":
            raise DeletedError(answer)
        if kind == "unreachable":
            raise UnreachableError(answer)
        if kind == "error":
            raise TrackingError(answer)
        return answer

    def close(self) -> None:
        """Lets the writer finish its work, and waits for it to end."""
        with contextlib.suppress(BrokenPipeError):
            self._commands.close()
        self._process.wait()
        self._answers.close()

    def _write(self, message: Any) -> None:
        try:
            pickle.dump(message, self._commands)
            self._commands.flush()
        except BrokenPipeError:
            raise TrackingError(self._read(None)[1]) from None

    def _read(self, request: int | None) -> tuple[str, Any]:
        """Returns the answer to a request, after those to requests that a signal interrupted."""
        try:
            while True:
                answered, kind, answer = pickle.load(self._answers)
                if answered in (request, None):  # None: the writer failed
                    return kind, answer
        except (EOFError, pickle.UnpicklingError):
            return "error", "the process that writes to the tracking store has ended"


@dataclass
class Run:
    """An open run, whose metrics are collected and sent a few times a second.

    Attributes:
        store: Its store.
        stored: The run as the store recorded it when it was opened.
        clock: The clock of its timestamps.
        send_seconds: Seconds after which collected metrics are sent.
    """

    store: Store
    stored: StoredRun
    clock: Clock = field(init=False)
    _metrics: list[Series] = field(default_factory=list)
    send_seconds: float = SEND_SECONDS
    _sent: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.clock = Clock(after=self.stored.latest / 1000)

    @property
    def run_id(self) -> str:
        """The run's id."""
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
            values: For each metric, its value at each step.
            timestamps: The time of each step in milliseconds since 1970; now by default.
        """
        times = list(timestamps or [int(1000 * self.clock.now())] * len(steps))
        for name, series in values.items():
            self._metrics.append((name, list(steps), times, list(series)))
        if time.monotonic() - self._sent >= self.send_seconds:
            self.flush()

    def send_every(self, seconds: float, phase: float) -> None:
        """Sets how often collected metrics are sent, if that is less often than now.

        Args:
            seconds: The time between two sendings.
            phase: The share of this time that is left out before the first, from 0 to 1. Runs with
                different phases do not all send at the same moment.
        """
        self.send_seconds = max(self.send_seconds, seconds)
        self._sent = time.monotonic() - phase * self.send_seconds

    def log_history(self, series: Sequence[Series]) -> None:
        """Records what another run has measured, with its timestamps."""
        self._metrics += series
        self.settle()

    def flush(self) -> None:
        """Sends the metrics collected so far."""
        self._sent = time.monotonic()
        if self._metrics:
            self.store.send("metrics", run_id=self.run_id, series=self._metrics)
            self._metrics = []

    def settle(self) -> None:
        """Waits until the metrics of all open runs are safe on the disk, or in the store.

        Raises:
            TrackingError: The disk has no room for them.
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
        """Copies a folder to the artifacts as ``name``; on this machine it is already there."""
        if self.stored.artifacts is None:
            self.store.send("files", run_id=self.run_id, folder=str(folder), name=name)

    def log_model(self, make: str, **arguments: Any) -> None:
        """Records the run's MLflow model.

        Args:
            make: The function that makes it in the writer process, as ``"module:function"``. It is
                called with the folder to write to and the arguments.
            arguments: Its arguments; files that they name may be deleted afterwards.

        Raises:
            TrackingError: It could not be made.
        """
        self.flush()  # the scores must be recorded before their model
        self.store.request("model", run_id=self.run_id, make=make, arguments=arguments)

    def log_content(self, file: str, content: bytes) -> None:
        """Records a file as an artifact.

        Args:
            file: Its name.
            content: Its content.
        """
        self.store.send("content", run_id=self.run_id, file=file, content=content)

    def expect_report(self, make: str) -> None:
        """Announces a report of this run, so that the writer imports early what makes it.

        Args:
            make: The function that makes it, as for `log_report`.
        """
        self.store.send("expect_report", run_id=self.run_id, make=make)

    def log_report(self, make: str, folder: Path, **arguments: Any) -> str:
        """Makes a report in the writer process, which has the store open, and records it.

        Args:
            make: The function that makes it, as ``"module:function"``. It is called with the folder
                to write to, the store, the run's id and the arguments, and returns a summary.
            folder: The folder to write to; it is copied to the artifacts as ``report``.
            arguments: Further arguments.

        Returns:
            The summary.

        Raises:
            TrackingError: It could not be made.
        """
        asked = {"make": make, "folder": str(folder.absolute()), "arguments": arguments}
        return str(self.store.request("report", run_id=self.run_id, **asked))

    def log_made(self, file: str, make: str, **arguments: Any) -> None:
        """Records a file that the writer process makes while the training continues.

        Args:
            file: Its name among the artifacts.
            make: The function that makes it, as ``"module:function"``. It is called with the path
                to write to and the arguments.
            arguments: Its arguments.
        """
        self.store.send("made", run_id=self.run_id, file=file, make=make, arguments=arguments)

    def end(self, status: str = "FINISHED", error: str | None = None) -> None:
        """Ends the run once all of it is written, without waiting for that; see `ended`.

        Args:
            status: FINISHED, FAILED or KILLED.
            error: What went wrong, if anything did.
        """
        self.flush()
        self.store.send("end", run_id=self.run_id, status=status, error=error)

    def ended(self) -> Waiting | None:
        """Waits until the run has ended.

        Returns:
            What the unavailable store did not take, and waits for `echo-exp-sync`; None if nothing.

        Raises:
            TrackingError: The store refused something; the run is then FAILED.
        """
        return self.store.request("ended", run_id=self.run_id)  # type: ignore[no-any-return]

    def finish(self, status: str = "FINISHED", error: str | None = None) -> Waiting | None:
        """Ends the run and waits until it has ended, see `end` and `ended`."""
        self.end(status, error)
        return self.ended()


def _python_path() -> str:
    return os.pathsep.join(filter(None, sys.path))
