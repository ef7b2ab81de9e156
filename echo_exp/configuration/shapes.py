"""The size of the network of a configuration; needs torch, but not Lightning."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from echo_exp.configuration import memory
from echo_exp.configuration.checking import Settings, read
from echo_exp.configuration.groups import TARGET
from echo_exp.configuration.memory import Need, networks_together
from echo_exp.configuration.problem_and_network import network
from echo_exp.settings import SettingError
from echo_exp.task.problem import TEST_LENGTHS, at_lengths, in_training
from echo_exp.task.representation import Representation


def stack_size(config: DictConfig) -> int:
    """Returns how many networks of a configuration are best trained as one stack.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    settings = read(config)
    sized = size(config, settings)
    tests = [
        size(config, replace(settings, problem=problem), trained=False)
        for problem in at_lengths(settings.problem, TEST_LENGTHS).values()
    ]
    return min(networks_together(sized.empty, each.need) for each in (sized, *tests))


@dataclass(frozen=True)
class Sized:
    """A configuration whose network has a known size, but is not built yet.

    Attributes:
        config: The configuration.
        settings: Its checked settings.
        representation: How the network sees integers.
        make_model: Makes the network.
        empty: The network with no replicas.
        trained: Whether it is trained, not only tested.
    """

    config: DictConfig
    settings: Settings
    representation: Representation
    make_model: Callable[..., Any]
    empty: nn.Module
    trained: bool

    @functools.cached_property
    def need(self) -> Need:
        """The memory that its training, or its test, takes."""
        return need(self.empty, self.representation, self.settings, self.trained)


def size(config: DictConfig, settings: Settings, trained: bool = True) -> Sized:
    """Returns a configuration with the size of its network.

    Args:
        config: The configuration.
        settings: Its checked settings.
        trained: Whether it is trained, not only tested.

    Raises:
        SettingError: A setting of the representation or the network is not allowed.
    """
    representation, make_model = network(config, settings.problem, settings.missing)
    return Sized(config, settings, representation, make_model, _empty(config, make_model), trained)


def _empty(config: DictConfig, make_model: Callable[..., Any]) -> nn.Module:
    """Makes a network with no replicas.

    Raises:
        SettingError: It cannot be made so; or it does not say whether it carries its state.
    """
    try:
        made: nn.Module = make_model(seeds=())
    except SettingError:
        raise
    except Exception as error:
        reason = "it must be built for no seeds, too (seeds=()), from which its memory is estimated"
        said = f"{reason} ({type(error).__name__}: {error})"
        raise SettingError("model", config.model[TARGET], said) from error
    if not isinstance(getattr(made, "stateful", None), bool):
        reason = "its attribute `stateful` must say whether its state is carried: True or False"
        raise SettingError("model", type(made).__name__, reason)
    return made


def need(
    empty: nn.Module, representation: Representation, settings: Settings, trained: bool = True
) -> Need:
    """Returns the memory that a training takes.

    Args:
        empty: The network with no replicas.
        representation: How it sees integers.
        settings: The checked settings.
        trained: Whether the network is trained, not only tested.
    """
    problem, batch = settings.problem, settings.batch_size
    longest = max(each.n_in for each in (problem, *in_training(problem)))
    windows = torch.zeros(1, batch, longest, dtype=torch.long)
    return memory.need(
        empty,
        outputs=batch * problem.n_out * representation.n_outputs,
        x=representation.encode(windows),
        present=settings.missing.present(windows),
        sequences=max(settings.trainer.validation_sequences, settings.trainer.test_sequences),
        replicas=len(settings.seeds),
        trained=trained,
    )
