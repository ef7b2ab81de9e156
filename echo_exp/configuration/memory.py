"""Estimates the memory that a training takes, and refuses networks that do not fit."""

import contextlib
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from echo_exp.configuration.activations import Activations, measured
from echo_exp.settings import SettingError

if sys.platform != "win32":
    import resource

BYTES_A_PARAMETER = 40
"""4 each for the weight, its gradient, Adam's two moments, the copy that restores a diverging
replica, and the copy of the best network; the rest for temporaries, also those of the export."""
BYTES_AN_OUTPUT = 24
"""For each output of a batch: itself, its logarithm, its gradient, and temporaries."""

NEGLIGIBLE = 0.1
"""Activations that surely take less than this share of the memory are not measured, because
measuring takes a fraction of a second."""
NUMBERS_A_WIDTH, NUMBERS_A_PAIR = 8, 16
"""The upper bound by which this is decided: numbers in a window, for each timestep and column of a
weight, and for each pair of timesteps."""
MARGIN = 1.5
"""Memory that the heap takes for activations, relative to their size: some freed blocks are too
small to be used again."""
EVALUATION_BYTES = 2**30
"""Sequences are evaluated side by side as long as their activations take no more than this."""

STACK_PARAMETERS = 800_000
STACK_LEAST, STACK_MOST = 8, 64

CONTAINER = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""The files with the limit of the kernel's control groups, versions 2 and 1."""


@dataclass(frozen=True)
class Need:
    """An upper estimate of the memory that a training, or a test alone, takes.

    `python -m benchmarks.memory` compares it with what trainings take.

    Attributes:
        weights: Bytes per replica for its weights, the optimizer's state, and the outputs of an
            update.
        activations: Bytes per replica for the activations of an update; 0 for a test.
        evaluated: Bytes per replica for the activations of one sequence in an evaluation; 0 if all
            sequences together need a negligible amount.
        sequences: Sequences in an evaluation.
        timesteps: Timesteps in a window.
    """

    weights: int
    activations: int
    evaluated: int
    sequences: int
    timesteps: int

    def side_by_side(self, replicas: int) -> int:
        """Returns how many sequences may be evaluated at once by so many replicas."""
        most = EVALUATION_BYTES // max(1, self.evaluated * replicas)
        return max(1, min(self.sequences, most))

    def bytes(self, replicas: int) -> int:
        """Returns the bytes that the training of so many replicas takes."""
        evaluation = self.side_by_side(replicas) * self.evaluated
        return (self.weights + self.activations + evaluation) * replicas


def need(
    empty: torch.nn.Module,
    outputs: int,
    x: Tensor,
    present: Tensor | None,
    sequences: int,
    replicas: int,
    trained: bool = True,
) -> Need:
    """Estimates the memory that a training takes.

    Args:
        empty: The network with no replicas.
        outputs: Outputs of the network for a batch, B · n_out · V.
        x: The network's input for a batch, [1, B, T, F] features or [1, B, T] categories.
        present: [1, B, T], the timesteps that it reads; None for all.
        sequences: Sequences in an evaluation.
        replicas: Networks that are trained together (R).
        trained: Whether they are trained, not only tested.
    """
    rows, timesteps = x.shape[1:3]
    columns = sum(parameter.shape[-1] for parameter in empty.parameters())
    numbers = rows * timesteps * (NUMBERS_A_WIDTH * columns + NUMBERS_A_PAIR * timesteps)
    activations = Activations(4 * numbers if trained else 0, 0)
    if 4 * numbers * replicas * sequences > NEGLIGIBLE * _memory():
        activations = measured(empty, x, present, trained)
    weights = BYTES_A_PARAMETER * _parameters(empty) + BYTES_AN_OUTPUT * outputs
    training, evaluation = (
        int(MARGIN * size) for size in (activations.training, activations.evaluation)
    )
    return Need(weights, training, evaluation, sequences, timesteps)


def _parameters(empty: torch.nn.Module) -> int:
    """Returns the trainable parameters of one replica."""
    return sum(parameter.shape[1:].numel() for parameter in empty.parameters())


def networks_together(empty: torch.nn.Module, need: Need) -> int:
    """Returns how many networks are best trained as one stack.

    Beyond `STACK_PARAMETERS` in total, an update no longer fits the cache, so more networks only
    share the overhead of the operations. `STACK_LEAST` networks share it well enough.
    `python -m benchmarks.replicas` measures how the time grows with the number of networks.

    Args:
        empty: The network with no replicas.
        need: The memory that it takes.
    """
    best = min(STACK_MOST, max(STACK_LEAST, STACK_PARAMETERS // max(1, _parameters(empty))))
    return min(best, _fitting(need, _memory() / 2))


def check_memory(config: DictConfig, need: Need, replicas: int) -> None:
    """Checks that this process can hold the networks.

    Args:
        config: The configuration.
        need: The memory that they take.
        replicas: How many there are.

    Raises:
        SettingError: There is not enough memory.
    """
    one, needed = need.bytes(1), need.bytes(replicas)
    available = _memory()
    if one > available and need.activations + need.evaluated > need.weights:
        raise SettingError(
            "batch_size",
            config.batch_size,
            f"it takes {one / 2**30:,.0f} GiB to train one network on so many windows of "
            f"{need.timesteps:,} timesteps at a time, and this machine has "
            f"{available / 2**30:,.0f}",
        )
    if one > available:
        n_values = config.problem.get("n_values")
        values = "" if n_values is None else f"with problem.n_values={n_values} "
        raise SettingError(
            "model.units",
            config.model.get("units"),
            f"{values}it takes {one / 2**30:,.0f} GiB to train one network, and this machine has "
            f"{available / 2**30:,.0f}",
        )
    if needed > available:
        raise SettingError(
            "replicas",
            replicas,
            f"it takes {needed / 2**30:,.0f} GiB to train so many networks, and "
            f"this machine has {available / 2**30:,.0f}; it may be at most "
            f"{_fitting(need, available):,} for these",
        )


def _fitting(need: Need, room: float) -> int:
    """Returns how many networks fit, at least 1."""
    one = need.weights + need.activations
    evaluation = EVALUATION_BYTES if need.evaluated else 0
    return max(1, int(min(room / (one + need.evaluated), (room - evaluation) / one)))


def _memory() -> float:
    """Returns the memory that this process may use, in bytes: the machine's, or its container's."""
    limits = [math.inf]
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not every system has these
        limits.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    for file in CONTAINER:
        with contextlib.suppress(ValueError, OSError):  # "max" means no limit
            limits.append(float(int(file.read_text(encoding="ascii"))))
    if sys.platform != "win32":
        address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
        if address_space != resource.RLIM_INFINITY:
            limits.append(float(address_space))
    return min(limits)
