"""What a sweep would do, and how long it may take: nothing is run, made or written.

Finished runs are looked for in the store as it lies there, without the writer, which would make it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from echo_exp import configuration, terminal
from echo_exp.sweeps import failures, job
from echo_exp.sweeps.plan import TAG, Again, Sweep
from echo_exp.sweeps.rounds import planned
from echo_exp.sweeps.stacks import Stack
from echo_exp.sweeps.table import varied
from echo_exp.tracking.settings import check_uri, may_exist

if TYPE_CHECKING:
    from mlflow.entities import Run

    from echo_exp.tracking.access.connection import Access

NOTHING = "Nothing was run: sweep.dry_run=true."
RUN, ON, DONE, LEFT, WRONG = "to run", "goes on", "finished earlier", "failed earlier", "wrong"
"""What may be known of a job."""
LOOKED_AT = 200
"""So many of the newest runs of the experiment tell how long trainings take."""
MOST_SAME = 50
"""So many of the newest runs with the settings of a job tell whether one has finished."""
RECORDING_SECONDS = 0.4
"""What a job of a stack takes beside its training, as docs/sweeps.md has it."""


@dataclass(frozen=True)
class Pace:
    """How fast a finished run was trained.

    Attributes:
        settings: What was the same for all networks of its stack, as texts.
        networks: How many networks were trained together.
        seconds: Time of an epoch of all of them.
    """

    settings: Mapping[str, str]
    networks: int
    seconds: float


def tell(asked: Sweep, config: DictConfig) -> None:
    """Prints the jobs of a sweep, what is known of each, their stacks and an estimate of the time.

    Args:
        asked: The sweep.
        config: The configuration that all jobs share.

    Raises:
        SettingError: The tracking store is there and cannot be read.
    """
    access = _store(config)
    states = _states(asked, config, access)
    waiting = {each.fingerprint: each for each in asked.jobs if states[each.number] in (RUN, ON)}
    stacks = planned(asked, list(waiting.values()))
    places = {each.fingerprint: place for place, stack in enumerate(stacks) for each in stack}
    names = varied(asked.jobs)
    lines = [("cell" if configuration.STUDY in asked.tags else "job", "settings", "state", "stack")]
    lines += [
        (
            *(str(each.number), " ".join(names[each.number]), states[each.number]),
            str(places.get(each.fingerprint, "") if states[each.number] in (RUN, ON) else ""),
        )
        for each in asked.jobs
    ]
    terminal.console().print(terminal.table(lines), "")
    counts = Counter(states.values())
    told = [f"{counts[state]} {state}" for state in (DONE, LEFT, WRONG, ON, RUN) if counts[state]]
    print(f"{len(asked.jobs)} jobs: {', '.join(told)}{_of_stacks(stacks, asked.workers)}")
    print(
        "\n".join(failures.lines(job.reasons(asked.problems), "job")),
        end="\n" * bool(counts[WRONG]),
    )
    if stacks:
        print(time_of(stacks, _paces(config, access), asked.workers))
    print(NOTHING)


def time_of(stacks: Sequence[Stack], paces: Sequence[Pace], workers: int) -> str:
    """Estimates how long some stacks take, and says what from.

    A stack of more networks than were trained together takes at least as long as these, and at
    most longer in the same proportion; one of fewer likewise.

    Args:
        stacks: The stacks.
        paces: Finished runs.
        workers: Processes that run at the same time.
    """
    bounds = [bound for stack in stacks if (bound := _bounds(stack, paces)) is not None]
    if not bounds:
        return (
            "Time: unknown; no run of these networks and problems has finished in the experiment."
        )
    least, most = (max(*ends, sum(ends) / workers) for ends in zip(*bounds, strict=True))
    alike = terminal.duration(least) == terminal.duration(most)
    told = [] if alike else [terminal.duration(least)]
    training = " to ".join([*told, terminal.duration(most)])
    unknown = len(stacks) - len(bounds)
    besides = f", and that of {unknown} stacks, which is unknown" if unknown else ""
    recording = terminal.duration(RECORDING_SECONDS * sum(map(len, stacks)))
    return (
        f"Time: {training} of training{besides}, and about {recording} of recording. The training "
        "is that of finished runs with the same network and problem, scaled by epochs"
        + ("." if alike else "; they were trained in stacks of another size.")
    )


def _bounds(stack: Stack, paces: Sequence[Pace]) -> tuple[float, float] | None:
    """Returns the least and the most seconds that a stack may train; None where nothing tells."""
    if stack[0].stack is None:
        return None
    config = stack[0].stack.config
    alike = _alike(configuration.parameters(config), configuration.stack_settings(config))
    fitting = [pace for pace in paces if pace.settings == alike]
    if not fitting:
        return None
    networks = sum(int(each.varied["replicas"]) for each in stack)
    nearest = min((abs(math.log(p.networks / networks)), p.networks) for p in fitting)[1]
    pace = median(p.seconds for p in fitting if p.networks == nearest)
    seconds = pace * max(int(each.varied["epochs"]) for each in stack)
    ends = seconds, seconds * networks / nearest
    return min(ends), max(ends)


def _alike(parameters: Mapping[str, Any], apart: Iterable[str]) -> dict[str, str]:
    return {key: str(value) for key, value in parameters.items() if key not in set(apart)}


def _of_stacks(stacks: Sequence[Stack], workers: int) -> str:
    if not stacks:
        return ""
    sizes = [sum(int(each.varied.get("replicas", 1)) for each in stack) for stack in stacks]
    largest = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else str(max(sizes))
    at_once = "one after the other" if workers == 1 else f"{workers} at once"
    return f"; {len(stacks)} stacks of {largest} networks, {at_once}"


def _store(config: DictConfig) -> "Access | None":
    """Opens the store to read from; None where there is none yet."""
    settings = configuration.tracking(config)
    if settings.uri is None or not may_exist(check_uri(settings.uri)):
        return None
    from echo_exp.tracking.access import reader  # it imports MLflow

    return reader.opened(settings)


def _states(asked: Sweep, config: DictConfig, access: "Access | None") -> dict[int, str]:
    """Returns what is known of each job, as the sweep would find it."""
    states = {each.number: WRONG if each.problem else RUN for each in asked.jobs}
    if access is None or asked.settings.again == Again.ALL:
        return states
    parents = _newest(access, config, {"kind": TAG, TAG: asked.identity}, 1)
    of_sweep = parents[0].info.run_id if parents else None
    for each in asked.jobs:
        if states[each.number] == RUN:
            same = {"kind": "run", "fingerprint": each.fingerprint, "code": each.code}
            runs = _newest(access, config, same, MOST_SAME)
            states[each.number] = _state(runs, of_sweep, asked.settings.again)
    return states


def _state(runs: "Sequence[Run]", of_sweep: str | None, again: str) -> str:
    """Returns what runs with the settings of a job say of it."""
    if any(run.info.status == "FINISHED" for run in runs):
        return DONE
    own = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == of_sweep]
    if again == Again.NEW and any(run.info.status != "RUNNING" for run in own):
        return LEFT
    return ON if runs else RUN


def _paces(config: DictConfig, access: "Access | None") -> list[Pace]:
    """Returns how fast the newest finished runs of the experiment were trained."""
    if access is None:
        return []
    runs = _newest(access, config, {"kind": "run"}, LOOKED_AT)
    return [_pace(config, run) for run in runs if "fit_seconds" in run.data.metrics]


def _pace(config: DictConfig, run: "Run") -> Pace:
    params, apart = run.data.params, configuration.stack_settings(config)
    replicas = int(params["replicas"])
    networks = int(run.data.tags.get("stack", replicas))
    seconds = run.data.metrics["fit_seconds"] * networks / replicas / int(params["epochs"])
    return Pace(_alike(params, apart), networks, seconds)


def _newest(
    access: "Access", config: DictConfig, tags: Mapping[str, str], most: int
) -> "list[Run]":
    from echo_exp.tracking.access import reader

    return reader.newest(access, configuration.tracking(config), tags, most)
