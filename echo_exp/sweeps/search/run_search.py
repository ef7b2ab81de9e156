"""Runs a search, from its settings to its result: rounds of trials, each a job as in a sweep."""

import dataclasses
import functools
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from echo_exp import configuration, running, terminal
from echo_exp.configuration import exits
from echo_exp.settings import SettingError
from echo_exp.sweeps import descriptions, forecast, plan, stacks
from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.launch import workers
from echo_exp.sweeps.plan import Again, Job, Sweep
from echo_exp.sweeps.progress import SweepProgress
from echo_exp.sweeps.ranking import shown
from echo_exp.sweeps.rounds import ANOTHER_LOOK_SECONDS, Launch, run_jobs
from echo_exp.sweeps.run_sweep import parent_run, report_folder
from echo_exp.sweeps.search import results
from echo_exp.sweeps.search.settings import SearchSettings
from echo_exp.sweeps.search.space import Space
from echo_exp.sweeps.search.trials import Trials, lacking, study_name
from echo_exp.sweeps.watch import Watch, watching
from echo_exp.tracking import Run, Store

ROUNDS = 5
"""Trials that can be trained as one stack are launched in at least this many rounds, because a
sampler learns nothing from trials that run at the same time."""
NO_ESTIMATE = "Time: no estimate, since the settings of the trials are not known beforehand."
SHARED = "fit_seconds"
"""The metric that depends on the stack in which a run was trained."""


@dataclass(frozen=True)
class Search:
    """A search, as it is to be run.

    Attributes:
        name: The name of its parent run.
        command: The arguments of `echo-exp` that start it.
        settings: Its objectives, constraints, sampler and so on.
        space: The settings that it varies.
        raw_storage: The storage before interpolation: it may be `${oc.env:...}`, to keep a password
            out of what is written.
        at_once: How many trials are launched together, unless more fit into stacks.
    """

    name: str
    command: Sequence[str]
    settings: SearchSettings
    space: Space
    raw_storage: str
    at_once: int


def run_search(search: Search, config: DictConfig, launch: Launch) -> None:
    """Runs a search, prints its results, and ends the program with 1 if no trial is feasible.

    Args:
        search: The search.
        config: The configuration that all jobs share.
        launch: Launches jobs.

    Raises:
        SettingError: A setting is wrong, or a store cannot be used.
        Interrupted: A signal asked to stop; the same command continues the search.
    """
    corners = _check(search.space)
    code = " ".join(sorted({job.code for job in corners}))
    sweep = _as_sweep(search, config, code, plan.parameters(corners, ()))
    if sweep.settings.dry_run:
        foretell(search, sweep)
        return
    store = running.open_store(config)
    with running.reached(config):
        trials = Trials(search.settings, search.space, code, int(config.seed), store, sweep.folder)
    with parent_run(sweep, store, config) as parent:
        best = functools.partial(best_of, search.settings)
        progress = SweepProgress(parent, int(config.replicas), known=trials.results())
        total = search.settings.trials
        with watching("search", "trial", sweep.folder, total, best, progress.tell) as watch:
            _search(search, sweep, trials, store, parent, launch, watch)
        progress.tell(trials.results(), last=True)
        folder = report_folder(sweep, config, parent)
        results.tell(trials, sweep, store, parent, folder)
        if not results.feasible(trials.study):
            sys.exit(exits.FAILED)


def _as_sweep(search: Search, config: DictConfig, code: str, shared: Mapping[str, str]) -> Sweep:
    """Returns the search as a sweep, whose jobs are the trials."""
    settings = plan.settings(config)
    if SHARED in search.settings.metrics:
        settings = dataclasses.replace(settings, fused=False)
    if settings.again != Again.UNFINISHED:
        reason = "this search continues; hydra.sweeper.name=... starts another"
        raise SettingError("sweep.again", settings.again, reason)
    name = study_name(search.settings, search.space, code)
    distributions = search.space.distributions.items()
    varied = {configuration.setting(key): str(found) for key, found in distributions}
    return Sweep(
        name=search.name,
        command=search.command,
        jobs=(),
        settings=settings,
        folder=Path(config.hydra.sweep.dir).absolute() / name,
        axes=tuple(varied),
        parameters={**shared, **varied},
        about=descriptions.search(
            search.settings.objectives, search.settings.constraints, search.space.distributions
        ),
        tags={"search": name, **search.settings.goals.tags},
        told=[*search.settings.told(name, search.raw_storage), f"export={config.export}"],
        known_as=name,
        workers=workers(config),
        goals=search.settings.metrics,
        lowest=search.settings.objectives[0].direction == "minimize",
        numeric=[configuration.setting(name) for name in search.space.numbers],
    )


def foretell(search: Search, sweep: Sweep) -> None:
    """Prints what a search would vary; the settings of its trials are not known beforehand.

    Args:
        search: The search.
        sweep: The same as a sweep, whose jobs are the trials.
    """
    varied = [(name, _words(values)) for name, values in search.space.distributions.items()]
    terminal.console().print(terminal.table([("setting", "its values"), *varied]), "")
    print(
        f"{search.settings.trials} trials, including those of earlier starts; "
        f"{together(search, sweep)} at a time.\n{NO_ESTIMATE}\n{forecast.NOTHING}"
    )


def _words(values: BaseDistribution) -> str:
    if isinstance(values, CategoricalDistribution):
        return ", ".join(map(str, values.choices))
    assert isinstance(values, FloatDistribution | IntDistribution)
    return f"{values.low:g} to {values.high:g}{', logarithmic' if values.log else ''}"


def _check(space: Space) -> list[Job]:
    """Composes the corners of the space, so that a wrong name is reported before the first job.

    Returns:
        The jobs of the corners whose settings are right.

    Raises:
        SettingError: The settings of all corners are wrong.
        Exception: Hydra's, if a setting does not exist.
    """
    jobs = plan.make_jobs(space.overrides(params) for params in space.corners())
    errors = [job.error for job in jobs if job.error is not None]
    if len(errors) == len(jobs):
        raise errors[0]
    return [job for job in jobs if job.error is None]


def _search(
    search: Search,
    sweep: Sweep,
    trials: Trials,
    store: Store | None,
    parent: Run | None,
    launch: Launch,
    watch: Watch,
) -> None:
    """Runs rounds of trials until all have ended, those of other processes too."""
    at_once = together(search, sweep)
    while True:
        taken = trials.take(at_once)
        if taken:
            jobs, wrong = _jobs(taken, search.space)
            now = dataclasses.replace(sweep, jobs=jobs)
            others = trials.results() | wrong
            found = run_jobs(now, store, parent, launch, watch, others=others)
            for number, result in (wrong | found).items():
                trials.tell(number, result)
            continue
        done = trials.results()
        watch.follow((), done)
        if len(done) == len(trials.study.trials):
            return
        time.sleep(ANOTHER_LOOK_SECONDS)  # other processes are still running theirs


def together(search: Search, sweep: Sweep) -> int:
    """Returns how many trials are launched together.

    If trials can be trained in stacks, they fill a stack of each worker, but leave at least
    `ROUNDS` rounds. `n_jobs`, if it is given, and `sweep.fused=false` take precedence.

    Args:
        search: The search.
        sweep: The same as a sweep, whose jobs are the trials.
    """
    if search.settings.n_jobs is not None or not sweep.settings.fused:
        return search.at_once
    job = plan.make_jobs([search.space.overrides(search.space.corners()[0])])[0]
    if not search.space.distributions.keys() <= job.varied.keys():
        return search.at_once
    stack = stacks.networks_together(job) // int(job.varied["replicas"])
    return max(search.at_once, min(stack * sweep.workers, search.settings.trials // ROUNDS))


def best_of(settings: SearchSettings, results: Mapping[int, JobResult]) -> str:
    """Describes the best trial so far by the first objective; an empty string if none is feasible.

    Args:
        settings: The search's settings.
        results: The results of all trials that have ended, by their numbers.
    """
    first = settings.objectives[0]
    found = {
        number: result.metrics[first.metric]
        for number, result in results.items()
        if result.succeeded
        and not lacking(settings, result)
        and all(c.violation(result.metrics[c.metric]) <= 0 for c in settings.constraints)
    }
    if not found:
        return ""
    chosen = max if first.direction == "maximize" else min
    number = chosen(found, key=lambda number: found[number])
    return f"trial {number} ({first.metric} {shown(found[number])})"


def _jobs(taken: Sequence[FrozenTrial], space: Space) -> tuple[list[Job], dict[int, JobResult]]:
    """Returns the jobs of trials, and the results of trials whose settings are wrong."""
    overrides: dict[int, list[str]] = {}
    wrong: dict[int, JobResult] = {}
    for trial in taken:
        try:
            overrides[trial.number] = space.overrides(trial.params)
        except ValueError as error:
            wrong[trial.number] = JobResult(Status.FAILED, str(error))
    jobs = plan.make_jobs(overrides.values())
    numbered = zip(overrides, jobs, strict=True)
    return [dataclasses.replace(job, number=number) for number, job in numbered], wrong
