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
from dataclasses import replace
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

from echo_exp.tracking.claims import Claims  # noqa: E402
from echo_exp.tracking.store import PRUNED_TAG, StoredRun  # noqa: E402

WRITE_SECONDS = 0.25
BATCH = 1000
"""MLflow's limit of metrics in one request."""
PARENT_TAG = "mlflow.parentRunId"
ERROR_TAG = "error"
PAGE = 1000
"""Runs in one answer of MLflow."""
CLAIM_SECONDS = 60
"""A claim without a sign of life for so long is void."""
ANSWERED = (
    "create",
    "resume",
    "open_parent",
    "children",
    "find",
    "same",
    "claim",
    "release",
    "claimed",
    "settle",
    "finish",
)
"""Commands that the program waits for; the others are carried out behind its back."""

Series = tuple[str, list[int], list[int], list[float]]


class Writer:
    """Carries out commands on one store, each a method of the command's name."""

    def __init__(self, uri: str, experiment: str, artifacts: str) -> None:
        self.uri = uri
        self.locks = _lock_folder(uri)
        self.client, self.experiment = self._open(uri, experiment, artifacts)
        self.claims = Claims(self.client, self.experiment.experiment_id, CLAIM_SECONDS)
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
            tags = {**tags, PARENT_TAG: parent}
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
        for tag in {ERROR_TAG, PRUNED_TAG} & run.data.tags.keys():
            self.client.delete_tag(run_id, tag)
        return self._stored(run)

    def open_parent(
        self, name: str, tags: dict[str, str], files: dict[str, str], key: str
    ) -> StoredRun:
        with self.claims.held(f"parent/{tags[key]}"):
            found = self._search(_query({key: tags[key]}))
            if found:
                run_id = found[0].info.run_id
                self.client.update_run(run_id, status="RUNNING")
                self.open_runs[run_id] = None
                return self._stored(found[0])
            run = self.client.create_run(self.experiment.experiment_id, tags=tags, run_name=name)
        self.open_runs[run.info.run_id] = None
        for file, text in files.items():
            self.client.log_text(run.info.run_id, text, file)
        return self._stored(run)

    def children(self, run_id: str) -> list[StoredRun]:
        return [self._outline(run) for run in self._search(_query({PARENT_TAG: run_id}), None)]

    def claim(self, thing: str) -> str | None:
        return self.claims.take(thing)

    def release(self, thing: str) -> None:
        self.claims.release(thing)

    def claimed(self, things: list[str]) -> dict[str, str]:
        return self.claims.taken(things)

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

    def same(self, tags: dict[str, str]) -> StoredRun | None:
        found = self._search(_query({**tags, "kind": "run"}))
        finished = [run for run in found if run.info.status == "FINISHED"]
        return self._stored([*finished, *found][0]) if found else None

    def metrics(self, run_id: str, series: list[Series]) -> None:
        for name, steps, times, values in series:
            last = self.written.get((run_id, name), -1)
            self.pending[run_id] += [
                Metric(name, value, timestamp, step)
                for step, timestamp, value in zip(steps, times, values, strict=True)
                if step > last
            ]

    def tag(self, run_id: str, key: str, value: str) -> None:
        self.client.set_tag(run_id, key, value)

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
        self._check_claims()
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
        self._check_claims()
        self.write_what_can_be()

    def write_what_can_be(self) -> None:
        """Tries to write the pending metrics; where that fails they go on waiting."""
        if not self.claims.lost:
            with contextlib.suppress(Exception):
                self.write()

    def _check_claims(self) -> None:
        """Raises where another process has taken over: nothing may be written beside it."""
        if self.claims.lost:
            raise RuntimeError(
                "nothing was heard of this process for so long that another has taken over"
            )

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
        if self.claims.lost:
            return
        for run_id in list(self.open_runs):
            self.finish(run_id, "FAILED", "the process was killed before the run had ended")
        self.claims.release_all()

    def _search(self, query: str, most: int | None = 50) -> list[MlflowRun]:
        """Returns the runs of the experiment that a query finds, the newest first."""
        found: list[MlflowRun] = []
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [self.experiment.experiment_id],
                query,
                max_results=most or PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            found += page
            token = page.token
            if most is not None or not token:
                return found

    def _outline(self, run: MlflowRun) -> StoredRun:
        """Returns what is known of a run without a look at its artifacts."""
        return StoredRun(
            run_id=run.info.run_id,
            experiment_id=run.info.experiment_id,
            name=run.info.run_name,
            status=run.info.status,
            tags=run.data.tags,
            artifacts=_local(run.info.artifact_uri),
            config=None,
            metrics=run.data.metrics,
        )

    def _stored(self, run: MlflowRun) -> StoredRun:
        outline = self._outline(run)
        artifacts = outline.artifacts
        config = artifacts / "config.yaml" if artifacts else None
        if config is None and run.info.status != "RUNNING":
            config = Path(self.client.download_artifacts(run.info.run_id, "config.yaml"))
        return replace(outline, config=config.read_text() if config and config.exists() else None)

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


def _query(tags: dict[str, str]) -> str:
    """Returns MLflow's query for runs that have some tags; it knows no escapes, but two quotes."""
    quoted = {key: f'"{value}"' if "'" in value else f"'{value}'" for key, value in tags.items()}
    return " and ".join(f"tags.`{key}` = {value}" for key, value in quoted.items())


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
            with contextlib.suppress(Exception):  # a claim that cannot be renewed is void some day
                writer.claims.beat()
            writer.write_what_can_be()
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
    for signum in (signal.SIGINT, signal.SIGTERM):
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
