"""The trials of a search, shared by all processes with the same command.

A trial is a row in Optuna's storage. The process that runs it holds a claim. A running trial
without a claim was left by a process that ended; whoever takes trials next takes it first.
"""

import contextlib
import difflib
import hashlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from echo_exp import configuration
from echo_exp.settings import SettingError, redacted
from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.search.settings import KEY, SearchSettings
from echo_exp.sweeps.search.space import Space
from echo_exp.sweeps.search.storage import open_storage, open_trial
from echo_exp.tracking import Store

METRICS, ERROR = "metrics", "error"
UNTOLD = "no reason was recorded"
LOOK_SECONDS = 0.1
LATE = ("epochs_to_solve",)
"""Metrics that not every job has."""


def study_name(settings: SearchSettings, space: Space, code: str) -> str:
    """Returns the name of Optuna's study: the same for the same spaces, goals and code.

    Args:
        settings: The search's settings, which may name it.
        space: The settings of the trials.
        code: The version of the code that decides the results of the trials.
    """
    if settings.name is not None:
        return str(settings.name)
    text = [
        code,
        *map(str, settings.objectives),
        *map(str, settings.constraints),
        *(f"{name}={values!r}" for name, values in sorted(space.distributions.items())),
        *configuration.measured(space.fixed),
    ]
    return "search-" + hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]


class Trials:
    """The trials of one search, as one of its processes sees them.

    Args:
        settings: The search's settings.
        space: The settings of the trials.
        code: The version of the code that decides the results of the trials.
        seed: The seed of the proposals. Each trial has a seed of its own, so that a second start or
            process does not repeat them.
        store: The tracking store, in which processes claim trials; None if nothing is tracked, and
            this must be the only process.
        folder: The folder of the search, for the lock that keeps out others without a store.

    Raises:
        SettingError: The storage cannot be used or holds another search of this name, or nothing is
            tracked and another process runs this search.
    """

    def __init__(
        self,
        settings: SearchSettings,
        space: Space,
        code: str,
        seed: int,
        store: Store | None,
        folder: Path,
    ) -> None:
        self.name = study_name(settings, space, code)
        self.space = space
        self.settings = settings
        self._seed = seed
        self._store = store
        self._only = self._keep_others_out(folder) if store is None else None
        with self._exclusively("search"):
            self._storage: BaseStorage = open_storage(settings.storage)
            self.study = self._open()

    def take(self, most: int) -> list[FrozenTrial]:
        """Returns trials for this process to run: first those that others have left, then new ones.

        Args:
            most: How many at most.

        Raises:
            SettingError: The sampler cannot handle the search.
        """
        with self._exclusively(f"search/{self.name}"):
            taken = [number for number in self._left()[:most] if self._claim(number)]
            for number in taken:
                trial = open_trial(self.study, self._storage, number)
                self._propose(trial)
            room = min(most - len(taken), self.settings.trials - self._count())
            for _ in range(room):
                trial = self._ask()
                self._claim(trial.number)
                taken.append(trial.number)
        return [self.study.trials[number] for number in taken]

    def tell(self, number: int, result: JobResult) -> None:
        """Tells Optuna the result of a trial, and releases its claim.

        Args:
            number: The trial's number.
            result: The result of its job.

        Raises:
            SettingError: A metric that the search asks for does not exist.
        """
        if not self.study.trials[number].state.is_finished():
            self._tell(number, result)
        if self._store is not None:
            self._store.release(self._claim_name(number))

    def results(self) -> dict[int, JobResult]:
        """Returns the results of the trials that have ended, by their numbers."""
        return {t.number: _result(t) for t in self.study.trials if t.state.is_finished()}

    def _tell(self, number: int, result: JobResult) -> None:
        trial = open_trial(self.study, self._storage, number)
        values = self._values(result)
        if values is not None:
            trial.set_user_attr(METRICS, dict(result.metrics))
            for constraint in self.settings.constraints:
                violation = constraint.violation(result.metrics[constraint.metric])
                trial.set_constraint(str(constraint), violation)
            trial.study.tell(trial, values)
        elif result.status == Status.PRUNED:
            trial.study.tell(trial, state=TrialState.PRUNED)
        else:
            reason = lacking(self.settings, result) if result.succeeded else result.line
            trial.set_user_attr(ERROR, redacted(reason))
            trial.study.tell(trial, state=TrialState.FAIL)

    def _values(self, result: JobResult) -> list[float] | None:
        """Returns the values of the objectives; None if a metric of the search is lacking."""
        if not result.succeeded:
            return None
        for metric in self.settings.metrics:
            if metric not in result.metrics and not metric.startswith(LATE):
                raise _unknown(metric, result)
        if lacking(self.settings, result):
            return None
        return [result.metrics[objective.metric] for objective in self.settings.objectives]

    def _open(self) -> optuna.Study:
        directions: list[Any] = [objective.direction for objective in self.settings.objectives]
        study = optuna.create_study(
            study_name=self.name, storage=self._storage, directions=directions, load_if_exists=True
        )
        there = [direction.name.lower() for direction in study.directions]
        if there != directions:
            reason = f"there is already a study of this name, with the directions {there}"
            raise SettingError(f"{KEY}.name", self.name, reason)
        return study

    def _keep_others_out(self, folder: Path) -> FileLock:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "search.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            reason = "another process runs this search; only tracked searches can be shared"
            raise SettingError("tracking.uri", None, reason) from None
        return lock

    def _ask(self) -> optuna.Trial:
        self.study.sampler = self.settings.make_sampler(self._seed, self._count())
        try:
            return self.study.ask(dict(self.space.distributions))
        except (ValueError, TypeError, NotImplementedError, ImportError) as error:
            target, reason = self.settings.sampler._target_, str(error).splitlines()[0]
            raise SettingError(f"{KEY}.sampler", target, redacted(reason)) from error

    def _propose(self, trial: optuna.Trial) -> None:
        """Completes the settings of a trial whose process ended while it asked for them."""
        for name, distribution in self.space.distributions.items():
            trial._suggest(name, distribution)

    def _count(self) -> int:
        """Returns the number of trials, without those that somebody has queued."""
        return sum(trial.state != TrialState.WAITING for trial in self.study.trials)

    def _left(self) -> list[int]:
        """Returns the numbers of the running trials that no process has claimed."""
        running = [t.number for t in self.study.get_trials(states=(TrialState.RUNNING,))]
        if self._store is None:
            return running
        taken = self._store.claimed([self._claim_name(number) for number in running])
        return [number for number in running if self._claim_name(number) not in taken]

    def _claim(self, number: int) -> bool:
        return self._store is None or self._store.claim(self._claim_name(number)) is None

    def _claim_name(self, number: int) -> str:
        """Returns the name under which a process claims a trial."""
        return f"trial/{self.name}/{number}"

    @contextlib.contextmanager
    def _exclusively(self, claim: str) -> Iterator[None]:
        """Keeps other processes out of ``with`` blocks with the same claim."""
        if self._store is None:
            yield
            return
        while self._store.claim(claim) is not None:
            time.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            self._store.release(claim)


def lacking(settings: SearchSettings, result: JobResult) -> str:
    """Says why a finished job has no result for a search; an empty string if it has one.

    The mean over replicas leaves out those that diverged, and that of the epochs to solve those
    that never did. With it, a setting under which a single seed succeeds by luck could be the best,
    so all replicas must have the metrics.

    Args:
        settings: The search's settings.
        result: The result of the job.
    """
    metrics, needed = result.metrics, settings.metrics
    missing = [name for name in needed if not math.isfinite(metrics.get(name, math.nan))]
    if missing:
        return f"it has no finite {', '.join(missing)}, which the search needs"
    diverged = int(metrics.get("diverged", 0))
    if diverged:
        return f"{diverged} of its replicas diverged, so it has no result"
    late = [name for name in needed if name.startswith(LATE)]
    if late and metrics.get("solved", 1.0) < 1:
        return f"not all of its replicas solved the problem, so it has no {', '.join(late)}"
    return ""


def _result(trial: FrozenTrial) -> JobResult:
    """Returns the result of a trial, as this process or another has stored it."""
    if trial.state == TrialState.COMPLETE:
        return JobResult(Status.FINISHED, metrics=trial.user_attrs.get(METRICS, {}))
    if trial.state == TrialState.PRUNED:
        return JobResult(Status.PRUNED)
    return JobResult(Status.FAILED, str(trial.user_attrs.get(ERROR, UNTOLD)))


def _unknown(metric: str, result: JobResult) -> SettingError:
    known = sorted(name for name in result.metrics if not name.startswith("test/"))
    near = difflib.get_close_matches(metric, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "there are " + ", ".join(known)
    return SettingError(f"{KEY}.objectives", metric, f"jobs have no such metric; {hint}")
