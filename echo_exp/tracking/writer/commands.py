"""The commands of the writer process, each a method of the same name."""

import contextlib
import errno
import math
import pkgutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from mlflow.entities import Experiment, Param
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from echo_exp.settings import redacted
from echo_exp.tracking.access.connection import Access, mends, reach, reason
from echo_exp.tracking.access.deletions import check_experiment, check_run, deletion
from echo_exp.tracking.access.locations import check_run_id
from echo_exp.tracking.access.rows import of_tags, pages
from echo_exp.tracking.errors import DeletedError
from echo_exp.tracking.settings import CONFIG
from echo_exp.tracking.store import PARENT_TAG, PRUNED_TAG, Series, StoredRun, Trained, Waiting
from echo_exp.tracking.ui.view import NOTE_TAG, SWEPT_TAG, outdated
from echo_exp.tracking.writer import delivery
from echo_exp.tracking.writer.claims import Claims
from echo_exp.tracking.writer.delivery import Courier, Delivery, Turns
from echo_exp.tracking.writer.outbox import Outbox, OutboxFullError, named

READ_ONLY = errno.EROFS, errno.EACCES, errno.EPERM
CLAIM_SECONDS = 60
"""A claim is void after this time without a sign of life."""


@dataclass(frozen=True)
class OpenRun:
    """A run that is being written, and the lock on it if the store is a file."""

    courier: Courier
    lock: FileLock | None


class Writer:
    """Carries out commands on one store, each a method of the command's name."""

    def __init__(
        self, uri: str, experiment: str, artifacts: str | None, spool: str, patience: float
    ) -> None:
        self.uri = uri
        self.name = experiment
        self.artifacts = artifacts
        self.spool = Path(spool)
        self.patience = patience
        self.locks = _lock_folder(uri)
        self.open_runs: dict[str, OpenRun] = {}
        self.turns = Turns()
        self._opened: tuple[Access, Experiment] | None = None
        self._claims: Claims | None = None
        self._refusal: Exception | None = None
        self._expected: tuple[str, str] | None = None

    @property
    def access(self) -> Access:
        return self._open()[0]

    @property
    def client(self) -> MlflowClient:
        return self.access.client

    @property
    def experiment(self) -> Experiment:
        return self._open()[1]

    @property
    def claims(self) -> Claims:
        if self._claims is None:
            self._claims = Claims(self.client, self.experiment.experiment_id, CLAIM_SECONDS)
        return self._claims

    def begin(self) -> None:
        """Opens the store before the first request, which raises the error if that fails."""
        try:
            self._open()
        except Exception as error:
            self._refusal = error

    def _open(self) -> tuple[Access, Experiment]:
        if self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            raise refusal
        if self._opened is None:
            # Two processes that create the same new store at the same time would both migrate it.
            lock = self._lock("store")
            try:
                access = reach(self.uri, self.artifacts)
                self._opened = access, self._experiment(access.client)
            finally:
                if lock is not None:
                    lock.release()
        return self._opened

    def _experiment(self, client: MlflowClient) -> Experiment:
        found = client.get_experiment_by_name(self.name)
        if found is not None:
            check_experiment(client, found)
            return found
        location = self.artifacts
        if location is not None and "://" not in location:
            location = Path(location).as_uri()
        try:
            return client.get_experiment(client.create_experiment(self.name, location))
        except MlflowException:  # another process may have been quicker
            found = client.get_experiment_by_name(self.name)
            if found is None:
                raise
            return found

    def await_store(self, seconds: float) -> None:
        """Waits for an unavailable store; if it remains so, the next request raises the error."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.client.get_experiment(self.experiment.experiment_id)
            except Exception as error:
                if not mends(error) or time.monotonic() >= deadline:
                    return
                time.sleep(delivery.RETRY_SECONDS)
            else:
                return

    def create(
        self,
        name: str,
        tags: dict[str, str],
        params: dict[str, Any],
        files: dict[str, str],
        parent: str | None,
    ) -> StoredRun:
        self.access.folder(self.experiment.artifact_location)
        if parent is not None:
            tags = {**tags, PARENT_TAG: parent}
        run = self.client.create_run(self.experiment.experiment_id, tags=tags, run_name=name)
        run_id, lock = run.info.run_id, None
        try:
            lock = self._own(run_id)
            artifacts = self.access.place(run.info.artifact_uri)
            self._parameters(run_id, params)
            for file, text in files.items():
                delivery.log_text(artifacts, text, file)
            courier = self._courier(run, {})
        except Exception as error:
            with contextlib.suppress(Exception):
                self.client.set_tag(run_id, delivery.ERROR_TAG, reason(error))
                self.client.set_terminated(run_id, "FAILED")
            self._disown(run_id, lock)
            raise
        self.open_runs[run_id] = OpenRun(courier, lock)
        return self._stored(run)

    def resume(self, run_id: str) -> StoredRun:
        lock = self._own(run_id, patience=10)
        try:
            self._deliver_left(run_id)
            run = self.client.get_run(run_id)
            courier = self._courier(run, delivery.last_steps(self.client, run_id))
        except BaseException:
            self._disown(run_id, lock)
            raise
        self.open_runs[run_id] = OpenRun(courier, lock)
        self.client.update_run(run_id, status="RUNNING")
        for tag in {delivery.ERROR_TAG, PRUNED_TAG} & run.data.tags.keys():
            self.client.delete_tag(run_id, tag)
        return self._stored(run)

    def open_parent(
        self,
        name: str,
        tags: dict[str, str],
        params: dict[str, Any],
        files: dict[str, str],
        key: str,
    ) -> StoredRun:
        self.access.folder(self.experiment.artifact_location)
        experiment_id = self.experiment.experiment_id
        with self.claims.held(f"parent/{tags[key]}"):
            found = self._search(of_tags({key: tags[key]}))
            run = found[0] if found else self.client.create_run(experiment_id, None, tags, name)
            if not run.data.params:  # an earlier process may have ended between the two
                self._parameters(run.info.run_id, params)
            self.mark(run.info.run_id, _outdated(run.data.tags, tags))
            if delivery.ERROR_TAG in run.data.tags:
                self.client.delete_tag(run.info.run_id, delivery.ERROR_TAG)
                self.client.set_tag(run.info.run_id, NOTE_TAG, tags.get(NOTE_TAG, ""))
        courier = self._courier(run, {}, shared=True)
        self.open_runs[run.info.run_id] = OpenRun(courier, None)
        self.client.update_run(run.info.run_id, status="RUNNING")
        for file, text in files.items():
            delivery.log_text(courier.delivery.artifacts, text, file)
        return self._stored(run)

    def _parameters(self, run_id: str, params: Mapping[str, Any]) -> None:
        given = [Param(key, str(value)) for key, value in params.items()]
        self.client.log_batch(run_id, params=given)

    def describe(self, tags: dict[str, str]) -> None:
        for key in tags.keys() - self.experiment.tags.keys():
            try:
                self.client.set_experiment_tag(self.experiment.experiment_id, key, tags[key])
            except MlflowException as error:  # another process may have been quicker
                if mends(error):
                    raise

    def save_view(self, tags: dict[str, str]) -> None:
        self.describe(tags)
        experiment = self.client.get_experiment(self.experiment.experiment_id)
        for key in outdated(experiment.tags):
            try:
                self.client.delete_experiment_tag(experiment.experiment_id, key)
            except MlflowException as error:  # another process may have been quicker
                if mends(error):
                    raise

    def children(self, run_id: str) -> list[StoredRun]:
        return [self._stored(run) for run in self._search(of_tags({PARENT_TAG: run_id}), None)]

    def end_lost(self, run_id: str) -> None:
        for child in self.children(run_id):
            if child.status == "RUNNING":
                self._deliver_left(child.run_id)

    def claim(self, thing: str) -> str | None:
        return self.claims.take(thing)

    def release(self, thing: str) -> None:
        self.claims.release(thing)

    def claimed(self, things: list[str]) -> dict[str, str]:
        return self.claims.taken(things)

    def find(self, which: str) -> StoredRun | str:
        newest = self._search("tags.kind = 'run'")[:3]
        if which == "last" and newest:
            which = newest[0].info.run_id
        try:
            check_run(self.client, self.client.get_run(which))
            self._deliver_left(which)
            run = self.client.get_run(which)
        except DeletedError as error:
            return str(error)
        except MlflowException as error:
            if mends(error):
                raise
            names = ", ".join(f"{run.info.run_id} ({run.info.status})" for run in newest)
            where = redacted(self.uri)
            return f"it must be `last` or the id of a run in {where}, where the newest are: " + (
                names or "none"
            )
        return self._stored(run, self._config(run))

    def same(self, tags: dict[str, str]) -> StoredRun | None:
        query = of_tags({**tags, "kind": "run"})
        found = self._search(query)
        left = [self._deliver_left(run.info.run_id) for run in found]
        if any(left):
            found = self._search(query)
        finished = [run for run in found if run.info.status == "FINISHED"]
        return self._stored([*finished, *found][0]) if found else None

    def shorter(self, tags: dict[str, str], epochs: int) -> StoredRun | None:
        query = of_tags({**tags, "kind": "run"}) + " and attributes.status = 'FINISHED'"
        below = {
            trained: run
            for run in self._search(query, None)
            if (trained := int(run.data.params.get("epochs", epochs))) < epochs
        }
        return self._stored(below[max(below)]) if below else None

    def trained(self, tag: str, values: list[str]) -> list[Trained]:
        from echo_exp.tracking.access import bulk

        number = self.experiment.experiment_id
        found = bulk.tagged(self.access, number, tag, values)
        left = [self._deliver_left(each.run_id) for each in found if each.status != "FINISHED"]
        if any(left):
            found = bulk.tagged(self.access, number, tag, values)
        runs = bulk.finished(self.access, number, found)
        return [Trained(self._stored(run), bulk.seeds(run)) for run in runs]

    def history(self, run_id: str, last: int) -> list[Series]:
        series = []
        for key in self.client.get_run(run_id).data.metrics:
            points = [p for p in self.client.get_metric_history(run_id, key) if 0 < p.step <= last]
            columns = [(p.step, p.timestamp, p.value) for p in points]
            if columns:
                steps, times, values = map(list, zip(*columns, strict=True))
                series.append((key, steps, times, values))
        return series

    def fetch(self, run_id: str, path: str, folder: str) -> Path:
        artifacts = self.access.place(self.client.get_run(run_id).info.artifact_uri)
        return Path(artifacts.download_artifacts(path, folder))

    def mark(self, run_id: str, tags: dict[str, str]) -> None:
        for key, value in tags.items():
            self.client.set_tag(run_id, key, value)

    def metrics(self, run_id: str, series: list[Series]) -> None:
        self._put(run_id, "metrics", series=series)
        if self._expected is not None and self._expected[0] != run_id:
            self._prepare(self._expected[1])
            self._expected = None

    def expect_report(self, run_id: str, make: str) -> None:
        self._expected = run_id, make

    def _prepare(self, make: str) -> None:
        """Imports what makes a report, while another run trains and the writer has time."""

        def load() -> None:
            with contextlib.suppress(Exception):  # it is raised when the report is made
                pkgutil.resolve_name(make)

        threading.Thread(target=load).start()

    def tag(self, run_id: str, key: str, value: str) -> None:
        self._put(run_id, "tag", key=key, value=value)

    def table(self, run_id: str, columns: dict[str, list[Any]], file: str) -> None:
        _check_name(file)
        plain = {name: [_null(value) for value in column] for name, column in columns.items()}
        self._put(run_id, "table", columns=plain, file=file)

    def files(self, run_id: str, folder: str, name: str) -> None:
        self._put(run_id, "files", folder=str(Path(folder).absolute()), name=name)

    def model(self, run_id: str, make: str, arguments: dict[str, Any]) -> None:
        folder = self._beside(run_id, "model")
        pkgutil.resolve_name(make)(folder, **arguments)
        self._put(run_id, "model", folder=folder.name)

    def content(self, run_id: str, file: str, content: bytes) -> None:
        self._beside(run_id, file).write_bytes(content)
        self._put(run_id, "artifact", file=file)

    def made(self, run_id: str, file: str, make: str, arguments: dict[str, Any]) -> None:
        pkgutil.resolve_name(make)(self._beside(run_id, file), **arguments)
        self._put(run_id, "artifact", file=file)

    def report(self, run_id: str, make: str, folder: str, arguments: dict[str, Any]) -> str:
        self.open_runs[run_id].courier.delivered(self.patience)  # it reads what was recorded before
        summary = pkgutil.resolve_name(make)(Path(folder), self.access, run_id, **arguments)
        self._put(run_id, "report", folder=folder)
        return str(summary)

    def settle(self) -> None:
        """Waits until everything that was recorded is safe, in the store or on the disk."""
        self._check_claims()
        for run in self.open_runs.values():
            run.courier.outbox.settle()

    def beat(self) -> None:
        """Gives a sign of life for all claims of this process, if one is due.

        Any thread may call it, while another carries out a command.
        """
        if self._claims is not None:
            with contextlib.suppress(Exception):  # a claim that is not renewed becomes void
                self._claims.beat()

    def _check_claims(self) -> None:
        """Raises an error if another process has taken over a claim: only one may write."""
        if self._claims is not None and self._claims.lost:
            raise RuntimeError(
                "this process gave no sign of life for so long that another one has taken over"
            )

    def end(self, run_id: str, status: str, error: str | None) -> None:
        """Ends a run in the background."""
        self._check_claims()
        courier = self.open_runs[run_id].courier
        with contextlib.suppress(OutboxFullError):  # `ended` reports it
            courier.put_last(delivery.finish(status, error, list(courier.delivery.failures)))

    def ended(self, run_id: str) -> Waiting | None:
        """Waits for the end of a run; what is not delivered in time stays in the spool folder.

        Args:
            run_id: The run.

        Returns:
            What stays in the spool folder, if anything does.

        Raises:
            OutboxFullError: The end of the run could not be stored.
            RuntimeError: The store refused something permanently; the run is FAILED.
        """
        if not self.open_runs[run_id].courier.complete:
            self.end(run_id, "FAILED", "its end could not be stored")
        self._check_claims()
        run = self.open_runs.pop(run_id)
        courier, failures = run.courier, run.courier.delivery.failures
        try:
            if not courier.complete:
                raise OutboxFullError(f"the end of run {run_id} could not be stored")
            if not courier.delivered(self.patience):
                return self._leave(courier)
            courier.outbox.remove()
        finally:
            courier.stop()
            self._disown(run_id, run.lock)
        if failures:
            raise RuntimeError("; ".join(failures))
        return None

    def abandon(self) -> None:
        """Ends all open runs, as FAILED unless the program had ended them before it was killed."""
        for close in (lambda run_id: self.end(run_id, "FAILED", delivery.KILLED), self.ended):
            for run_id in list(self.open_runs):
                with contextlib.suppress(Exception):  # nobody is left to report to
                    close(run_id)
        if self._claims is not None:
            with contextlib.suppress(Exception):
                self._claims.release_all()

    def refusal(self, error: Exception) -> tuple[str, str]:
        """Returns the kind of an error, and its message."""
        if self._opened is not None:
            try:
                error = deletion(self._opened[0].client, error) or error
            except Exception as another:
                error = another
        if isinstance(error, DeletedError):
            return "deleted", str(error)
        return "unreachable" if mends(error) else "error", reason(error)

    def refused(self, run_id: str, what: str) -> None:
        """Remembers what could not be done for a run, which then ends as FAILED."""
        if run_id in self.open_runs:
            self.open_runs[run_id].courier.delivery.failures.append(what)

    def _leave(self, courier: Courier) -> Waiting:
        courier.outbox.leave()
        return courier.waiting()

    def _put(self, run_id: str, do: str, **arguments: Any) -> None:
        self.open_runs[run_id].courier.put({"do": do, **arguments})

    def _beside(self, run_id: str, file: str) -> Path:
        """Returns the path at which a file of a run waits for delivery."""
        _check_name(file)
        folder = self.open_runs[run_id].courier.outbox.folder
        folder.mkdir(exist_ok=True)
        return folder / file

    def _courier(self, run: MlflowRun, written: Mapping[str, int], shared: bool = False) -> Courier:
        """Starts a courier for a run; if the run is shared, other processes have theirs."""
        artifacts = self.access.place(run.info.artifact_uri)
        store = named(self.uri, self.spool)
        outbox = Outbox.begun(self.spool, run.info.run_id, store, shared)
        courier = Courier(Delivery(self.access, outbox, artifacts, written), self.turns)
        courier.start()
        return courier

    def _deliver_left(self, run_id: str) -> bool:
        """Delivers what a run left in the spool folder; returns whether there was anything.

        From a folder that may only be read nothing can be delivered.
        """
        try:
            outbox = Outbox.left(self.spool, run_id)
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            return False
        if outbox is None:
            return False
        try:
            delivery.deliver(self.access, outbox)
        except Exception:
            outbox.leave()
            raise
        return True

    def _search(self, query: str, most: int | None = 50) -> list[MlflowRun]:
        """Returns the runs of the experiment that match a query, newest first."""
        order = ["attributes.start_time DESC"]
        experiments = [self.experiment.experiment_id]
        search = partial(self.client.search_runs, experiments, query, order_by=order)
        return list(pages(search) if most is None else search(max_results=most))

    def _stored(self, run: MlflowRun, config: str | None = None) -> StoredRun:
        check_run_id(run.info.run_id)
        return StoredRun(
            run_id=run.info.run_id,
            experiment_id=run.info.experiment_id,
            name=run.info.run_name,
            status=run.info.status,
            tags=run.data.tags,
            artifacts=self.access.folder(run.info.artifact_uri),
            config=config,
            metrics=run.data.metrics,
            latest=max((point.timestamp for point in run.data.to_proto().metrics), default=0),
        )

    def _config(self, run: MlflowRun) -> str | None:
        artifacts = self.access.place(run.info.artifact_uri)
        if CONFIG not in [artifact.path for artifact in artifacts.list_artifacts()]:
            return None
        with tempfile.TemporaryDirectory() as folder:
            return Path(artifacts.download_artifacts(CONFIG, folder)).read_text(encoding="utf-8")

    def _own(self, run_id: str, patience: float = -1) -> FileLock | None:
        """Keeps other processes from writing to a run: by a lock file, or by a claim."""
        if self.locks is not None:
            return self._lock(run_id, patience)
        holder = self.claims.take(f"run/{run_id}", patient=True)
        if holder is not None:
            raise RuntimeError(f"another process is writing to it: {holder}")
        return None

    def _disown(self, run_id: str, lock: FileLock | None) -> None:
        if lock is not None:
            # While it is held: once it is released, it may be another process that holds it.
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()
        elif self.locks is None:
            with contextlib.suppress(Exception):  # otherwise it becomes void by itself
                self.claims.release(f"run/{run_id}")

    def _lock(self, name: str, patience: float = -1) -> FileLock | None:
        """Takes a lock that the system releases when this process ends, however it ends."""
        if self.locks is None:
            return None
        self.locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.locks / f"{name}.lock")
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            raise RuntimeError("another process is writing to it") from None
        return lock


def _lock_folder(uri: str) -> Path | None:
    path = uri.removeprefix("sqlite:///")
    return None if path == uri else Path(path).parent / ".locks"


def _outdated(known: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """Returns the tags of a parent run that an earlier start, or an earlier version, lacks.

    A parent run without `SWEPT_TAG` stays without it: its runs lack the tags that belong to it.
    """
    new = {tag: value for tag, value in tags.items() if tag not in known and tag != SWEPT_TAG}
    swept = tags.get(SWEPT_TAG)
    if swept is not None and known.get(SWEPT_TAG, swept) != swept:
        new[SWEPT_TAG] = swept
    return new


def _check_name(file: str) -> None:
    if Path(file).name != file:
        raise ValueError(f"{file} must be the name of a file")


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
