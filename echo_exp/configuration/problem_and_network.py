"""The problem, the representation and the network that a configuration names; imports no torch.

What this module passes to them decides what is learned, so it belongs to the version of the code.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from echo_exp.configuration.building import build, takes
from echo_exp.configuration.groups import TARGET
from echo_exp.settings import SettingError
from echo_exp.task.missing import Missing
from echo_exp.task.problem import Problem

if TYPE_CHECKING:
    from echo_exp.task.representation import Representation


def problem(config: DictConfig) -> Problem:
    """Returns the problem of a configuration.

    Raises:
        SettingError: One of its settings is not allowed, or it cannot be combined with ``missing``.
    """
    missing: Missing = build(config.missing, "missing")
    if not takes(config.problem, "problem", "incomplete"):
        if missing.incomplete:
            policy = config.missing[TARGET].rpartition(".")[2]
            reason = "this problem has no incomplete windows: use missing=drop"
            raise SettingError("missing", policy, reason)
        found: Problem = build(config.problem, "problem")
        return found
    found = build(config.problem, "problem", incomplete=missing.incomplete)
    if missing.incomplete and found.n_in == 1:
        raise SettingError(
            "problem.n_in", 1, "windows of one integer are never incomplete: use missing=drop"
        )
    return found


def network(
    config: DictConfig, problem: Problem, missing: Missing
) -> tuple["Representation", Callable[..., Any]]:
    """Returns the representation, and the factory of the network.

    Args:
        config: The configuration.
        problem: Its problem.
        missing: What it does with missing values.

    Raises:
        SettingError: A setting of the representation is not allowed.
    """
    representation = _representation(config, problem, missing)
    make_model = functools.partial(
        build,
        config.model,
        "model",
        n_features=representation.n_features,
        n_outputs=representation.n_outputs,
        n_in=problem.n_in,
        n_out=problem.n_out,
    )
    return representation, make_model


def _representation(config: DictConfig, problem: Problem, missing: Missing) -> "Representation":
    node, marks = config.representation, problem.marks
    given: dict[str, Any] = {"sentinel": missing.sentinel}
    if takes(node, "representation", "n_marks"):
        given["n_marks"] = len(marks)
    elif marks:
        reason = f"it cannot represent the marks {' '.join(marks)} of this problem"
        raise SettingError("representation", node[TARGET].rpartition(".")[2], reason)
    found: Representation = build(node, "representation", **given)
    return found
