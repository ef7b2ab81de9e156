"""Builds the parts of an experiment from its configuration."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from omegaconf import DictConfig
from torch import nn

from echo_exp.configuration.building import build, takes
from echo_exp.configuration.checking import Settings
from echo_exp.configuration.memory import check_memory
from echo_exp.configuration.shapes import Sized, size
from echo_exp.settings import SettingError
from echo_exp.task.data import EchoDataModule
from echo_exp.task.problem import LENGTHS, TEST_LENGTHS, at_lengths
from echo_exp.training.experiment import Parts
from echo_exp.training.module import EchoModule, MakeOptimizer
from echo_exp.training.slices import differing
from echo_exp.training.trainer import check_device


def assemble(config: DictConfig, settings: Settings) -> Parts:
    """Builds the experiment's objects from its configuration.

    Args:
        config: The configuration.
        settings: Its checked settings.

    Returns:
        The objects, and how to make those for other lengths of the window.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    check_device(settings.trainer.accelerator)
    sized = size(config, settings)
    check_memory(config, sized.need, len(settings.seeds))
    lengths = {name: _at_lengths(sized, name) for name in LENGTHS}
    for length, other in lengths[TEST_LENGTHS].items():
        _check_test_memory(other, length)
    tests = {length: partial(_parts, other) for length, other in lengths[TEST_LENGTHS].items()}
    parts = _parts(sized, settings.seeds, tests)
    parts.module.configure_optimizers()  # raises for a bad value before anything is written
    return parts


def _at_lengths(sized: Sized, name: str) -> dict[int, Sized]:
    """Returns the configuration at each length of its training or its tests, by the length."""
    found = {}
    for length, problem in at_lengths(sized.settings.problem, name).items():
        settings = dataclasses.replace(sized.settings, problem=problem)
        other = size(sized.config, settings, trained=name != TEST_LENGTHS)
        _check_same_weights(sized.empty, other.empty, f"problem.{name}", length)
        found[length] = other
    return found


def _check_test_memory(sized: Sized, length: int) -> None:
    try:
        check_memory(sized.config, sized.need, len(sized.settings.seeds))
    except SettingError as error:
        raise SettingError(f"problem.{TEST_LENGTHS}", length, f"at this length {error}") from error


def _parts(
    sized: Sized,
    seeds: Sequence[int],
    lengths: Mapping[int, Callable[[Sequence[int]], Parts]] | None = None,
) -> Parts:
    """Returns the objects of an experiment, with one network for each seed."""
    settings = sized.settings
    module = EchoModule(
        sized.make_model(seeds=seeds),
        settings.problem,
        sized.representation,
        settings.batch_size,
        make_optimizer(sized.config, settings),
        settings.missing,
        settings.trainer.clip_norm,
    )
    data = EchoDataModule(
        settings.problem,
        settings.epochs,
        seeds,
        block=settings.trainer.block,
        validation_sequences=settings.trainer.validation_sequences,
        test_sequences=settings.trainer.test_sequences,
        side_by_side=sized.need.side_by_side(len(seeds)),
    )
    return Parts(module, data, lengths or {})


def _check_same_weights(network: nn.Module, other: nn.Module, key: str, length: int) -> None:
    """Refuses a length for which the network's weights would have other shapes."""
    differ = differing(network.state_dict(), other.state_dict())
    if differ:
        reason = (
            f"this network has other weights at this length ({', '.join(differ)}): it must be one "
            "that reads any number of timesteps"
        )
        raise SettingError(key, length, reason)


def make_optimizer(config: DictConfig, settings: Settings) -> MakeOptimizer:
    """Returns the factory of a run's optimizer, which gets the length of the run if it accepts it.

    Args:
        config: The configuration.
        settings: Its checked settings.

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
