"""A trained recurrent network as arrays and a description, which NumPy alone can run.

`echo_network.Layers` runs the tutorial's networks and those of GRU and minimal GRU layers. Any
other network, including a user's own, is defined by its code alone; torch.export makes a graph of
it, see `network`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
from torch import nn

from echo_exp.export.network import describe, export_pt2
from echo_exp.models import GRU, EncoderDecoder, ManyToOne, MinGRU, OneToOne, Seq2Seq
from echo_exp.models.dense import Dense
from echo_exp.models.lstm_stack import LSTMStack
from echo_exp.network import TrainedNetwork
from echo_exp.task.missing import Drop, Mask, Sentinel
from echo_exp.task.representation import OneHot, Scaled

ARRAYS = "network.npz"
LAYERS = {
    EncoderDecoder: "lstm",
    GRU: "gru",
    ManyToOne: "lstm",
    MinGRU: "min_gru",
    OneToOne: "lstm",
    Seq2Seq: "lstm",
}
"""The networks that can be written as arrays, and the kind of their layers."""
REPRESENTATIONS, POLICIES = (OneHot, Scaled), (Drop, Mask, Sentinel)
"""The representations and policies that the NumPy program of such a network implements."""


@dataclass(frozen=True)
class Steps:
    """How a network is computed from its arrays.

    Attributes:
        layer: The kind of the layers, see `LAYERS`.
        layers: Number of layers that read; if any write, they are as many.
        writes: Whether there are layers that write: they read the last output of those that read,
            repeated.
        whole: Whether the window is a single timestep, with its integers as features.
        masked: Whether a missing integer is skipped.
        categories: Categories of an integer of the input; 0 if it is a number from 0 to 1.
        missing: The number that stands for a missing integer.
        marks: If integers are numbers, how many features follow, one for each mark.
        first: The first timestep that the dense layer reads.
        last: The timestep before which it stops; None reads to the end.
    """

    layer: str
    layers: int
    writes: bool
    whole: bool
    masked: bool
    categories: int
    missing: float
    marks: int
    first: int
    last: int | None


def write_network(trained: TrainedNetwork, folder: Path) -> Path:
    """Writes a network for its MLflow model: as arrays if that is possible, otherwise as a graph.

    Args:
        trained: The network.
        folder: The folder to write to.

    Returns:
        The file.

    Raises:
        SettingError: It cannot be written as either.
    """
    write = write_arrays if can_be_arrays(trained) else export_pt2
    return write(trained, folder)


def can_be_arrays(trained: TrainedNetwork) -> bool:
    """Returns whether a network is one of `LAYERS`, with a representation and policy from here."""
    module = trained.module
    return (
        type(module.model) in LAYERS
        and type(module.representation) in REPRESENTATIONS
        and type(module.missing) in POLICIES
    )


def write_arrays(trained: TrainedNetwork, folder: Path) -> Path:
    """Writes ``network.npz``, and ``network.json`` beside it.

    Args:
        trained: A network that `can_be_arrays`.
        folder: The folder to write to.

    Returns:
        The file of the arrays.
    """
    model = cast("nn.Module", trained.module.model)
    stacks = _stacks(model)
    dense: Dense = model.dense  # type: ignore[assignment]
    weights = {
        f"{name}.{number}.{part}": value
        for name, layers in stacks.items()
        for number, layer in enumerate(layers)
        for part, value in layer.named_parameters()
    }
    weights |= {f"dense.{part}": value for part, value in dense.named_parameters()}
    describe(trained, folder, steps=asdict(_steps(trained, len(stacks["reader"]))))
    path = folder / ARRAYS
    np.savez(path, **{name: value.detach().numpy()[0] for name, value in weights.items()})
    return path


def _stacks(model: nn.Module) -> dict[str, list[nn.Module]]:
    """Returns the layers that read and, if there are any, those that write."""
    if isinstance(model, GRU | MinGRU):
        return {"reader": list(model.layers)}
    stacks: dict[str, LSTMStack] = (
        {"reader": model.encoder, "writer": model.decoder}
        if isinstance(model, EncoderDecoder)
        else {"reader": model.lstm}  # type: ignore[dict-item]
    )
    return {name: [stack.first, *stack.others] for name, stack in stacks.items()}


def _steps(trained: TrainedNetwork, layers: int) -> Steps:
    module = trained.module
    model, representation = module.model, module.representation
    answers = slice(None)
    if isinstance(model, GRU | MinGRU | Seq2Seq):
        answers = model.answers
    elif isinstance(model, ManyToOne):
        answers = slice(-1, None)
    categories, missing, marks = representation.n_features, 0.0, 0
    if isinstance(representation, Scaled):
        categories, missing, marks = 0, representation.missing, representation.n_features - 1
    return Steps(
        layer=LAYERS[type(model)],
        layers=layers,
        writes=isinstance(model, EncoderDecoder),
        whole=isinstance(model, OneToOne),
        masked=isinstance(module.missing, Mask),
        categories=categories,
        missing=missing,
        marks=marks,
        first=answers.start or 0,
        last=answers.stop,
    )
