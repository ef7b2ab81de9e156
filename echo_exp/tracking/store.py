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
"""Metrics are sent to the writer about this often, and written by it as often."""

PARENT_TAG = "mlflow.parentRunId"
"""How MLflow nests a run under another."""
PRUNED_TAG = "pruned"
"""The epoch at which a search gave up a run."""


Series = tuple[str, list[int], list[int], list[float]]
"""A metric's name, steps, timestamps in milliseconds since 1970, and values."""


@dataclass(frozen=True)
class Waiting:
    """Measurements that a finished run could not deliver to the store.

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
        self._requests = 0
        self._turn = threading.RLock()  # a sweep's standing is told from a thread of its own
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
        self,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        files: Mapping[str, str],
        key: str,
    ) -> "Run":
        """Opens the run that a sweep's jobs are nested under: the one of its ``key``, or a new one.

        Several processes may have it open at once.

        Args:
            name: The run's name in the UI.
            tags: Its tags.
            params: The parameters of a new one, flat.
            files: Texts to store as artifacts, by file name.
            key: The tag whose value tells sweeps apart.
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
        """Sets tags that the experiment does not have yet: people may have changed the others."""
        self.request("describe", tags=dict(tags))

    def save_view(self, tags: Mapping[str, str]) -> None:
        """Sets the tag of the experiment that holds the view of a sweep; old ones make room."""
        self.request("save_view", tags=dict(tags))

    def children(self, run_id: str) -> list[StoredRun]:
        """Returns the runs nested under a run, the newest first, without their configurations."""
        return self.request("children", run_id=run_id)  # type: ignore[no-any-return]

    def end_lost(self, run_id: str) -> None:
        """Delivers what the lost processes of a run's children have left, and ends the children."""
        self.request("end_lost", run_id=run_id)

    def claim(self, thing: str) -> str | None:
        """Claims something for this process; returns the holder if that is another process."""
        return self.request("claim", thing=thing)  # type: ignore[no-any-return]

    def release(self, thing: str) -> None:
        """Gives back what was claimed."""
        self.request("release", thing=thing)

    def claimed(self, things: Sequence[str]) -> dict[str, str]:
        """Returns which of some things other processes have claimed, and who they are."""
        return self.request("claimed", things=list(things))  # type: ignore[no-any-return]

    def resume_run(self, run_id: str) -> "Run":
        """Returns an unfinished run, opened to continue it; its measurements are not duplicated."""
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
        """Returns the finished run with some tags that has the most epochs below a number."""
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
        with self._turn:
            self._write((command, arguments, None))

    def request(self, command: str, **arguments: Any) -> Any:
        """Sends a command and returns its answer.

        Raises:
            UnreachableError: The store cannot be reached.
            DeletedError: What it is about was deleted in MLflow.
            TrackingError: The writer could not do it.
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
            raise TrackingError(self._read(None)[1]) from None

    def _read(self, request: int | None) -> tuple[str, Any]:
        """Returns the answer to a request; that to an earlier one, given up at a signal, is old."""
        try:
            while True:
                answered, kind, answer = pickle.load(self._answers)
                if answered in (request, None):  # the last words of a writer answer nothing
                    return kind, answer
        except EOFError:
            return "error", "the process that writes to the tracking store has ended"


@dataclass
class Run:
    """An open run; metrics are gathered and sent a few times a second.

    Attributes:
        send_seconds: Time between two sendings.
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
        if time.monotonic() - self._sent >= self.send_seconds:
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
        """Returns when the metrics of all runs are safe: on the disk, on their way to the store.

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

    def log_model(self, make: str, **arguments: Any) -> None:
        """Records the run's MLflow model.

        Args:
            make: What makes it in the writer's process: ``"module:function"``, which is called with
                the folder to write and the arguments.
            arguments: Its arguments; what they name may go afterwards.

        Raises:
            TrackingError: It could not be made.
        """
        self.flush()  # the scores go before what they are the scores of
        self.store.request("model", run_id=self.run_id, make=make, arguments=arguments)

    def log_content(self, file: str, content: bytes) -> None:
        """Records a file.

        Args:
            file: Its name among the artifacts.
            content: What is in it.
        """
        self.store.send("content", run_id=self.run_id, file=file, content=content)

    def log_report(self, make: str, folder: Path, **arguments: Any) -> str:
        """Makes a report in the writer process, which has the store open, and records it.

        Args:
            make: What makes it: ``"module:function"``, which is called with the folder to write,
                the store, the run's id and the arguments, and says in words what came out.
            folder: Where it is written; it is copied to the artifacts as ``report``.
            arguments: More arguments.

        Returns:
            What came out.

        Raises:
            TrackingError: It could not be made.
        """
        asked = {"make": make, "folder": str(folder.absolute()), "arguments": arguments}
        return str(self.store.request("report", run_id=self.run_id, **asked))

    def log_made(self, file: str, make: str, **arguments: Any) -> None:
        """Records a file that is made in the writer's process, beside the training.

        Args:
            file: Its name among the artifacts.
            make: What makes it: ``"module:function"``, which is called with the path to write and
                the arguments.
            arguments: Its arguments.
        """
        self.store.send("made", run_id=self.run_id, file=file, make=make, arguments=arguments)

    def end(self, status: str = "FINISHED", error: str | None = None) -> None:
        """Ends the run as soon as all of it is written; `ended` waits for that."""
        self.flush()
        self.store.send("end", run_id=self.run_id, status=status, error=error)

    def ended(self) -> Waiting | None:
        """Waits until the run has ended.

        Returns:
            What could not be written because the store is away, and waits for `echo-exp-sync`.

        Raises:
            TrackingError: Something was refused; the run is then FAILED.
        """
        return self.store.request("ended", run_id=self.run_id)  # type: ignore[no-any-return]

    def finish(self, status: str = "FINISHED", error: str | None = None) -> Waiting | None:
        """Ends the run and waits until it has ended, see `end` and `ended`."""
        self.end(status, error)
        return self.ended()


def _python_path() -> str:
    return os.pathsep.join(filter(None, sys.path))
