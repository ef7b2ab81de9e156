"""Joins runs to one stack along the replica axis, and cuts runs and networks out of it again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Number = int | float


def join_weights(weights: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Joins the weights of several runs, each [r, ...], to those of a stack, [R, ...]."""
    return {name: torch.cat([each[name] for each in weights]) for name in weights[0]}


def cut_weights(weights: Mapping[str, Tensor], own: slice) -> dict[str, Tensor]:
    """Copies the weights of one run out of those of a stack, [R, ...] -> [r, ...]."""
    return {name: value[own].detach().clone() for name, value in weights.items()}


def cut_network(weights: Mapping[str, Any], own: Mapping[str, Any], replica: int) -> dict[str, Any]:
    """Cuts one network out of the weights of several.

    Args:
        weights: What a module of several networks saves: parameters, [R, ...], and what else it
            has, such as a buffer without a replica axis.
        own: What a module of one network saves.
        replica: The place of the network among them.

    Returns:
        What the module of the network loads; all that has the same shape in both stays as it is.
    """
    other = {*differing(weights, own)}
    return {k: v[replica : replica + 1] if k in other else v for k, v in weights.items()}


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Returns the names in what two modules save that have other shapes, or only one of them has.

    A user's network may save more than tensors; these have no shape.
    """
    shapes, others = (
        {name: getattr(value, "shape", None) for name, value in saved.items()}
        for saved in (one, other)
    )
    return [
        name
        for name in shapes | others
        if name not in shapes or name not in others or shapes[name] != others[name]
    ]


def join_optimizers(
    states: Sequence[Mapping[str, Any]], weights: Sequence[Sequence[Tensor]]
) -> dict[str, Any]:
    """Joins the optimizers of several runs to that of a stack.

    A number that is not the same in all runs becomes a tensor [R]. A run that has made no update
    has no state yet; in a stack with others its state starts at zero.

    Args:
        states: The ``state_dict`` of each run's optimizer.
        weights: The parameters of each run, [r, ...], in the order of its optimizer.

    Returns:
        The ``state_dict`` of the stack's optimizer.

    Raises:
        ValueError: The runs differ in something that is not a number.
    """
    sizes = [len(parameters[0]) for parameters in weights]
    groups = [
        {name: _join(name, [group[name] for group in same], sizes) for name in same[0]}
        for same in zip(*(state["param_groups"] for state in states), strict=True)
    ]
    numbers = sorted({index for state in states for index in state["state"]})
    state = {
        index: _join_state(
            [each["state"].get(index, {}) for each in states],
            [parameters[index] for parameters in weights],
            sizes,
        )
        for index in numbers
    }
    return {"state": state, "param_groups": groups}


def cut_optimizer(state: Mapping[str, Any], own: slice) -> dict[str, Any]:
    """Copies the optimizer of one run out of the ``state_dict`` of a stack's."""
    return {
        "state": {
            index: {name: _cut(value, own) for name, value in values.items()}
            for index, values in state["state"].items()
        },
        "param_groups": [
            {name: _cut_number(value, own) for name, value in group.items()}
            for group in state["param_groups"]
        ],
    }


def _join(name: str, values: Sequence[Any], sizes: Sequence[int]) -> Any:
    if all(value == values[0] for value in values):
        return values[0]
    if not all(isinstance(value, Number) and not isinstance(value, bool) for value in values):
        raise ValueError(f"the optimizers differ in {name}, which is not a number")
    whole = all(isinstance(value, int) for value in values)
    each = _repeat(values, sizes)
    return torch.tensor(each, dtype=torch.int64 if whole else torch.float64)


def _join_state(
    states: Sequence[Mapping[str, Any]], parameters: Sequence[Tensor], sizes: Sequence[int]
) -> dict[str, Any]:
    """Joins the optimizers' states of one parameter, [r, ...] in each run."""
    joined = {}
    for name, known in next(state for state in states if state).items():
        if not isinstance(known, Tensor) or not known.ndim:
            joined[name] = _join(name, [state.get(name, 0) for state in states], sizes)
            continue
        values = [
            state.get(name, torch.zeros_like(parameter, dtype=known.dtype))
            for state, parameter in zip(states, parameters, strict=True)
        ]
        joined[name] = torch.cat(values)
    return joined


def _repeat(values: Iterable[Number], sizes: Iterable[int]) -> list[Number]:
    return [v for value, size in zip(values, sizes, strict=True) for v in [value] * size]


def _cut(value: Any, own: slice) -> Any:
    return value[own].clone() if isinstance(value, Tensor) and value.ndim else value


def _cut_number(value: Any, own: slice) -> Any:
    return value[own][0].item() if isinstance(value, Tensor) and value.ndim else value
