"""The settings of a search, checked: `conf/hydra/sweeper/optuna.yaml`."""

import dataclasses
import inspect
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler

from echo_exp import configuration
from echo_exp.settings import SettingError, integer, redacted
from echo_exp.sweeps.launch import in_this_process
from echo_exp.sweeps.search.goals import Constraint, Goals, Objective
from echo_exp.sweeps.study import quoted

KEY = "hydra.sweeper"
MAXIMIZE = "[maximize val/accuracy]: maximize or minimize, and a metric"
AT_LEAST = "[val/accuracy at least 0.99] or [parameters at most 5000]"
Goal = TypeVar("Goal", Objective, Constraint)
UNTRUSTED = ("CmaEsSampler",)
"""Samplers that unpickle data from the storage, which others may have written."""


@dataclass(frozen=True)
class SearchSettings:
    """The settings of a search.

    Args:
        objectives: The metrics to maximize or minimize.
        constraints: What a trial must fulfil to count.
        params: The settings that are varied, and those that are fixed, by their names.
        trials: How many trials the whole search has.
        n_jobs: How many of them are launched together; None leaves it to the launcher.
        storage: Where the trials are stored, as a URL.
        name: The name of Optuna's study there; None derives one.
        sampler: A class of Optuna that proposes settings, and its arguments.
        pruner: A class of Optuna that stops hopeless trials early, and its arguments; None if no
            trial is stopped.

    Raises:
        SettingError: A value is not allowed.
    """

    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]
    params: Mapping[str, Any]
    trials: int
    n_jobs: int | None
    storage: str
    name: str | None
    sampler: DictConfig
    pruner: DictConfig | None

    def __post_init__(self) -> None:
        integer(f"{KEY}.trials", self.trials, 1)
        if self.n_jobs is not None:
            integer(f"{KEY}.n_jobs", self.n_jobs, 1)
        self.make_sampler(0, 0)
        if self.pruner is None:
            return
        make_pruner(self.pruner)
        target = self.pruner._target_
        if len(self.objectives) > 1:
            reason = (
                "it compares unfinished trials, which several objectives do not rank; give one "
                "objective, or no pruner"
            )
            raise SettingError(f"{KEY}.pruner", target, reason)
        if not self.objectives[0].metric.startswith("val/"):
            reason = (
                "it compares validations: the objective must be a metric of val/, "
                f"not {self.objectives[0].metric}"
            )
            raise SettingError(f"{KEY}.pruner", target, reason)

    @property
    def goals(self) -> Goals:
        """The objectives and constraints."""
        return Goals(self.objectives, self.constraints)

    @property
    def metrics(self) -> list[str]:
        """The metrics that a trial must have, those of the objectives first."""
        goals: list[Objective | Constraint] = [*self.objectives, *self.constraints]
        return list(dict.fromkeys(goal.metric for goal in goals))

    def make_sampler(self, seed: int, trial: int) -> BaseSampler:
        """Returns the sampler of one trial, with a seed of its own.

        With the same seed, a second start or process would repeat the proposals of the first.

        Args:
            seed: The seed of the search.
            trial: How many trials there are before this one.

        Raises:
            SettingError: The sampler is not allowed, or has a seed.
        """
        if isinstance(self.sampler, DictConfig) and "seed" in self.sampler:
            raise SettingError(f"{KEY}.sampler.seed", self.sampler.seed, "`seed` seeds it")
        return cast("BaseSampler", _make(self.sampler, "sampler", (seed + trial) % 2**32))

    def at_once(self, launcher: DictConfig) -> int:
        """Returns how many trials are launched together, unless more fit into stacks.

        Args:
            launcher: The node `hydra.launcher`.
        """
        if self.n_jobs is not None:
            return self.n_jobs
        for key in ("n_jobs", "array_parallelism"):  # of joblib, and of submitit
            if launcher.get(key) is not None:
                given = int(launcher[key])
                return given if given > 0 else os.cpu_count() or 1
        return 1 if in_this_process(launcher) else os.cpu_count() or 1

    def told(self, name: str, storage: str) -> list[str]:
        """Returns the overrides that tell a job what it must know to be pruned.

        They change nodes of `hydra` only, which no run stores.

        Args:
            name: The name of Optuna's study.
            storage: The storage before interpolation: it may be `${oc.env:...}`.
        """
        if self.pruner is None:
            return []
        pruner = OmegaConf.to_container(self.pruner, resolve=True)
        return [
            f"{KEY.replace('.', '/')}=optuna",
            f"{KEY}.name={quoted(name)}",
            f"{KEY}.storage={quoted(storage)}",
            f"{KEY}.objectives={quoted([str(objective) for objective in self.objectives])}",
            f"++{KEY}.pruner={quoted(pruner)}",
        ]


def read(node: DictConfig) -> SearchSettings:
    """Reads the node `hydra.sweeper`.

    Args:
        node: The node.

    Raises:
        SettingError: A setting is unknown or not allowed.
    """
    names = [field.name for field in dataclasses.fields(SearchSettings)]
    for name in node:
        if name not in (*names, "_target_", "_recursive_"):
            known = [f"{KEY}.{known}" for known in names]
            raise configuration.unknown(f"{KEY}.{name!s}", node[name], known)
    given = {name: node[name] for name in names}
    return SearchSettings(
        **given
        | {
            "objectives": objectives(node),
            "constraints": [
                _goal("constraints", text, Constraint.read, AT_LEAST)
                for text in _list(node, "constraints")
            ],
            "params": cast(
                "dict[str, Any]", OmegaConf.to_container(node.params or OmegaConf.create())
            ),
        }
    )


def objectives(node: DictConfig) -> list[Objective]:
    """Reads the objectives of the node `hydra.sweeper`.

    Args:
        node: The node.

    Raises:
        SettingError: There are none, or one of them is not allowed.
    """
    found = [
        _goal("objectives", text, Objective.read, MAXIMIZE) for text in _list(node, "objectives")
    ]
    if not found:
        raise SettingError(f"{KEY}.objectives", "[]", "a search needs at least one")
    return found


def make_pruner(node: DictConfig | None) -> BasePruner:
    """Returns a pruner; without settings one that stops nothing.

    Args:
        node: The class and its arguments.

    Raises:
        SettingError: The settings are not allowed.
    """
    return NopPruner() if node is None else cast("BasePruner", _make(node, "pruner"))


def _make(node: Any, kind: str, seed: int | None = None) -> Any:
    """Returns an object of Optuna from its settings."""
    key, module = f"{KEY}.{kind}", f"optuna.{kind}s."
    target = node.get("_target_") if isinstance(node, DictConfig) else node
    if not (isinstance(target, str) and target.startswith(module)):
        reason = f"it must be a class of {module[:-1]} as `_target_`, with its arguments"
        raise SettingError(key, target, reason)
    if target.endswith(UNTRUSTED):
        reason = "it executes code from the storage, where others may write"
        raise SettingError(key, target, reason)
    seeded = {"seed": seed} if seed is not None and _takes_seed(target) else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return configuration.build(node, key, **seeded)
    except SettingError:
        raise
    except (ValueError, TypeError, ImportError) as error:
        raise SettingError(key, target, str(error).splitlines()[0]) from error


def _takes_seed(target: str) -> bool:
    try:
        return "seed" in inspect.signature(get_object(target)).parameters
    except Exception:  # there is no such class; building it raises an error
        return False


def _list(node: DictConfig, name: str) -> list[Any]:
    value = OmegaConf.to_container(node[name]) if OmegaConf.is_list(node[name]) else None
    if not isinstance(value, list):
        raise SettingError(f"{KEY}.{name}", node[name], "it must be a list")
    return value


def _goal(name: str, text: Any, read: Callable[[str], Goal], example: str) -> Goal:
    try:
        found = read(str(text))
    except ValueError:
        raise SettingError(f"{KEY}.{name}", text, f"it must be like {example}") from None
    if found.metric.startswith("test/"):
        reason = (
            "a search selects by validation metrics (val/...), so that the test measures what the "
            "selected settings are worth"
        )
        raise SettingError(f"{KEY}.{name}", redacted(str(text)), reason)
    return found
