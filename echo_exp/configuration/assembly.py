"""Builds the parts of an experiment from its configuration."""

import functools
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig

from echo_exp.configuration.building import build
from echo_exp.configuration.checking import Settings, read
from echo_exp.configuration.memory import check_memory, networks_together, training_bytes
from echo_exp.task.data import EchoDataModule
from echo_exp.task.representation import Representation
from echo_exp.training.experiment import Parts
from echo_exp.training.module import EchoModule
from echo_exp.training.trainer import check_device


def assemble(config: DictConfig, settings: Settings) -> Parts:
    """Builds the experiment's objects from its configuration.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    problem, seeds = settings.problem, settings.seeds
    check_device(settings.trainer.accelerator)
    representation, make_model, outputs = _network(config, settings)
    check_memory(config, training_bytes(make_model(seeds=()), outputs), len(seeds))
    model = make_model(seeds=seeds)
    optimizer = build(config.optimizer, "optimizer")
    module = EchoModule(
        model, problem, representation, settings.batch_size, optimizer, settings.missing
    )
    module.configure_optimizers()  # a bad value shows now, before anything is written
    data = EchoDataModule(
        problem,
        settings.epochs,
        seeds,
        block=settings.trainer.block,
        validation_sequences=settings.trainer.validation_sequences,
        test_sequences=settings.trainer.test_sequences,
    )
    return Parts(module, data)


def stack_size(config: DictConfig) -> int:
    """Returns how many networks of a configuration are best trained as one stack.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    _, make_model, outputs = _network(config, read(config))
    return networks_together(make_model(seeds=()), outputs)


def _network(
    config: DictConfig, settings: Settings
) -> tuple[Representation, Callable[..., Any], int]:
    """Returns the representation, what makes the network, and its outputs for a batch."""
    problem = settings.problem
    sentinel = settings.missing.sentinel
    representation = build(config.representation, "representation", sentinel=sentinel)
    make_model = functools.partial(
        build,
        config.model,
        "model",
        n_features=representation.n_features,
        n_outputs=representation.n_outputs,
        n_in=problem.n_in,
        n_out=problem.n_out,
    )
    outputs = settings.batch_size * problem.n_out * representation.n_outputs
    return representation, make_model, outputs
