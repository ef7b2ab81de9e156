"""A sweep (Hydra multirun): one parent run, jobs that may fail, a table at the end."""

import atexit
import itertools
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from echo_exp import config as configuration
from echo_exp import mistakes, run, study
from echo_exp.interrupts import Interrupted
from echo_exp.settings import SettingError, redacted
from echo_exp.tracking import Run, TrackingError, UnreachableError

RESULT = "result.json"
TAG = "sweep"
OK, EARLIER = "ok", "ok, finished earlier"


@dataclass(frozen=True)
class JobResult:
    """What a job of a sweep leaves in its folder, for the table.

    Attributes:
        job: Its number.
        overrides: What it changed.
        status: `OK`, `EARLIER`, or what went wrong.
        accuracy: Test accuracy, where it came to that.
        seconds: Time of its training.
    """

    job: int
    overrides: str
    status: str
    accuracy: float | None = None
    seconds: float | None = None

    @property
    def failed(self) -> bool:
        """Whether something went wrong."""
        return self.status not in (OK, EARLIER)


def run_job(config: DictConfig, job: int, overrides: list[str], folder: Path, sweep: Path) -> None:
    """Runs one job of a sweep; where it fails, that is its result and the sweep goes on.

    Raises:
        Interrupted: A signal asked to stop; this ends the sweep.
    """
    named = " ".join(configuration.measured(overrides))
    print(f"[job {job}] {named}", file=sys.stderr, flush=True)
    try:
        done = run.execute(config, overrides, parent=f"{TAG}={sweep.absolute()}")
        outcome, status = done.outcome, OK
        if done.waiting is not None:
            status = str(done.waiting)
            message = run.undelivered(done.waiting, overrides)
            print(f"[job {job}] {message}", file=sys.stderr, flush=True)
        result = JobResult(job, named, status, outcome.accuracy, outcome.seconds)
    except run.AlreadyFinishedError as earlier:
        print(f"[job {job}] {earlier}", file=sys.stderr, flush=True)
        metrics = earlier.stored.metrics
        accuracy, seconds = metrics.get("test/accuracy"), metrics.get("fit_seconds")
        result = JobResult(job, named, EARLIER, accuracy, seconds)
    except Interrupted as error:
        _leave(JobResult(job, named, str(error)), folder)
        raise
    except Exception as error:
        message, _ = mistakes.explain(error)
        print(f"[job {job}] {message}", file=sys.stderr, flush=True)
        result = JobResult(job, named, message.splitlines()[0])
    _leave(result, folder)


def _leave(result: JobResult, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).write_text(json.dumps(asdict(result)))


class SweepCallback(Callback):
    """Opens the parent run before the jobs and closes it, with the table, after them."""

    def __init__(self) -> None:
        self._parent: Run | None = None
        self._jobs: list[str] = []
        self._overrides: list[str] = []

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Checks that every job can be composed and opens the parent run."""
        with mistakes.explained():  # Hydra would only warn of an error in a callback
            overrides = self._overrides = configuration.overrides(config.hydra)
            if config.get(configuration.STUDY) is None:
                self._jobs = _expand(overrides)
                self._parent = self._open(config, overrides)
            else:
                asked = study.read(config, overrides)
                for cell in asked.cells:
                    study.compose_cell(cell)
                self._jobs = [" ".join(cell.overrides) for cell in asked.cells]
                self._parent = self._open_study(config, overrides, asked)
            if self._parent is not None:
                atexit.register(self._close, "KILLED")

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Takes the passwords out of what Hydra has written down of the sweep."""
        written = Path(_folder(config)) / "multirun.yaml"
        if written.exists() and (text := written.read_text()) != redacted(text):
            written.write_text(redacted(text))

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Prints the table; exits with 1 where a job failed."""
        results = [self._result(config, number) for number in range(len(self._jobs))]
        failed = [result for result in results if result.failed]
        print(_table(results))
        print(f"{len(results) - len(failed)} of {len(results)} jobs succeeded")
        store = run.open_store(config)
        if store is not None and self._parent is not None:
            print(run.directions(store, self._parent.stored, "them"))
        whole = self._close("FAILED" if failed else "FINISHED")
        if failed or not whole:
            sys.exit(mistakes.FAILED)

    def _open_study(
        self, config: DictConfig, overrides: list[str], asked: study.Study
    ) -> Run | None:
        """Opens the study's parent run, the one that it had before if there is one."""
        store = run.open_store(config)
        with run.reached(config):
            earlier = None if store is None else store.find_parent(f"{TAG}={_folder(config)}")
        if store is None or earlier is None:
            note = {
                "mlflow.note.content": f"{asked.question}\n\n*Expected:* {asked.expectation}",
                "study": asked.name,
                "scale": asked.scale,
            }
            return self._open(config, overrides, note, f"study {asked.name}, {asked.scale}")
        try:
            return store.resume_run(earlier.run_id)
        except UnreachableError as error:
            raise SettingError("tracking.uri", store.uri, str(error)) from error
        except TrackingError as error:
            raise SettingError("study", asked.name, f"its parent run: {error}") from error

    def _open(
        self,
        config: DictConfig,
        overrides: list[str],
        more_tags: Mapping[str, str] = MappingProxyType({}),
        name: str = "sweep",
    ) -> Run | None:
        store = run.open_store(config)
        if store is None:
            return None
        with run.reached(config):
            return store.create_run(
                name=redacted(f"{name} of {len(self._jobs)}: {' '.join(overrides)}")[:250],
                tags=run.tags(["-m", *overrides])
                | {"kind": TAG, TAG: _folder(config), **more_tags},
                params={},
                files={"jobs.txt": redacted("\n".join(self._jobs))},
            )

    def _close(self, status: str) -> bool:
        """Ends the parent run; returns whether the store knows it."""
        parent, self._parent = self._parent, None
        waiting = None if parent is None else parent.finish(status)
        if waiting is not None:
            print(f"echo-exp: {run.undelivered(waiting, self._overrides)}", file=sys.stderr)
        return waiting is None

    def _result(self, config: DictConfig, number: int) -> JobResult:
        file = Path(config.hydra.sweep.dir) / str(number) / RESULT
        if not file.exists():
            return JobResult(number, self._jobs[number], "it ended without a result")
        return JobResult(**json.loads(file.read_text()))


def _folder(config: DictConfig) -> str:
    return str(Path(config.hydra.sweep.dir).absolute())


def _expand(overrides: list[str]) -> list[str]:
    """Returns the overrides of every job, after composing once with each value of each setting.

    A wrong name among many values then shows before the first job, not after hours in the middle.
    """
    parsed = OverridesParser.create().parse_overrides(overrides)
    for override in parsed:
        if override.get_key_element() == configuration.STUDY and override.is_sweep_override():
            named = (override.input_line or "").partition("=")[2]
            reason = "it must be one value: a study is a sweep"
            raise SettingError(configuration.STUDY, named, reason)
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [override.input_line]
        for override in parsed
    ]
    first = [values[0] for values in choices]
    for position, values in enumerate(choices):
        for value in values:
            compose("config", [*first[:position], value, *first[position + 1 :]])  # type: ignore[list-item]
    return [" ".join(str(part) for part in job) for job in itertools.product(*choices)]


def _table(results: list[JobResult]) -> str:
    rows = [("job", "settings", "accuracy", "seconds", "result")]
    for result in results:
        accuracy = "" if result.accuracy is None else f"{result.accuracy:.4f}"
        seconds = "" if result.seconds is None else f"{result.seconds:.1f}"
        rows.append((str(result.job), result.overrides, accuracy, seconds, result.status))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for *cells, result_ in rows:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append("  ".join([*padded, result_]))
    return "\n".join(lines)
