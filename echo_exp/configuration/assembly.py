"""Builds the parts of an experiment from its configuration."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from omegaconf import DictConfig

from echo_exp.configuration.building import build, takes
from echo_exp.configuration.checking import Settings
from echo_exp.configuration.memory import check_memory
from echo_exp.configuration.shapes import need, network
from echo_exp.settings import SettingError
from echo_exp.task.data import EchoDataModule
from echo_exp.task.problem import at_other_lengths
from echo_exp.training.experiment import Parts
from echo_exp.training.module import EchoModule, MakeOptimizer
from echo_exp.training.trainer import check_device


def assemble(config: DictConfig, settings: Settings) -> Parts:
    """Builds the experiment's objects from its configuration.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    check_device(settings.trainer.accelerator)
    _check_memory(config, settings)
    _, make_model = network(config, settings)
    lengths = {}
    for length, problem in at_other_lengths(settings.problem).items():
        other = dataclasses.replace(settings, problem=problem)
        _check_same_weights(make_model, network(config, other)[1], length)
        _check_memory(config, other)
        lengths[length] = partial(_at_length, config, other)
    parts = _parts(config, settings, make_optimizer(config, settings), lengths)
    parts.module.configure_optimizers()  # a bad value shows now, before anything is written
    return parts


def _check_memory(config: DictConfig, settings: Settings) -> None:
    representation, make_model = network(config, settings)
    needed = need(make_model(seeds=()), representation, settings)
    check_memory(config, needed, len(settings.seeds))


def _parts(
    config: DictConfig,
    settings: Settings,
    optimizer: MakeOptimizer,
    lengths: Mapping[int, Callable[[Sequence[int]], Parts]],
) -> Parts:
    representation, make_model = network(config, settings)
    needed = need(make_model(seeds=()), representation, settings)
    module = EchoModule(
        make_model(seeds=settings.seeds),
        settings.problem,
        representation,
        settings.batch_size,
        optimizer,
        settings.missing,
        settings.trainer.clip_norm,
    )
    data = EchoDataModule(
        settings.problem,
        settings.epochs,
        settings.seeds,
        block=settings.trainer.block,
        validation_sequences=settings.trainer.validation_sequences,
        test_sequences=settings.trainer.test_sequences,
        side_by_side=needed.side_by_side(len(settings.seeds)),
    )
    return Parts(module, data, lengths)


def _at_length(config: DictConfig, settings: Settings, seeds: Sequence[int]) -> Parts:
    """Returns what tests networks of these seeds on a problem of another length."""
    replaced = dataclasses.replace(settings, seeds=seeds)
    return _parts(config, replaced, make_optimizer(config, replaced), {})


def _check_same_weights(
    make_model: Callable[..., Any], make_other: Callable[..., Any], length: int
) -> None:
    """Refuses a length at which a network has other weights than it is trained with."""
    one, other = (
        {name: tuple(value.shape) for name, value in make(seeds=()).state_dict().items()}
        for make in (make_model, make_other)
    )
    differ = [name for name, shape in one.items() if other.get(name) != shape]
    if differ:
        reason = (
            f"this network has other weights at this length ({', '.join(differ)}): it must be one "
            "that reads any number of timesteps"
        )
        raise SettingError("problem.test_lengths", length, reason)


def make_optimizer(config: DictConfig, settings: Settings) -> MakeOptimizer:
    """Returns what makes a run's optimizer, which is told how long the run is if it takes that.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    length = {
        "epochs": settings.epochs,
        "updates_per_epoch": settings.problem.n_windows // settings.batch_size,
    }
    told = all(takes(config.optimizer, "optimizer", name) for name in length)
    make: MakeOptimizer = build(config.optimizer, "optimizer", **(length if told else {}))
    return make
