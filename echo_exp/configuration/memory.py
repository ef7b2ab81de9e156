"""Refuses networks that could not be trained here, before any is made."""

import contextlib
import math
import os
import sys
from pathlib import Path

import torch
from omegaconf import DictConfig

from echo_exp.settings import SettingError

if sys.platform != "win32":
    import resource

BYTES_A_PARAMETER = 40
"""The weight, its gradient, Adam's two moments, the copy that a diverging replica gets back and
that of the best network, 4 each; the rest is for what operations and the export make besides."""
BYTES_AN_OUTPUT = 24
"""Of a batch: the outputs, their logarithms, their gradients, and what operations make besides."""

STACK_PARAMETERS = 800_000
STACK_LEAST, STACK_MOST = 8, 64

CONTAINER = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""What the kernel's control groups allow, of version 2 and 1."""


def training_bytes(empty: torch.nn.Module, outputs: int) -> int:
    """Estimates the memory that the training of one replica takes, from above.

    `python -m benchmarks.memory` compares it with what trainings take.

    Args:
        empty: The network with no replicas.
        outputs: Outputs of the network for a batch, B · n_out · V.
    """
    return BYTES_A_PARAMETER * _parameters(empty) + BYTES_AN_OUTPUT * outputs


def _parameters(empty: torch.nn.Module) -> int:
    """Returns the trainable parameters of one replica."""
    return sum(parameter.shape[1:].numel() for parameter in empty.parameters())


def networks_together(empty: torch.nn.Module, outputs: int) -> int:
    """Returns how many networks are best trained as one stack.

    Beyond `STACK_PARAMETERS` in all, what an update reads and writes is in no cache any more, so
    that more networks only share what an operation costs by itself; `STACK_LEAST` do that well
    enough. `python -m benchmarks.replicas` measures how the time grows with them.

    Args:
        empty: The network with no replicas.
        outputs: Outputs of the network for a batch, B · n_out · V.
    """
    best = min(STACK_MOST, max(STACK_LEAST, STACK_PARAMETERS // max(1, _parameters(empty))))
    room = _memory() / 2 / training_bytes(empty, outputs)
    return max(1, int(min(best, room)))


def check_memory(config: DictConfig, network: int, replicas: int) -> None:
    """Checks that this process can hold the networks.

    Args:
        config: The configuration.
        network: Bytes that the training of one takes.
        replicas: How many there are.

    Raises:
        SettingError: It cannot.
    """
    needed = network * replicas
    available = _memory()
    if network > available:
        raise SettingError(
            "model.units",
            config.model.get("units"),
            f"with problem.n_values={config.problem.n_values} it takes {needed / 2**30:,.0f} GiB "
            f"to train it, and this machine has {available / 2**30:,.0f}",
        )
    if needed > available:
        raise SettingError(
            "replicas",
            replicas,
            f"it takes {needed / 2**30:,.0f} GiB to train so many networks, and "
            f"this machine has {available / 2**30:,.0f}; it may be at most "
            f"{int(available / network):,} for these",
        )


def _memory() -> float:
    """Returns the bytes that this process may take: the machine's, or its container's."""
    limits = [math.inf]
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not every system tells
        limits.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    for file in CONTAINER:
        with contextlib.suppress(ValueError, OSError):  # "max" is no number
            limits.append(float(int(file.read_text(encoding="ascii"))))
    if sys.platform != "win32":
        address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
        if address_space != resource.RLIM_INFINITY:
            limits.append(float(address_space))
    return min(limits)
