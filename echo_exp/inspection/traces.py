"""What each layer does along sequences: all its states, and how open its gates are."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from echo_exp.inspection import recording
from echo_exp.inspection.recording import GATES, Recording
from echo_exp.models import Gated, WithGates
from echo_exp.task.problem import MISSING
from echo_exp.training import walks
from echo_exp.training.module import EchoModule
from echo_exp.training.walks import Batch, Carry

CLOSED, OPEN = 0.1, 0.9
"""A gate is closed below the first, and open above the second."""
MOST_NUMBERS = 50_000_000
"""At most this many hidden and cell states are kept in memory."""


@dataclass(frozen=True)
class Trace:
    """What a layer does in the windows of some sequences.

    Attributes:
        hidden: Hidden states, from the one before the first timestep on, [S, rows, T+1, U].
        cell: Cell states of an LSTM layer, likewise; None for a layer without them.
        names: Names of the gates and last, for an LSTM, of the candidate.
        windows: Number of complete windows, in which the gates are counted.
        gates: Sum over these of the activations of each of G gates and, for an LSTM, of the size of
            the candidate, [G or G+1, T, U].
        open: Number of activations of each gate above `OPEN`, [G, T].
        closed: Number of them below `CLOSED`, [G, T].
    """

    hidden: Tensor
    cell: Tensor | None
    names: tuple[str, ...]
    windows: int
    gates: Tensor
    open: Tensor
    closed: Tensor


@torch.inference_mode()
def trace(module: EchoModule, windows: Tensor, carry: Carry) -> dict[str, Trace]:
    """Records what each layer does along sequences.

    Args:
        module: The network; one replica (R = 1).
        windows: [S, rows, n_in] integers.
        carry: Makes the next batch's initial state.

    Returns:
        The trace of each layer, by its name; empty if the network neither has an LSTM layer of this
        package nor is `WithGates`.
    """
    portions = defaultdict(list)
    for portion in walks.portions(module, windows):
        batches = defaultdict(list)
        with recording.recorded(module.model) as recordings:
            for batch in walks.walk(module, portion, carry):
                if isinstance(module.model, WithGates):
                    for name, shown in module.model.gates(*batch.given).items():
                        batches[name].append(_of_gated(shown, batch))
                for name, found in recordings.items():
                    batches[name].append(_of_lstm(found, batch))
        for name, traces in batches.items():
            portions[name].append(_joined(traces, 1))
    return {name: _joined(traces, 0) for name, traces in portions.items()}


def has_gates(module: EchoModule, windows: Tensor) -> bool:
    """Returns whether a layer has gates, from the first of some sequences, [S, rows, n_in]."""
    return any(found.names for found in trace(module, windows[:1], walks.reset).values())


@torch.inference_mode()
def affordable(module: EchoModule, windows: Tensor) -> int:
    """Returns how many of the sequences, [S, rows, n_in], can be traced in memory, at least 4."""
    _, state = module.model(*next(walks.walk(module, windows[:1], walks.reset)).given)
    kept = sum(part.shape[-1] for part in state)  # of a timestep
    numbers = kept * (module.problem.n_in + 1) * module.problem.n_windows
    return min(len(windows), max(4, MOST_NUMBERS // max(1, numbers)))


def _of_lstm(recorded: Recording, batch: Batch) -> Trace:
    gates = recorded.gates[:, 0]  # [4, S*B, T, U]
    return _of(recorded.hidden, recorded.cell, GATES, gates[:3], gates[3:].abs(), batch)


def _of_gated(shown: Gated, batch: Batch) -> Trace:
    none = shown.hidden[:0, :, 1:]  # [0, S*B, T, U]: torch.cat takes no empty list
    gates = torch.cat([none, *shown.gates.values()])  # [G, S*B, T, U]
    return _of(shown.hidden, None, tuple(shown.gates), gates, gates[:0], batch)


def _of(
    hidden: Tensor,
    cell: Tensor | None,
    names: tuple[str, ...],
    gates: Tensor,
    candidates: Tensor,
    batch: Batch,
) -> Trace:
    """Returns the trace of one batch of sequences.

    Args:
        hidden: [1, S*B, T+1, U].
        cell: The same, or None.
        names: Names of the gates and, if there is one, of the candidate.
        gates: Their activations, [G, S*B, T, U].
        candidates: The size of the candidate, [1 or 0, S*B, T, U].
        batch: The batch.
    """
    complete = (batch.windows != MISSING).all(-1).flatten()  # [S*B]
    shape = batch.windows.shape[:2]
    gates = gates[:, complete]
    return Trace(
        hidden=hidden[0].unflatten(0, shape),
        cell=None if cell is None else cell[0].unflatten(0, shape),
        names=names,
        windows=int(complete.sum()),
        gates=torch.cat([gates, candidates[:, complete]]).sum(1),
        open=(gates > OPEN).sum((1, 3)),
        closed=(gates < CLOSED).sum((1, 3)),
    )


def _joined(traces: list[Trace], axis: int) -> Trace:
    cells = [trace.cell for trace in traces if trace.cell is not None]
    return Trace(
        hidden=torch.cat([trace.hidden for trace in traces], axis),
        cell=torch.cat(cells, axis) if cells else None,
        names=traces[0].names,
        windows=sum(trace.windows for trace in traces),
        gates=torch.stack([trace.gates for trace in traces]).sum(0),
        open=torch.stack([trace.open for trace in traces]).sum(0),
        closed=torch.stack([trace.closed for trace in traces]).sum(0),
    )
