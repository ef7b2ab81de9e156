"""Shows what a sweep would run, and estimates how long it may take. Nothing is run or written.

Finished runs are read from the store without the writer, which would create a missing store.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from echo_exp import configuration, terminal
from echo_exp.running.resume import REPEATS
from echo_exp.sweeps import failures, job, more_seeds
from echo_exp.sweeps.plan import TAG, Again, Job, Sweep
from echo_exp.sweeps.rounds import planned
from echo_exp.sweeps.stacks import Stack
from echo_exp.sweeps.table import varied
from echo_exp.tracking.settings import check_uri, may_exist
from echo_exp.tracking.store import PARENT_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

    from echo_exp.tracking.access.connection import Access

NOTHING = "Nothing was run: sweep.dry_run=true."
RUN, ON, DONE, LEFT, WRONG = "to run", "to continue", "finished earlier", "failed earlier", "wrong"
"""The states of jobs, as they are printed; a wrong one has settings that are not allowed."""
NEWEST = 1000
"""This many of the newest runs of the experiment are read at once; among older runs each job is
looked up by itself."""
RECORDING_SECONDS = 0.4
"""The time that a job of a stack takes besides its training, as measured in docs/sweeps.md."""


@dataclass(frozen=True)
class Pace:
    """How fast a finished run was trained.

    Attributes:
        settings: Its settings, as texts.
        networks: How many networks were trained together.
        seconds: The time of one epoch of all of them together.
    """

    settings: Mapping[str, str]
    networks: int
    seconds: float


def tell(sweep: Sweep, config: DictConfig) -> None:
    """Prints the jobs of a sweep with their states and stacks, and an estimate of the time.

    Args:
        sweep: The sweep.
        config: The configuration that all jobs share.

    Raises:
        SettingError: The tracking store exists, but cannot be read.
    """
    found = _Found(config)
    sweep = more_seeds.divided(sweep, found.trained(sweep))
    states = _states(sweep, found)
    waiting = [each for each in sweep.jobs if states[each.number] in (RUN, ON)]
    stacks = planned(sweep, list({each.fingerprint: each for each in waiting}.values()))
    terminal.console().print(terminal.table(_lines(sweep, states, stacks)), "")
    counts = Counter(states.values())
    parts = [f"{counts[state]} {state}" for state in (DONE, LEFT, WRONG, ON, RUN) if counts[state]]
    jobs = terminal.counted(len(sweep.jobs), "job")
    print(f"{jobs}: {', '.join(parts)}{_of_stacks(stacks, sweep.workers)}")
    for line in failures.lines(job.reasons(sweep.problems), "job"):
        print(line)
    if stacks:
        print(time_of(stacks, found.paces(), sweep.workers))
    print(NOTHING)


def _lines(
    sweep: Sweep, states: Mapping[int, str], stacks: Sequence[Stack]
) -> Iterator[tuple[str, ...]]:
    """Yields the titles of the table of jobs, then a line for each job."""
    places = {each.fingerprint: str(n) for n, stack in enumerate(stacks) for each in stack}
    names = varied(sweep.jobs)
    yield "job", "settings", "state", "stack"
    for each in sweep.jobs:
        state = states[each.number]
        place = places[each.fingerprint] if state in (RUN, ON) else ""
        yield str(each.number), f"{' '.join(names[each.number])}{_seeds(each, sweep)}", state, place


def _seeds(each: Job, sweep: Sweep) -> str:
    """Returns the seeds of a job that has several, if the jobs differ in their seeds."""
    if "seed" not in sweep.axes or each.problem or len(each.seeds) == 1:
        return ""
    return f" (seeds {each.seeds[0]} to {each.seeds[-1]})"


def time_of(stacks: Sequence[Stack], paces: Sequence[Pace], workers: int) -> str:
    """Estimates how long some stacks take, and names the basis of the estimate.

    If the finished runs trained another number of networks together, the time lies between two
    bounds: that of the finished runs, and that time in proportion to the number of networks.

    Args:
        stacks: The stacks.
        paces: How fast finished runs were trained.
        workers: How many processes run at the same time.
    """
    bounds = [bound for stack in stacks if (bound := _bounds(stack, paces)) is not None]
    if not bounds:
        return (
            "Time: unknown; no run of these networks and problems has finished in the experiment."
        )
    least, most = (max(*ends, sum(ends) / workers) for ends in zip(*bounds, strict=True))
    alike = terminal.duration(least) == terminal.duration(most)
    training = terminal.duration(most)
    recording = terminal.duration(RECORDING_SECONDS * sum(map(len, stacks)))
    unknown = len(stacks) - len(bounds)
    return (
        f"Time: {training if alike else f'{terminal.duration(least)} to {training}'} of training, "
        f"about {recording} of recording\n"
        "(from finished runs of the same networks and problems, scaled by epochs"
        f"{'' if alike else '; they were trained in stacks of another size'}"
        f"{f'; without {unknown} of the stacks, for which no such run exists' if unknown else ''})"
    )


def _bounds(stack: Stack, paces: Sequence[Pace]) -> tuple[float, float] | None:
    """Returns bounds of the seconds that a stack trains; None if no finished run is like it."""
    if stack[0].stack is None:
        return None
    config = stack[0].stack.config
    apart = configuration.stack_settings(config)
    alike = _alike(configuration.parameters(config), apart)
    fitting = [pace for pace in paces if _alike(pace.settings, apart) == alike]
    if not fitting:
        return None
    networks = sum(int(each.varied["replicas"]) for each in stack)
    nearest = min((abs(math.log(p.networks / networks)), p.networks) for p in fitting)[1]
    pace = median(p.seconds for p in fitting if p.networks == nearest)
    seconds = pace * max(int(each.varied["epochs"]) for each in stack)
    ends = seconds, seconds * networks / nearest
    return min(ends), max(ends)


def _alike(parameters: Mapping[str, Any], apart: Collection[str]) -> dict[str, str]:
    return {key: str(value) for key, value in parameters.items() if key not in apart}


def _of_stacks(stacks: Sequence[Stack], workers: int) -> str:
    """Says in how many stacks the jobs run, how large these are, and how many run at once."""
    if not stacks:
        return ""
    sizes = [sum(int(each.varied.get("replicas", 1)) for each in stack) for stack in stacks]
    networks = terminal.counted(sizes[0], "network")
    if min(sizes) < max(sizes):
        networks = f"{min(sizes)} to {max(sizes)} networks"
    made = f", as {terminal.counted(len(stacks), 'stack')} of {networks}"
    if len(stacks) == 1:
        return made
    return f"{made}, {'one after the other' if workers == 1 else f'{workers} at once'}"


class _Found:
    """The runs of an experiment; none if there is no store yet.

    Args:
        config: The configuration that names the experiment and the store.
    """

    def __init__(self, config: DictConfig) -> None:
        self._settings = configuration.tracking(config)
        self._access: Access | None = None
        uri = self._settings.uri
        if uri is not None and may_exist(check_uri(uri)):
            from echo_exp.tracking.access import reader  # it imports MLflow

            self._access = reader.opened(self._settings)
        self._newest = self._search({"kind": "run"}, NEWEST)

    def same(self, fingerprint: str, code: str) -> "list[Run]":
        """Returns the runs with the settings and the code of a job."""
        tags = {"kind": "run", "fingerprint": fingerprint, "code": code}
        found = [run for run in self._newest if tags.items() <= run.data.tags.items()]
        older = len(self._newest) == NEWEST and not found
        return self._search(tags, NEWEST) if older else found

    def trained(self, sweep: Sweep) -> "more_seeds.Found[Run]":
        """Returns the finished runs with the cells of a study and any seeds."""
        if self._access is None or not more_seeds.continues(sweep):
            return {}
        from echo_exp.tracking.access import bulk, reader

        with reader.reached(self._access.uri):
            experiment = reader.experiment(self._access.client, self._settings.experiment)
            if experiment is None:
                return {}
            values = list(dict.fromkeys(each.repeats for each in sweep.jobs))
            number = experiment.experiment_id
            tagged = bulk.tagged(self._access, number, REPEATS, values)
            runs = bulk.finished(self._access, number, tagged)
        return more_seeds.grouped((run.data.tags, bulk.seeds(run), run) for run in runs)

    def parent(self, sweep: str) -> str | None:
        """Returns the id of a sweep's parent run, if the sweep was started before."""
        found = self._search({"kind": TAG, TAG: sweep}, 1)
        return found[0].info.run_id if found else None

    def paces(self) -> list[Pace]:
        """Returns how fast the newest runs were trained."""
        return [_pace(run) for run in self._newest if "fit_seconds" in run.data.metrics]

    def _search(self, tags: Mapping[str, str], most: int) -> "list[Run]":
        if self._access is None:
            return []
        from echo_exp.tracking.access import reader

        return reader.newest(self._access, self._settings, tags, most)


def _pace(run: "Run") -> Pace:
    params = run.data.params
    replicas = int(params["replicas"])
    networks = int(run.data.tags.get("stack", replicas))
    seconds = run.data.metrics["fit_seconds"] * networks / replicas / int(params["epochs"])
    return Pace(params, networks, seconds)


def _states(sweep: Sweep, found: _Found) -> dict[int, str]:
    """Returns the state of each job, as the sweep would find it."""
    states = {each.number: WRONG if each.problem else RUN for each in sweep.jobs}
    if sweep.settings.again == Again.ALL:
        return states
    parent = found.parent(sweep.identity)
    for each in sweep.jobs:
        if states[each.number] == RUN:
            runs = found.same(each.fingerprint, each.code)
            states[each.number] = _state(runs, parent, sweep.settings.again)
    return states


def _state(runs: "Sequence[Run]", parent: str | None, again: str) -> str:
    """Returns the state of a job, given the runs with its settings."""
    if any(run.info.status == "FINISHED" for run in runs):
        return DONE
    of_sweep = [run for run in runs if run.data.tags.get(PARENT_TAG) == parent]
    if again == Again.NEW and any(run.info.status != "RUNNING" for run in of_sweep):
        return LEFT
    return ON if runs else RUN
