"""Measurements inside a network and of its answers: plain functions that return arrays.

All take a module of one replica and windows of fresh sequences, [S, rows, n_in]. Windows that miss
integers are walked through, but not measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echo_exp.inspection.probes import Reader
from echo_exp.inspection.traces import Trace
from echo_exp.task.problem import signs
from echo_exp.training import evaluation, walks
from echo_exp.training.module import EchoModule
from echo_exp.training.replicas import Floats

ZERO, CARRIED, SWAPPED, NOISE = "zero", "carried", "another sequence's", "noise"
"""States that a window can start with; carried: as the batch before left it."""
KINDS = ("hidden", "cell", "hidden and cell")
"""States that a probe reads; only the first if a layer has no cells."""
MOST_GROUPS = 100
"""More integers are counted in this many groups of neighbours, for the confusion."""
SHUFFLES = 40
"""Number of probes of shuffled integers, over all timesteps."""
BATCHES = 8
"""The state is carried through at least this many batches."""


@dataclass(frozen=True)
class Shares:
    """Shares with their 95 % intervals, each [...]; see `echo_exp.training.evaluation.share`."""

    value: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, answers: Tensor) -> "Shares":
        """Estimates shares [...] from [S, ..., N] answers that are true or false."""
        shape, n = answers.shape[1:-1], answers.shape[-1]
        rates = answers.double().mean(-1).reshape(len(answers), -1).numpy()  # [S, ...]
        shares = [evaluation.share(rate, n) for rate in rates.T]
        value, low, high = (
            np.array([getattr(share, name) for share in shares]).reshape(shape)
            for name in ("value", "low", "high")
        )
        return cls(value, low, high)


@dataclass(frozen=True)
class States:
    """Hidden and cell states of a layer over one window.

    Attributes:
        window: The integers that the network reads, and signs of marks, [n_in].
        echo: Those that it answers, [n_out].
        carried: Whether the window started with a carried state and not with zero.
        hidden: [T+1, U]; the first is the state before the window.
        cell: [T+1, U]; None if the layer has no cells.
    """

    window: list[int | str]
    echo: list[int]
    carried: bool
    hidden: Floats
    cell: Floats | None


@dataclass(frozen=True)
class Gates:
    """How open the gates of a layer are over a window.

    Attributes:
        names: Names of the gates; of an LSTM: output, input, forget, and last the candidate.
        windows: Number of windows that were measured.
        mean: Mean activation of each of G gates and, for an LSTM, mean size of the candidate,
            [G or G+1, T, U].
        open: Share of the activations of each gate, over units and windows, above 0.9, [G, T].
        closed: Share below 0.1, [G, T].
    """

    names: tuple[str, ...]
    windows: int
    mean: Floats
    open: Floats
    closed: Floats


@dataclass(frozen=True)
class Probe:
    """How well linear probes read the integer at each position after each timestep of a layer.

    Attributes:
        accuracy: Accuracy on held-out sequences, [K, T, n_in]: `KINDS` (all three, or the first),
            timesteps, positions.
        chance: Accuracy of guessing, 1 / n_values.
        shuffled: Accuracy of probes that were trained on shuffled integers: mean, 2.5 % and 97.5 %
            quantile for each of `KINDS`, [K, 3].
        windows: Windows that each probe was trained on.
        held_out: Windows that it was tested on.
    """

    accuracy: Shares
    chance: float
    shuffled: Floats
    windows: int
    held_out: int

    def above_chance(self) -> NDArray[np.bool_]:
        """Returns where the accuracy is above 97.5 % of the shuffled probes, [K, T, n_in]."""
        above: NDArray[np.bool_] = self.accuracy.value > self.shuffled[:, 2, None, None]
        return above


@dataclass(frozen=True)
class Confusion:
    """Which integers were answered for which.

    Attributes:
        counts: [G, G]: a row for each integer expected, a column for each integer answered.
        n_values: Number of different integers; if there are many, neighbours share a row.
        off: Number of answers that were off by 0, 1, 2, ... integers, [G]; by that or more in the
            last place.
    """

    counts: NDArray[np.int64]
    n_values: int
    off: NDArray[np.int64]


@dataclass(frozen=True)
class Errors:
    """Where the wrong integers are.

    Attributes:
        all: Share of wrong integers.
        place: Their share at each place of the echo, [n_out].
        row: Their share in each complete window of a sequence, [rows].
        first_row: The number of the first of these windows, counted from 0.
        batch_size: Windows in a batch.
    """

    all: Shares
    place: Shares
    row: Shares
    first_row: int
    batch_size: int


@dataclass(frozen=True)
class Skill:
    """How the share of right integers depends on the state that a batch starts with.

    Attributes:
        start: Share in all batches but the first, if these start with ``ZERO``, with the state that
            is ``CARRIED`` to them, with that of the same place in another sequence (``SWAPPED``) or
            with ``NOISE`` of each unit's mean and deviation.
        batches: Share in each batch if the state is carried on, [batches].
        per_sequence: Batches of a sequence; if it is one, ``start`` is measured on the sequence
            that follows.
        trained: Number of batches after which training set the state to zero.
        chance: Share that guessing gives.
    """

    start: Mapping[str, Shares]
    batches: Shares
    per_sequence: int
    trained: int
    chance: float


def carries(module: EchoModule) -> bool:
    """Returns whether any batch in training started with a carried state."""
    return module.model.stateful and module.problem.n_windows > module.batch_size


def states(module: EchoModule, windows: Tensor, trace: Trace) -> States:
    """Returns the states of one window of the first sequence, after the first batch if possible.

    Args:
        module: The network.
        windows: [S, rows, n_in] integers.
        trace: What a layer did in them, with the state carried as in training.
    """
    rows = _measured(module, windows)
    row = int(rows[0])
    return States(
        window=signs(windows[0, row].tolist(), module.problem),
        echo=walks.echoes(module, windows[:1])[0, row].tolist(),
        carried=carries(module) and row >= module.batch_size,
        hidden=trace.hidden[0, row].double().numpy(),
        cell=None if trace.cell is None else trace.cell[0, row].double().numpy(),
    )


def gates(trace: Trace) -> Gates:
    """Returns how open the gates of a layer were."""
    count = trace.windows
    activations = count * trace.hidden.shape[-1]
    return Gates(
        names=trace.names,
        windows=count,
        mean=(trace.gates.double() / count).numpy(),
        open=(trace.open.double() / activations).numpy(),
        closed=(trace.closed.double() / activations).numpy(),
    )


def probe(module: EchoModule, windows: Tensor, trace: Trace, carried: bool, seed: int = 0) -> Probe:
    """Trains linear probes on half of the sequences and tests them on the other half.

    Args:
        module: The network.
        windows: [S, rows, n_in] integers.
        trace: What a layer did in them.
        carried: Whether to leave out the first batch of each sequence, which starts at zero.
        seed: Seed of the shuffling.
    """
    rows = walks.complete(windows)
    rows[: module.batch_size * carried] = False
    windows, hidden = windows[:, rows], trace.hidden[:, rows, 1:]  # [S, rows, T, U]
    half, n_values = len(windows) // 2, module.problem.n_values
    labels = windows[:half].flatten(0, 1)  # [N, n_in]
    answers = windows[half:]  # [S/2, rows, n_in]
    random = torch.Generator().manual_seed(seed)
    parts = [hidden]
    if trace.cell is not None:
        cell = trace.cell[:, rows, 1:]  # [S, rows, T, U]
        parts += [cell, torch.cat([hidden, cell], -1)]
    timesteps = hidden.shape[2]
    shuffles = -(-SHUFFLES // timesteps)
    right, chance = [], []
    for part in parts:
        guesses = []
        for t in range(timesteps):
            states = part[:, :, t]  # [S, rows, D]
            reader = Reader.of(states[:half].flatten(0, 1), states[half:].flatten(0, 1))
            for position in range(labels.shape[1]):
                told = reader.read(labels[:, position], n_values)
                right.append(told.view(answers.shape[:2]) == answers[..., position])
            for _ in range(shuffles):
                position = int(torch.randint(labels.shape[1], (), generator=random))
                order = torch.randperm(len(labels), generator=random)
                told = reader.read(labels[order, position], n_values)
                guesses.append((told == answers[..., position].flatten()).double().mean())
        levels = torch.stack(guesses)
        quantiles = levels.quantile(levels.new_tensor([0.025, 0.975]))
        chance.append([float(levels.mean()), *quantiles.tolist()])
    table = torch.stack(right, 1).unflatten(1, (len(parts), timesteps, -1))
    return Probe(
        accuracy=Shares.of(table),  # [S/2, K, T, n_in, rows]
        chance=1 / n_values,
        shuffled=np.array(chance),
        windows=len(labels),
        held_out=answers[..., 0].numel(),
    )


def confusion(module: EchoModule, windows: Tensor, echoes: Tensor) -> Confusion:
    """Counts which integers were answered for which.

    Args:
        module: The network.
        windows: [S, rows, n_in] integers.
        echoes: What it answered, [S, rows, n_out].
    """
    n_values = module.problem.n_values
    groups = min(n_values, MOST_GROUPS)
    rows = walks.complete(windows)
    expected = module.problem.targets(windows)[:, rows].flatten()
    answered = echoes[:, rows].flatten()
    pairs = (expected * groups // n_values) * groups + answered * groups // n_values
    counts = pairs.bincount(minlength=groups**2).view(groups, groups)
    off = (expected - answered).abs().clamp(max=groups - 1).bincount(minlength=groups)
    return Confusion(counts.numpy(), n_values, off.numpy())


def errors(module: EchoModule, windows: Tensor, echoes: Tensor) -> Errors:
    """Returns where the wrong integers are.

    Args:
        module: The network.
        windows: [S, rows, n_in] integers.
        echoes: What it answered, [S, rows, n_out].
    """
    rows = walks.complete(windows)
    wrong = (echoes != module.problem.targets(windows))[:, rows]  # [S, rows, n_out]
    return Errors(
        all=Shares.of(wrong.flatten(1)),
        place=Shares.of(wrong.transpose(1, 2)),
        row=Shares.of(wrong),
        first_row=module.problem.n_incomplete,
        batch_size=module.batch_size,
    )


def skill(module: EchoModule, windows: Tensor, seed: int = 0) -> Skill:
    """Measures how the share of right integers depends on the state that a batch starts with.

    If a sequence is a single batch, the state is carried from one sequence into the next.

    Args:
        module: The network.
        windows: [S, rows, n_in] integers.
        seed: Seed of the noise.
    """
    per_sequence = module.problem.n_windows // module.batch_size
    random = torch.Generator().manual_seed(seed)
    several = windows if per_sequence > 1 else _chained(windows, 2)
    right: dict[str, list[Tensor]] = {ZERO: [], CARRIED: [], SWAPPED: [], NOISE: []}
    rows = walks.complete(several)
    rows[: module.batch_size] = False
    for portion in walks.portions(module, several):
        ways = (walks.reset, walks.keep, walks.swapped(len(portion)), walks.noise(random))
        for name, carry in zip(right, ways, strict=True):
            right[name].append(_right(module, portion, carry)[:, rows].flatten(1))
    start = {name: Shares.of(torch.cat(found)) for name, found in right.items()}
    long = _chained(windows, max(3, -(-BATCHES // per_sequence)))
    on = torch.cat(
        [_right(module, portion, walks.keep) for portion in walks.portions(module, long)]
    )
    trained = per_sequence if module.model.stateful else 1
    by_batch, chance = _by_batch(module, long, on), 1 / module.problem.n_values
    return Skill(start, by_batch, per_sequence, trained, chance)


def _by_batch(module: EchoModule, windows: Tensor, right: Tensor) -> Shares:
    """Returns the share right in the complete windows of each batch; NaN if it has none."""
    complete = walks.complete(windows).split(module.batch_size)
    batches = zip(right.split(module.batch_size, 1), complete, strict=True)
    nan = np.full((), np.nan)
    found = [
        Shares.of(batch[:, rows].flatten(1)) if rows.any() else Shares(nan, nan, nan)
        for batch, rows in batches
    ]
    return Shares(
        *(np.array([getattr(s, name) for s in found]) for name in ("value", "low", "high"))
    )


def _right(module: EchoModule, windows: Tensor, carry: walks.Carry) -> Tensor:
    """Returns which integers are right, [S, rows, n_out]."""
    return walks.echo(module, windows, carry) == module.problem.targets(windows)


def _chained(windows: Tensor, count: int) -> Tensor:
    """Joins sequences end to end, [S, rows, n_in] -> [S/count, count*rows, n_in]."""
    count = min(count, len(windows) // 2)
    chains: Tensor = windows[: len(windows) // count * count].unflatten(0, (-1, count))
    return chains.flatten(1, 2)


def _measured(module: EchoModule, windows: Tensor) -> Tensor:
    """Returns the complete rows; only those that start with a carried state, if there are any."""
    rows = walks.complete(windows).nonzero().flatten()
    later = rows[rows >= module.batch_size]
    return later if carries(module) and len(later) else rows
