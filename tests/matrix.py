"""Every network with every problem, representation and policy for missing values, in small.

The options are found in `conf/`, so a new option is in every combination by itself.
"""

import copy
import dataclasses
import functools
import itertools
import pkgutil
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import nn

from echo_exp import configuration
from echo_exp.configuration.assembly import assemble
from echo_exp.network import TrainedNetwork
from echo_exp.task.problem import Problem
from echo_exp.training.experiment import Parts

SIZES = {
    "n_values": 3,
    "n_windows": 20,
    "length": 22,
    "n_in": 3,
    "n_out": 3,
    "n_items": 2,
    "delay": 1,
    "n_noise": 1,
    "n_pairs": 2,
    "n_queries": 1,
}
"""Sizes that are soon learnt; a problem has the smaller of these and those of its file."""
SETTINGS = (
    "model.units=8",
    "optimizer.learning_rate=0.05",
    "trainer.progress=none",
    "trainer.validate_every=2",
    "trainer.validation_sequences=2",
    "trainer.test_sequences=2",
)
CARRIED, RESET = "carried", "reset"
PRE = "+pre"
"""Marks a network whose padding is set to pre, so that it answers when it has read the window."""


class Case(NamedTuple):
    """One combination: an option of each group, and whether the state is carried."""

    network: str
    problem: str
    representation: str
    missing: str
    state: str

    def __str__(self) -> str:
        return "-".join(self)


def options(group: str) -> list[str]:
    """Returns the options of a group."""
    return sorted(path.stem for path in (configuration.FOLDER / group).glob("*.yaml"))


@functools.cache
def option(group: str, name: str) -> DictConfig:
    """Returns the settings of an option."""
    settings: DictConfig = _composed(f"{group}={name}")[group]
    return settings


def networks() -> list[str]:
    """Returns all networks; those that can be padded, but are not by default, occur twice."""
    every = options("model")
    return [*every, *(name + PRE for name in every if unpadded(name))]


def unpadded(network: str) -> bool:
    """Says whether a network can be padded but is not, so that it echoes whole windows only."""
    return option("model", network).get("padding", PRE) is None


def every() -> list[Case]:
    """Returns all combinations."""
    groups = [options(group) for group in ("problem", "representation", "missing")]
    return [Case(*each) for each in itertools.product(networks(), *groups, (CARRIED, RESET))]


def refused(case: Case) -> set[str]:
    """Returns the settings that make a combination meaningless; a valid one has none.

    Independent windows are never incomplete and carry no state. A network without a state cannot
    carry one. A network that answers at every timestep needs as many answers as timesteps, or a
    padding, and must not answer before it has read the integer.
    """
    problem, model = _problem(case.problem), _model(case.network)
    reasons = set()
    if problem.independent and _incomplete(case.missing):
        reasons.add("missing")
    if case.state == CARRIED and (problem.independent or not has_state(case.network)):
        reasons.add("model.stateful")
    if "padding" in model:
        first = problem.n_in - problem.n_out if model.padding == "pre" else 0
        if any(first + answer < due for answer, due in enumerate(problem.due)):
            reasons.add("model.padding")
        elif model.padding is None and problem.n_out != problem.n_in:
            reasons.add("problem.n_out")
    return reasons


def topology(network: str) -> type[nn.Module]:
    """Returns the class of a network."""
    found: type[nn.Module] = target("model", network.removesuffix(PRE))
    return found


def target(group: str, name: str) -> Any:
    """Returns the class of an option."""
    return pkgutil.resolve_name(option(group, name)[configuration.TARGET])


def topologies() -> dict[str, type[nn.Module]]:
    """Returns the classes of networks, each by the first option that names it."""
    first = {topology(name): name for name in reversed(options("model"))}
    return {name: topology(name) for name in sorted(first.values())}


def sizes(problem: str) -> dict[str, int]:
    """Returns the settings of a problem that make it small."""
    node = option("problem", problem)
    return {name: min(size, node[name]) for name, size in SIZES.items() if name in node}


def independent(problem: str) -> bool:
    """Says whether the windows of a problem are independent of each other."""
    return _problem(problem).independent


@functools.cache
def has_state(network: str) -> bool:
    """Says whether a network has a state, by running it."""
    case = Case(network, "echo_whole", "one_hot", "drop", RESET)
    module = parts(case).module
    _, state = module.model(torch.zeros(1, 1, module.problem.n_in, dtype=torch.long))
    return bool(state)


def pairwise(cases: Iterable[Case], of: str | None = None) -> list[Case]:
    """Returns enough of the given combinations that they contain each pair of options.

    Pairs that occur in none of the combinations are left out. The choice is greedy: the next
    combination is the first of those that add the most new pairs.

    Args:
        cases: The combinations.
        of: A field of `Case`: only pairs with one of its options count; None for all pairs.
    """
    pairs = {case: _pairs(case, of) for case in cases}
    left = set[tuple[Any, ...]]().union(*pairs.values())
    chosen = []
    while left:
        chosen.append(max(pairs, key=lambda case: len(pairs[case] & left)))
        left -= pairs[chosen[-1]]
    return chosen


def config(case: Case, **changes: Any) -> DictConfig:
    """Returns the configuration of a combination, with other values of settings at its root."""
    config = copy.deepcopy(_base())
    config.model, config.problem = copy.deepcopy(_model(case.network)), _sized(case.problem)
    config.model.stateful = case.state == CARRIED
    config.representation = copy.deepcopy(option("representation", case.representation))
    config.missing = copy.deepcopy(option("missing", case.missing))
    config.batch_size = configuration.problem(config).n_windows // 2  # two batches a sequence
    for key, value in changes.items():
        OmegaConf.update(config, key, value, merge=False)
    return config


def parts(case: Case, seeds: Sequence[int] = (1,), **changes: Any) -> Parts:
    """Returns the objects of a combination, or raises the `SettingError` that refuses it."""
    composed = config(case, **changes)
    settings = dataclasses.replace(configuration.read(composed), seeds=seeds)
    return assemble(composed, settings)


def untrained(case: Case, **changes: Any) -> TrainedNetwork:
    """Returns the network of a combination with its initial weights, as if loaded from a run."""
    composed = config(case, **changes)
    settings = configuration.read(composed)
    module = assemble(composed, settings).module.eval().requires_grad_(False)
    return TrainedNetwork(module, composed, settings, 1, 0, None, {})


@functools.cache
def _base() -> DictConfig:
    return _composed(*SETTINGS)


def _composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        return compose("config", list(overrides))


@functools.cache
def _model(network: str) -> DictConfig:
    model = copy.deepcopy(option("model", network.removesuffix(PRE)))
    model.units = _base().model.units
    if network.endswith(PRE):
        model.padding = "pre"
    return model


def _sized(problem: str) -> DictConfig:
    node = copy.deepcopy(option("problem", problem))
    node.update(sizes(problem))
    return node


@functools.cache
def _problem(name: str) -> Problem:
    found: Problem = configuration.build(_sized(name), "problem")
    return found


@functools.cache
def _incomplete(missing: str) -> bool:
    return bool(configuration.build(option("missing", missing), "missing").incomplete)


def _pairs(case: Case, of: str | None) -> set[tuple[Any, ...]]:
    pairs = itertools.combinations(case._asdict().items(), 2)
    return {pair for pair in pairs if of is None or of in dict(pair)}
