"""Several runs, carried out as one stack: each has its own claim, its own entry and its own end."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from omegaconf import DictConfig
from torch import nn

from echo_exp import configuration
from echo_exp.configuration import Settings
from echo_exp.configuration.assembly import assemble, make_optimizer
from echo_exp.running import resume, training_run
from echo_exp.running.contract import check_network
from echo_exp.running.execution import checked_store, started
from echo_exp.running.result import Result
from echo_exp.running.training_run import THREADS_TAG, Begun, Recorded
from echo_exp.tracking import Store
from echo_exp.training.experiment import Parts
from echo_exp.training.interrupts import Interrupts
from echo_exp.training.member import Member, Watcher
from echo_exp.training.module import MakeOptimizer
from echo_exp.training.outcome import Outcome
from echo_exp.training.stack import check_stackable, train_stack
from echo_exp.training.threads import count_threads

SEND_SECONDS_A_RUN, MOST_SEND_SECONDS = 0.2, 5.0
"""The more runs a stack has, the less often it sends the metrics of each."""
STACK_TAG = "stack"
"""The tag of a run that says how many networks its stack had, its own included."""


@dataclass(frozen=True)
class Asked:
    """A run that is to be carried out in a stack.

    Attributes:
        config: Its composed configuration.
        overrides: What the user changed in it, for the record.
        watchers: Makes the objects that watch its validations.
    """

    config: DictConfig
    overrides: Sequence[str]
    watchers: Callable[[], Sequence[Watcher]] = tuple


OnEnd = Callable[[int, Result | Exception], None]
"""Called with the place of a run among those that were asked for, and its result or error."""


Progress = Callable[[Mapping[int, float]], None]
"""Called after each block with the share of epochs that each remaining run has done, by place."""


class StackError(Exception):
    """A stack could not be trained, for a reason that no single run has.

    Args:
        left: The ids of the runs that have not ended, by their places; None for one without an id.
        cause: The error that was the reason.
    """

    def __init__(self, left: Mapping[int, str | None], cause: Exception) -> None:
        super().__init__(str(cause))
        self.left = left
        self.cause = cause


@dataclass(frozen=True)
class _Sound:
    """A run whose settings are right."""

    asked: Asked
    settings: Settings
    make_optimizer: MakeOptimizer


@dataclass
class _Open:
    """A run of the stack that has not ended, with what to release when it does."""

    place: int
    begun: Begun
    member: Member
    held: contextlib.ExitStack = field(repr=False)


def execute_stack(
    asked: Sequence[Asked], parent: str | None, on_end: OnEnd, progress: Progress
) -> None:
    """Trains and tests what several configurations describe as one stack, and records each.

    They may differ in what `echo_exp.configuration.stack_settings` names, and in nothing else.

    Args:
        asked: The runs.
        parent: The id of the run that they are nested under.
        on_end: Called with each run as it ends; errors are those of `echo_exp.running.execute`.
        progress: Called with how far they are.

    Raises:
        StackError: They cannot be trained as a stack; those left can be carried out one by one.
        Interrupted: A signal asked to stop; the runs are KILLED and can be resumed.
    """
    with Interrupts() as interrupts:
        sound = _sound(asked, on_end)
        if not sound:
            return
        try:
            first = next(iter(sound.values()))
            store = checked_store(first.asked.config, parent)
            module = assemble(first.asked.config, first.settings).module
            check_network(module, len(first.settings.seeds))
            check_stackable(module)
        except Exception as error:
            raise StackError(dict.fromkeys(sound), error) from error
        left: dict[int, _Open] = {}
        try:
            for place, each in sound.items():
                _open(place, each, store, parent, left, on_end)
            if left:
                _train(list(left.values()), left, first, interrupts, on_end, progress)
        except Exception as error:
            runs = {place: each.begun.run for place, each in left.items()}
            _close(left, error)
            ids = {place: None if run is None else run.run_id for place, run in runs.items()}
            raise StackError(ids, error) from error
        except BaseException as error:
            _close(left, error)
            raise


def _sound(asked: Sequence[Asked], on_end: OnEnd) -> dict[int, _Sound]:
    """Returns the runs whose settings are right, by their places; the others end here."""
    sound = {}
    for place, each in enumerate(asked):
        try:
            settings = configuration.read(each.config)
            optimizer = make_optimizer(each.config, settings)
            optimizer([nn.Parameter(torch.zeros(1))])  # to find a bad value now
        except Exception as error:
            on_end(place, error)
        else:
            sound[place] = _Sound(each, settings, optimizer)
    return sound


def _open(
    place: int,
    sound: _Sound,
    store: Store | None,
    parent: str | None,
    left: dict[int, _Open],
    on_end: OnEnd,
) -> None:
    """Claims a run and opens its entry; a run that cannot be carried out ends here."""
    asked, settings = sound.asked, sound.settings
    with contextlib.ExitStack() as held:
        try:
            automatic = asked.config.resume == resume.AUTO
            start = held.enter_context(started(store, asked.config, asked.overrides))
            parts = functools.partial(assemble, start.config, settings)
            watchers = asked.watchers()
            begun = training_run.begin(
                start,
                store,
                asked.overrides,
                parent,
                settings.problem,
                parts,
                automatic,
                bool(watchers),
            )
            with begun.closed_early():
                member = Member(
                    settings.seeds,
                    settings.epochs,
                    sound.make_optimizer,
                    begun.run,
                    begun.folder,
                    begun.checkpoint,
                    watchers,
                )
        except Exception as error:
            on_end(place, error)
            return
        left[place] = _Open(place, begun, member, held.pop_all())


def _train(
    opened: Sequence[_Open],
    left: dict[int, _Open],
    shared: _Sound,
    interrupts: Interrupts,
    on_end: OnEnd,
    progress: Progress,
) -> None:
    opened = sorted(opened, key=_optimizer)
    members = [each.member for each in opened]
    parts = _parts(shared, members)
    by_member = {id(each.member): each for each in opened}
    everyone = len(parts.data.seeds)
    threads = count_threads(shared.settings.trainer, parts.module)
    seldom = min(MOST_SEND_SECONDS, SEND_SECONDS_A_RUN * len(opened))
    for place, each in enumerate(opened):
        run = each.begun.run
        if run is not None:
            run.set_tag(STACK_TAG, str(everyone))
            run.set_tag(THREADS_TAG, str(threads))
            run.send_every(seldom, phase=place / len(opened))
    loss_name = parts.module.representation.loss_name
    before = {each.place: each.member.remaining for each in opened}

    def tell() -> None:
        ahead = {place: each.member.remaining for place, each in left.items()}
        progress({p: 1 - n / before[p] if before[p] else 1.0 for p, n in ahead.items()})

    for ends in train_stack(parts, members, shared.settings.trainer, interrupts, tell):
        recorded = []
        with contextlib.ExitStack() as held:
            for member, end in ends:
                ended = by_member[id(member)]
                recorded.append((ended, _record(ended.begun, loss_name, end)))
                held.push(left.pop(ended.place).held)
            for ended, what in recorded:  # the others are written while this waits for one
                on_end(ended.place, _confirmed(ended.begun, what))


def _record(begun: Begun, loss_name: str, end: Outcome | Exception) -> Recorded | Exception:
    """Records the end of a run; returns an error if that fails or if the run has no outcome."""
    if isinstance(end, Exception):
        begun.end_early(end)
        return end
    try:
        return training_run.record(begun, loss_name, end)
    except Exception as error:
        begun.end_early(error)
        return error


def _confirmed(begun: Begun, what: Recorded | Exception) -> Result | Exception:
    """Returns what a run leaves, once all of it is written, or the error that ended it."""
    if isinstance(what, Exception):
        begun.await_end(what)
        return what
    try:
        return what.confirmed()
    except Exception as error:
        return error


def _optimizer(opened: _Open) -> list[tuple[str, float]]:
    """Returns what its updates depend on: neighbours for which it is equal are updated together."""
    varied = configuration.stack_settings(opened.begun.config)
    numbers = sorted((key, value) for key, value in varied.items() if key.startswith("optimizer."))
    return [*numbers, ("epochs", varied["epochs"])]


def _parts(shared: _Sound, members: Sequence[Member]) -> Parts:
    """Builds the objects of a stack from the settings that its runs share, and all their seeds."""
    seeds = [seed for member in members for seed in member.seeds]
    return assemble(shared.asked.config, dataclasses.replace(shared.settings, seeds=seeds))


def _close(left: dict[int, _Open], error: BaseException) -> None:
    """Closes the entries of the runs that have not ended."""
    for each in left.values():
        each.begun.end_early(error)
    while left:  # it waits only once for a silent store
        _, each = left.popitem()
        with each.held:
            each.begun.await_end(error)
