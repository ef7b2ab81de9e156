"""Runs a trained network over sequences, each batch from a state that the caller chooses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from echo_exp.models import State
from echo_exp.task.data import EVALUATION_OUTPUTS
from echo_exp.task.problem import MISSING, Stream, random_stream
from echo_exp.training.module import EchoModule

Carry = Callable[[State], State | None]
"""Maps the state after a batch to the state that the next batch starts with; None means zero."""


def fresh(module: EchoModule, seed: int, count: int) -> Tensor:
    """Draws sequences that the network has never seen, and frames them.

    Args:
        module: The network with its problem.
        seed: Seed of the network; these sequences have their own random stream.
        count: Sequences (S).

    Returns:
        Windows, [S, rows, n_in] integers.
    """
    sequences = module.problem.generate(random_stream(seed, Stream.INSPECTION), count)
    return torch.from_numpy(module.problem.windows(sequences).copy())


def reset(state: State) -> None:
    """Starts the next batch at zero."""


def keep(state: State) -> State:
    """Carries the state from element i of a batch to element i of the next."""
    return state


def as_trained(module: EchoModule) -> Carry:
    """Returns how the network's state was carried in training."""
    return keep if module.model.stateful else reset


def swapped(sequences: int) -> Carry:
    """Returns a carry that gives each of ``sequences`` walked side by side another one's state."""

    def swap(state: State) -> State:
        parts = (part.unflatten(1, (sequences, -1)) for part in state)  # [R, S, B, U]
        return tuple(part.roll(1, 1).flatten(1, 2) for part in parts)

    return swap


def noise(random: torch.Generator) -> Carry:
    """Returns a carry that draws each unit from a normal distribution of the same mean and std."""

    def draw(state: State) -> State:
        return tuple(
            part.mean(1, keepdim=True)
            + part.std(1, keepdim=True) * torch.randn(part.shape, generator=random)
            for part in state
        )

    return draw


@dataclass(frozen=True)
class Batch:
    """A batch of each of several sequences that are walked side by side.

    Attributes:
        windows: [S, B, n_in] integers.
        given: The network's arguments: input, [1, S*B, T, F] features or [1, S*B, T] categories;
            state; and present timesteps, [1, S*B, T].
        outputs: [S, B, n_out, V].
    """

    windows: Tensor
    given: tuple[Tensor, State | None, Tensor | None]
    outputs: Tensor


def walk(module: EchoModule, windows: Tensor, carry: Carry) -> Iterator[Batch]:
    """Walks through sequences side by side, batch by batch; the first batch starts at zero.

    Args:
        module: The network; one replica (R = 1).
        windows: [S, rows, n_in] integers; the last batch of a sequence may be shorter.
        carry: Makes the next batch's initial state.

    Yields:
        A batch of each sequence, with the network's outputs.
    """
    state: State | None = None
    for batch in windows.split(module.batch_size, 1):  # [S, B, n_in]
        rows = batch.flatten(0, 1).unsqueeze(0)  # [1, S*B, n_in]
        if state is not None:  # the last batch may be shorter
            parts = (part.unflatten(1, (len(windows), -1)) for part in state)  # [1, S, B, U]
            state = tuple(part[:, :, : batch.shape[1]].flatten(1, 2) for part in parts)
        x, present = module.read(rows)
        given = (x, state, present)
        outputs, after = module.model(*given)
        yield Batch(batch, given, outputs[0].unflatten(0, batch.shape[:2]))
        state = carry(after)


@torch.inference_mode()
def echo(module: EchoModule, windows: Tensor, carry: Carry) -> Tensor:
    """Returns the network's echoes, [S, rows, n_in] -> [S, rows, n_out] integers.

    Args:
        module: The network; one replica (R = 1).
        windows: [S, rows, n_in] integers.
        carry: Makes the next batch's initial state.
    """
    batches = walk(module, windows, carry)
    return torch.cat([module.representation.decode(batch.outputs) for batch in batches], 1)


def echoes(module: EchoModule, windows: Tensor) -> Tensor:
    """Does the same with the state carried as in training, for any number of sequences."""
    return torch.cat([echo(module, p, as_trained(module)) for p in portions(module, windows)])


def portions(module: EchoModule, windows: Tensor) -> Iterator[Tensor]:
    """Cuts sequences [S, ...] into portions of at least two that need little memory to walk."""
    outputs = module.batch_size * module.problem.n_out * module.problem.n_values
    most = max(2, EVALUATION_OUTPUTS // outputs)
    yield from windows.tensor_split(max(1, min(len(windows) // 2, -(-len(windows) // most))))


def complete(windows: Tensor) -> Tensor:
    """Returns which windows miss no integer, [S, rows, n_in] -> [rows]; all sequences agree."""
    return (windows[0] != MISSING).all(-1)
