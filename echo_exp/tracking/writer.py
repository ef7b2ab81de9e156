"""The writer process: does all that the program asks of MLflow, in order.

It reads commands from its standard input and answers on its standard output. When the input ends
while a run is open, the program was killed: what had arrived is written and the run is marked
FAILED. Metrics are written soon after they arrive; what cannot be written waits and is tried
again, and the run does not end as FINISHED without it.
"""

import contextlib
import logging
import os
import pickle
import queue
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it writes to the home folder
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

from filelock import FileLock, Timeout  # noqa: E402
from mlflow.entities import Experiment, Metric, Param  # noqa: E402
from mlflow.entities import Run as MlflowRun  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

from echo_exp.tracking.store import StoredRun  # noqa: E402

WRITE_SECONDS = 0.25
BATCH = 1000
"""MLflow's limit of metrics in one request."""
PARENT_TAG = "mlflow.parentRunId"
ERROR_TAG = "error"
ANSWERED = ("create", "resume", "find", "same", "parent", "settle", "finish")
"""Commands that the program waits for; the others are carried out behind its back."""

Series = tuple[str, list[int], list[int], list[float]]


class Writer:
    """Carries out commands on one store, each a method of the command's name."""

    def __init__(self, uri: str, experiment: str, artifacts: str) -> None:
        self.uri = uri
        self.locks = _lock_folder(uri)
        self.client, self.experiment = self._open(uri, experiment, artifacts)
        self.pending: dict[str, list[Metric]] = defaultdict(list)
        self.written: dict[tuple[str, str], int] = {}  # last step of a (run, metric)
        self.open_runs: dict[str, FileLock | None] = {}
        self.failures: list[str] = []

    def _open(self, uri: str, name: str, artifacts: str) -> tuple[MlflowClient, Experiment]:
        # Two processes that make the same new store at the same time would both migrate it.
        with self._lock("store") or contextlib.nullcontext():
            client = MlflowClient(uri)
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                location = artifacts and (
                    artifacts if "://" in artifacts else Path(artifacts).as_uri()
                )
                experiment_id = client.create_experiment(name, location or None)
                experiment = client.get_experiment(experiment_id)
        return client, experiment

    def create(
        self,
        name: str,
        tags: dict[str, str],
        params: dict[str, Any],
        files: dict[str, str],
        parent: str | None,
    ) -> StoredRun:
        if parent is not None:
            tags = {**tags, PARENT_TAG: self._parent(parent)}
        run = self.client.create_run(self.experiment.experiment_id, tags=tags, run_name=name)
        self.open_runs[run.info.run_id] = self._lock(run.info.run_id)
        self.client.log_batch(run.info.run_id, params=[Param(k, str(v)) for k, v in params.items()])
        for file, text in files.items():
            self.client.log_text(run.info.run_id, text, file)
        return self._stored(run)

    def resume(self, run_id: str) -> StoredRun:
        self.open_runs[run_id] = self._lock(run_id, patience=10)
        run = self.client.get_run(run_id)
        for key in run.data.metrics:
            steps = (metric.step for metric in self.client.get_metric_history(run_id, key))
            self.written[run_id, key] = max(steps)
        self.client.update_run(run_id, status="RUNNING")
        if ERROR_TAG in run.data.tags:
            self.client.delete_tag(run_id, ERROR_TAG)
        return self._stored(run)

    def find(self, which: str) -> StoredRun | str:
        newest = self._search("tags.kind = 'run'")[:3]
        if which == "last" and newest:
            return self._stored(newest[0])
        try:
            return self._stored(self.client.get_run(which))
        except MlflowException:
            names = ", ".join(f"{run.info.run_id} ({run.info.status})" for run in newest)
            return f"it must be `last` or the id of a run in {self.uri}, where the newest are: " + (
                names or "none"
            )

    def same(self, fingerprint: str) -> StoredRun | None:
        query = f"tags.fingerprint = '{fingerprint}' and tags.kind = 'run'"
        found = self._search(query)
        finished = [run for run in found if run.info.status == "FINISHED"]
        return self._stored([*finished, *found][0]) if found else None

    def parent(self, tag: str) -> StoredRun | None:
        key, value = tag.split("=", 1)
        found = self._search(f"tags.{key} = '{value}'")
        return self._stored(found[0]) if found else None

    def metrics(self, run_id: str, series: list[Series]) -> None:
        for name, steps, times, values in series:
            last = self.written.get((run_id, name), -1)
            self.pending[run_id] += [
                Metric(name, value, timestamp, step)
                for step, timestamp, value in zip(steps, times, values, strict=True)
                if step > last
            ]

    def table(self, run_id: str, columns: dict[str, list[Any]], file: str) -> None:
        self.client.log_table(run_id, columns, file)

    def files(self, run_id: str, folder: str, name: str) -> None:
        self.client.log_artifacts(run_id, folder, name)

    def frame(self, run_id: str, columns: dict[str, Any], file: str) -> None:
        import pandas as pd

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            pd.DataFrame(columns).to_parquet(path)
            self.client.log_artifact(run_id, str(path))

    def learning_curve(self, run_id: str, curves: dict[str, Any], loss_name: str) -> None:
        from echo_exp import figures

        figure = figures.learning_curve(curves, loss_name)
        self.client.log_figure(run_id, figure, "learning_curve.png", save_kwargs={"dpi": 150})

    def finish(self, run_id: str, status: str, error: str | None) -> None:
        """Ends a run; raises what kept it from being whole, after marking it FAILED."""
        failure = self._failure()
        if failure is not None:
            status, error = "FAILED", failure
        if error is not None:
            self.client.set_tag(run_id, ERROR_TAG, error)
        self.client.set_terminated(run_id, status)
        lock = self.open_runs.pop(run_id)
        if lock is not None:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)
        if failure is not None:
            raise RuntimeError(failure)

    def write(self) -> None:
        """Writes the pending metrics, a request for each thousand, in the order of their steps."""
        for run_id, metrics in self.pending.items():
            metrics.sort(key=lambda metric: metric.step)
            while metrics:
                size = _request_size(metrics)
                self.client.log_batch(run_id, metrics=metrics[:size])
                del metrics[:size]

    def settle(self) -> None:
        """Tries to write the pending metrics; where that fails they go on waiting."""
        with contextlib.suppress(Exception):
            self.write()

    def _failure(self) -> str | None:
        """Writes what is pending; returns what could not be written in this run, if anything."""
        try:
            self.write()
        except Exception as error:
            self.failures.append(_reason(error))
        failures, self.failures = self.failures, []
        return "; ".join(failures) or None

    def abandon(self) -> None:
        """Writes what there is of the open runs and marks them FAILED."""
        for run_id in list(self.open_runs):
            self.finish(run_id, "FAILED", "the process was killed before the run had ended")

    def _parent(self, parent: str) -> str:
        if "=" not in parent:
            return parent
        found = self.parent(parent)
        if found is None:
            raise LookupError(f"no parent run has the tag {parent}")
        return found.run_id

    def _search(self, query: str) -> list[MlflowRun]:
        """Returns the runs of the experiment that a query finds, the newest first."""
        newest_first = ["attributes.start_time DESC"]
        return list(
            self.client.search_runs(
                [self.experiment.experiment_id], query, max_results=50, order_by=newest_first
            )
        )

    def _stored(self, run: MlflowRun) -> StoredRun:
        artifacts = _local(run.info.artifact_uri)
        config = artifacts / "config.yaml" if artifacts else None
        if config is None and run.info.status != "RUNNING":
            config = Path(self.client.download_artifacts(run.info.run_id, "config.yaml"))
        return StoredRun(
            run_id=run.info.run_id,
            experiment_id=run.info.experiment_id,
            name=run.info.run_name,
            status=run.info.status,
            artifacts=artifacts,
            config=config.read_text() if config and config.exists() else None,
            metrics=run.data.metrics,
        )

    def _lock(self, name: str, patience: float = -1) -> FileLock | None:
        """Takes a lock that the system frees when this process ends, however it ends."""
        if self.locks is None:
            return None
        self.locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.locks / f"{name}.lock")
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            raise TimeoutError("another process is writing to it") from None
        return lock


def _lock_folder(uri: str) -> Path | None:
    path = uri.removeprefix("sqlite:///")
    return None if path == uri else Path(path).parent / ".locks"


def _local(uri: str) -> Path | None:
    """Returns the folder that an artifact URI names, where it is one of this machine."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def _request_size(metrics: list[Metric]) -> int:
    """Returns how many metrics go into the next request: no step is torn apart by a kill."""
    size = min(BATCH, len(metrics))
    while size < len(metrics) and metrics[size].step == metrics[size - 1].step:
        size -= 1
    return size


def _reason(error: Exception) -> str:
    """Says in one line what went wrong; database errors come with pages of SQL."""
    lines = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *lines[:1]])


def _read(stream: IO[bytes], commands: "queue.Queue[tuple[str, dict[str, Any]] | None]") -> None:
    with contextlib.suppress(EOFError):
        while True:
            commands.put(pickle.load(stream))
    commands.put(None)


def _serve(writer: Writer, commands: "queue.Queue[Any]", answers: IO[bytes]) -> None:
    written = time.monotonic()
    while True:
        with contextlib.suppress(queue.Empty):
            message = commands.get(timeout=WRITE_SECONDS)
            if message is None:
                return
            command, arguments = message
            _carry_out(writer, command, arguments, answers)
        if time.monotonic() - written >= WRITE_SECONDS:
            writer.settle()
            written = time.monotonic()


def _carry_out(writer: Writer, command: str, arguments: dict[str, Any], answers: IO[bytes]) -> None:
    try:
        answer = ("answer", getattr(writer, command)(**arguments))
    except Exception as error:
        answer = ("error", _reason(error))
        if command not in ANSWERED:
            writer.failures.append(f"{command}: {answer[1]}")
    if command in ANSWERED:
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(answer, answers)
            answers.flush()


def main() -> None:
    """Serves the program at the other end of the pipe until it ends."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not print into the answers
    try:
        writer = Writer(*sys.argv[1:])
    except Exception as error:
        pickle.dump(("error", _reason(error)), answers)
        answers.close()
        sys.exit(1)
    commands: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, commands), daemon=True).start()
    _serve(writer, commands, answers)
    writer.abandon()


if __name__ == "__main__":
    main()
