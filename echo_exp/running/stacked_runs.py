"""Several runs, carried out as one stack: each has its own claim, its own entry and its own end."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from omegaconf import DictConfig
from torch import nn

from echo_exp import configuration
from echo_exp.configuration.assembly import assemble
from echo_exp.running import resume, training_run
from echo_exp.running.execution import checked_store, started
from echo_exp.running.result import Result
from echo_exp.running.training_run import Begun
from echo_exp.tracking import Store
from echo_exp.training.experiment import Parts
from echo_exp.training.interrupts import Interrupts
from echo_exp.training.stack import Member, Watcher, check_stackable, train_stack

SEND_SECONDS_A_RUN = 0.05
"""A stack sends the metrics of each run the less often, the more runs it has."""
STACK_TAG = "stack"
"""The tag of a run that says with how many networks it was trained as one stack, its own too."""


@dataclass(frozen=True)
class Asked:
    """A run that is to be carried out in a stack.

    Attributes:
        config: Its composed configuration.
        overrides: What the user changed in it, for the record.
        watchers: Makes what looks at its validations.
    """

    config: DictConfig
    overrides: Sequence[str]
    watchers: Callable[[], Sequence[Watcher]] = tuple


Told = Callable[[int, Result | Exception], None]
"""Is told what became of a run, by its place among those that were asked for."""


class StackError(Exception):
    """A stack could not be trained, for a reason that is none of a single run.

    Args:
        left: The runs that have not ended: the id of each by its place, None where it has none.
        cause: Why.
    """

    def __init__(self, left: Mapping[int, str | None], cause: Exception) -> None:
        super().__init__(str(cause))
        self.left = left
        self.cause = cause


@dataclass
class _Open:
    """A run of the stack that has not ended, with what is to be released when it does."""

    place: int
    begun: Begun
    member: Member
    held: contextlib.ExitStack = field(repr=False)


def execute_stack(asked: Sequence[Asked], parent: str | None, told: Told) -> None:
    """Trains and tests what several configurations describe as one stack, and records each.

    They may differ in what `echo_exp.configuration.stack_settings` names, and in nothing else.

    Args:
        asked: The runs.
        parent: The id of the run that they are nested under.
        told: Is told of each run as it ends; exceptions are those of `echo_exp.running.execute`.

    Raises:
        StackError: They cannot be trained so; what is left can be carried out one by one.
        Interrupted: A signal asked to stop; the runs are KILLED and can be resumed.
    """
    with Interrupts() as interrupts:
        sound = _sound(asked, told)
        if not sound:
            return
        try:
            config = asked[sound[0]].config
            store = checked_store(config, parent)
            check_stackable(assemble(config, configuration.read(config)).module)
        except Exception as error:
            raise StackError(dict.fromkeys(sound), error) from error
        left: dict[int, _Open] = {}
        try:
            for place in sound:
                _open(place, asked[place], store, parent, left, told)
            if left:
                _train(list(left.values()), left, config, interrupts, told)
        except Exception as error:
            runs = {place: each.begun.run for place, each in left.items()}
            _close(left, error)
            ids = {place: None if run is None else run.run_id for place, run in runs.items()}
            raise StackError(ids, error) from error
        except BaseException as error:
            _close(left, error)
            raise


def _sound(asked: Sequence[Asked], told: Told) -> list[int]:
    """Returns the places of the runs whose settings are right; of the others this is the end."""
    sound = []
    for place, each in enumerate(asked):
        try:
            configuration.read(each.config)
            _check_optimizer(each.config)
        except Exception as error:
            told(place, error)
        else:
            sound.append(place)
    return sound


def _open(
    place: int,
    asked: Asked,
    store: Store | None,
    parent: str | None,
    left: dict[int, _Open],
    told: Told,
) -> None:
    """Claims a run and opens its entry; one that cannot be carried out has its end here."""
    with contextlib.ExitStack() as held:
        try:
            automatic = asked.config.resume == resume.AUTO
            start = held.enter_context(started(store, asked.config, asked.overrides))
            settings = configuration.read(start.config)
            parts = assemble(start.config, settings)
            watchers = asked.watchers()
            begun = training_run.begin(
                start, store, asked.overrides, parent, parts, automatic, bool(watchers)
            )
            with begun.closed_early():
                member = Member(
                    settings.seeds,
                    settings.epochs,
                    parts.module.make_optimizer,
                    begun.run,
                    begun.folder,
                    begun.checkpoint,
                    watchers,
                )
        except Exception as error:
            told(place, error)
            return
        left[place] = _Open(place, begun, member, held.pop_all())


def _check_optimizer(config: DictConfig) -> None:
    """Checks the settings of a run's optimizer.

    Raises:
        SettingError: One is not allowed.
    """
    configuration.build(config.optimizer, "optimizer")([nn.Parameter(torch.zeros(1))])


def _train(
    opened: Sequence[_Open],
    left: dict[int, _Open],
    config: DictConfig,
    interrupts: Interrupts,
    told: Told,
) -> None:
    opened = sorted(opened, key=_optimizer)
    parts = _parts(config, [each.member for each in opened])
    by_member = {id(each.member): each for each in opened}
    everyone = len(parts.data.seeds)
    for each in opened:
        run = each.begun.run
        if run is not None:
            run.set_tag(STACK_TAG, str(everyone))
            run.send_seconds = max(run.send_seconds, SEND_SECONDS_A_RUN * len(opened))
    settings = configuration.read(config).trainer
    loss_name = parts.module.representation.loss_name
    members = [each.member for each in opened]
    for member, end in train_stack(parts, members, settings, interrupts):
        ended = left.pop(by_member[id(member)].place)
        with ended.held:
            if isinstance(end, Exception):
                ended.begun.fail(end)
                told(ended.place, end)
                continue
            try:
                with ended.begun.closed_early():
                    result = training_run.record(ended.begun, loss_name, end)
            except Exception as error:
                told(ended.place, error)
            else:
                told(ended.place, result)


def _optimizer(opened: _Open) -> list[tuple[str, float]]:
    """Returns the numbers of a run's optimizer: neighbours with the same are updated together."""
    varied = configuration.stack_settings(opened.begun.config)
    return sorted((key, value) for key, value in varied.items() if key.startswith("optimizer."))


def _parts(config: DictConfig, members: Sequence[Member]) -> Parts:
    """Builds the objects of a stack."""
    settings = configuration.read(config)
    seeds = [seed for member in members for seed in member.seeds]
    return assemble(config, dataclasses.replace(settings, seeds=seeds))


def _close(left: dict[int, _Open], error: BaseException) -> None:
    """Closes the entries of the runs that have not ended."""
    while left:
        _, each = left.popitem()
        with each.held:
            each.begun.fail(error)
