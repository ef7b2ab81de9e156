"""Delivers an outbox to the store: in order, exactly once, and in the background."""

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.tracking import MlflowClient

from echo_exp.tracking.access.connection import Access, mends, reason
from echo_exp.tracking.access.deletions import deletion
from echo_exp.tracking.access.logged_models import log_model
from echo_exp.tracking.errors import DeletedError
from echo_exp.tracking.store import Series, Waiting
from echo_exp.tracking.ui import markdown
from echo_exp.tracking.ui.view import NOTE_TAG
from echo_exp.tracking.writer.outbox import Operation, Outbox

RETRY_SECONDS = 2.0
ATTEMPT_SECONDS = 25.0
"""Time that a working store may need for one operation; SQLite waits 20 s for a lock."""
BATCH = 1000
"""MLflow's limit on the metrics in one request."""
ERROR_TAG = "error"
TABLES_TAG = "mlflow.loggedArtifacts"
"""The tag in which MLflow's UI looks for tables."""
KILLED = "the process was killed before the run had ended"


class Delivery:
    """Carries out the operations of an outbox, each a method of the same name.

    Repeating an operation changes nothing: MLflow identifies a point by its step, timestamp and
    value, and everything else is written as a whole.

    Args:
        access: The store.
        outbox: The operations to deliver.
        artifacts: Where the run's artifacts go.
        written: For each metric, the last step in the store; up to it nothing is written again.

    Attributes:
        failures: What the store refused permanently, and why.
        uploading: Whether a folder, which may be large, is being copied.
    """

    def __init__(
        self,
        access: Access,
        outbox: Outbox,
        artifacts: ArtifactRepository,
        written: Mapping[str, int],
    ) -> None:
        self.access = access
        self.client = access.client
        self.outbox = outbox
        self.artifacts = artifacts
        self.written = written
        self.failures: list[str] = []
        self.uploading = False

    @property
    def run_id(self) -> str:
        """The run that is written to."""
        return self.outbox.run_id

    def next(self) -> bool:
        """Delivers the first waiting operation; returns whether there was one.

        Raises:
            DeletedError: The run was deleted; the operation continues to wait.
            Exception: The store cannot be reached; likewise.
        """
        line = self.outbox.first()
        if line is None:
            return False
        operation = json.loads(line)
        self.carry_out(operation)
        self.outbox.delivered(line, operation)
        return True

    def carry_out(self, operation: Operation) -> None:
        """Carries out an operation; a permanent refusal is added to `failures`.

        Args:
            operation: The operation.

        Raises:
            DeletedError: The run was deleted.
            Exception: The store cannot be reached.
        """
        arguments = dict(operation)
        name = arguments.pop("do")
        self.uploading = name in ("files", "model", "report")
        try:
            getattr(self, name)(**arguments)
        except Exception as error:
            deleted = deletion(self.client, error)
            if deleted is not None:
                raise deleted from error
            if mends(error):
                raise
            self.failures.append(f"{name}: {reason(error)}")
        finally:
            self.uploading = False

    def metrics(self, series: Sequence[Series]) -> None:
        """Writes points, in the order of their steps."""
        points = [
            Metric(name, float(value), timestamp, step)
            for name, steps, times, values in series
            for step, timestamp, value in zip(steps, times, values, strict=True)
            if step > self.written.get(name, -1)
        ]
        points.sort(key=lambda point: point.step)
        while points:
            size = request_size(points)
            self.client.log_batch(self.run_id, metrics=points[:size])
            del points[:size]

    def tag(self, key: str, value: str) -> None:
        """Sets a tag."""
        self.client.set_tag(self.run_id, key, value)

    def table(self, file: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Writes a table in MLflow's format, and the tag by which its UI finds it."""
        rows = list(zip(*columns.values(), strict=True))
        text = json.dumps({"columns": list(columns), "data": rows}, ensure_ascii=False)
        log_text(self.artifacts, text, file)
        tags = self.client.get_run(self.run_id).data.tags
        known = _listed(tags.get(TABLES_TAG, "[]"))
        entry = {"path": file, "type": "table"}
        if entry not in known:
            self.client.set_tag(self.run_id, TABLES_TAG, json.dumps([*known, entry]))

    def artifact(self, file: str) -> None:
        """Copies a file from the outbox's folder."""
        self.artifacts.log_artifact(str(self.outbox.folder / file))

    def files(self, folder: str, name: str) -> None:
        """Copies a folder, as ``name``."""
        if not Path(folder).is_dir():
            raise LookupError(f"{folder} is gone")
        self.artifacts.log_artifacts(folder, name)

    def report(self, folder: str) -> None:
        """Copies a report; if that is refused the run does not fail, as it can be made again."""
        try:
            self.artifacts.log_artifacts(folder, "report")
        except Exception as error:
            if mends(error) or deletion(self.client, error) is not None:
                raise

    def model(self, folder: str) -> None:
        """Logs the model in a folder inside the outbox's folder."""
        log_model(self.access, self.run_id, self.outbox.folder / folder)

    def finish(self, status: str, error: str | None, time: int, failures: Sequence[str]) -> None:
        """Ends the run, as FAILED if anything was refused, now or before.

        A run that another machine has resumed and finished stays FINISHED.

        Args:
            status: FINISHED, FAILED or KILLED.
            error: What went wrong in the run, if anything did.
            time: When it ended, in milliseconds since 1970.
            failures: What had been refused when the program ended the run.
        """
        refused = list(dict.fromkeys([*failures, *self.failures]))
        if refused:
            status, error = "FAILED", "; ".join(filter(None, [error, *refused]))
        if status != "FINISHED" and self._finished():
            return
        if error is not None:
            self._explain(error)
        self.client.set_terminated(self.run_id, status, time)

    def _finished(self) -> bool:
        return bool(self.client.get_run(self.run_id).info.status == "FINISHED")

    def _explain(self, error: str) -> None:
        """Records what went wrong, and begins the run's description with it."""
        self.client.set_tag(self.run_id, ERROR_TAG, error)
        note = self.client.get_run(self.run_id).data.tags.get(NOTE_TAG, "")
        if not note.startswith(markdown.BOLD):
            note = markdown.text(markdown.headline(f"It failed: {error}"), note)
            self.client.set_tag(self.run_id, NOTE_TAG, note)


class Turns:
    """Makes runs that are open at the same time deliver in turn.

    SQLite allows one writer at a time, and makes the others wait far longer than necessary.

    Attributes:
        lock: Held during a delivery.
        answered: When the store last accepted something of any run.
        delivery: The delivery of the run whose turn it is.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answered = time.monotonic()
        self.delivery: Delivery | None = None

    @property
    def uploading(self) -> bool:
        """Whether a folder, which may be large, is being copied."""
        delivery = self.delivery
        return delivery is not None and delivery.uploading


class Courier(threading.Thread):
    """Delivers an outbox in the background, and tries again if that fails.

    Args:
        delivery: Carries out the operations.
        turns: Shared by all couriers of the process.

    Attributes:
        trouble: Why the store accepts nothing; None while it does.
        complete: Whether the last operation has been added.
    """

    def __init__(self, delivery: Delivery, turns: Turns) -> None:
        super().__init__(daemon=True)
        self.delivery = delivery
        self.turns = turns
        self.outbox = delivery.outbox
        self.trouble: Exception | None = None
        self.complete = False
        self._began = time.monotonic()
        self._stopped = False
        self._news = threading.Condition()

    def put(self, operation: Operation) -> None:
        """Adds an operation to the outbox."""
        self.outbox.put(operation)
        if self.trouble is None:
            self._wake()

    def run(self) -> None:
        """Delivers until it is stopped."""
        while not self._stopped:
            try:
                self.outbox.write()
                while not self._stopped and self._next():
                    self._tell(None)
            except Exception as error:
                self._tell(error)
            with self._news:
                if not self._stopped and (self.trouble is not None or self.outbox.empty):
                    self._news.wait(RETRY_SECONDS)

    def put_last(self, operation: Operation) -> None:
        """Adds the last operation, once, and starts the time limit for an unavailable store."""
        if not self.complete:
            self._began = time.monotonic()
            self.put(operation)
            self.complete = True

    def delivered(self, patience: float) -> bool:
        """Waits until the outbox is empty; returns whether everything was delivered.

        Args:
            patience: Seconds to wait for a store that does not answer, counted from when the last
                operation was added or the store last accepted something of any run.
        """
        self._wake()
        with self._news:
            while not self.outbox.empty:
                if isinstance(self.trouble, DeletedError):
                    return False
                works = self.trouble is None
                allowed = max(patience, ATTEMPT_SECONDS) if works else patience
                left = max(self._began, self.turns.answered) + allowed - time.monotonic()
                if left <= 0 and not (works and self.turns.uploading):
                    return False
                self._news.wait(max(left, 1.0))
        return True

    def stop(self) -> None:
        """Makes this attempt the last one."""
        self._stopped = True
        self._wake()

    def waiting(self) -> Waiting:
        """Returns what has not been delivered, and why."""
        return kept(self.outbox, self.trouble or TimeoutError("it does not answer"))

    def _next(self) -> bool:
        with self.turns.lock:
            self.turns.delivery = self.delivery
            return self.delivery.next()

    def _tell(self, trouble: Exception | None) -> None:
        with self._news:
            self.trouble = trouble
            if trouble is None:
                self.turns.answered = time.monotonic()
            self._news.notify_all()

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()


def deliver(access: Access, outbox: Outbox) -> list[str]:
    """Delivers what a run left behind, ends the run if its process could not, removes the outbox.

    Args:
        access: The store.
        outbox: The outbox that the run left.

    Returns:
        What the store refused permanently, and why.

    Raises:
        DeletedError: The run was deleted; the rest continues to wait.
        Exception: The store cannot be reached; likewise.
    """
    client = access.client
    try:
        run = client.get_run(outbox.run_id)
    except MlflowException as error:
        raise deletion(client, error) or error from None
    artifacts = access.place(run.info.artifact_uri)
    delivery = Delivery(access, outbox, artifacts, last_steps(client, outbox.run_id))
    while delivery.next():
        pass
    if client.get_run(outbox.run_id).info.status == "RUNNING":
        delivery.carry_out(finish("FAILED", KILLED))
    outbox.remove()
    return delivery.failures


def kept(outbox: Outbox, error: Exception) -> Waiting:
    """Returns what waits in an outbox, and why it could not be delivered."""
    why, in_vain = f"the tracking store cannot be reached ({reason(error)})", None
    if isinstance(error, DeletedError):
        why, in_vain = str(error), outbox.path if error.for_good else None
    return Waiting(outbox.run_id, outbox.measurements, outbox.path.parent, why, in_vain)


def finish(status: str, error: str | None, failures: Sequence[str] = ()) -> Operation:
    """Returns the operation that ends a run now, see `Delivery.finish`."""
    now = int(1000 * time.time())
    return {"do": "finish", "status": status, "error": error, "time": now, "failures": failures}


def last_steps(client: MlflowClient, run_id: str) -> dict[str, int]:
    """Returns the last step in the store of each metric of a run."""
    return {
        key: max(point.step for point in client.get_metric_history(run_id, key))
        for key in client.get_run(run_id).data.metrics
    }


def _listed(text: str) -> list[Any]:
    """Returns the list in a tag; an empty one if people have put something else there."""
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        return found if isinstance(found, list) else []
    return []


def log_text(artifacts: ArtifactRepository, text: str, file: str) -> None:
    """Writes a text as an artifact."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_text(text, encoding="utf-8")
        artifacts.log_artifact(str(path))


def request_size(metrics: Sequence[Metric]) -> int:
    """Returns how many metrics go into the next request.

    No step is split between two requests, unless it alone has more metrics than one may have.
    """
    most = size = min(BATCH, len(metrics))
    while 0 < size < len(metrics) and metrics[size].step == metrics[size - 1].step:
        size -= 1
    return size or most
