"""What each LSTM layer does along sequences: all its states, and how open its gates are."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from echo_exp.inspection import recording, walks
from echo_exp.inspection.recording import Recording
from echo_exp.inspection.walks import Carry
from echo_exp.task.problem import MISSING
from echo_exp.training.module import EchoModule

CLOSED, OPEN = 0.1, 0.9
"""A gate below the one is closed, above the other open."""
MOST_NUMBERS = 50_000_000
"""So many hidden and cell states are kept at once."""


@dataclass(frozen=True)
class Trace:
    """What a layer does in the windows of some sequences.

    Attributes:
        hidden: Hidden states, the one before the first timestep in front, [S, rows, T+1, U].
        cell: Cell states, likewise.
        windows: Complete windows, over which the gates are counted.
        gates: Sum over these of the activations of the output, input and forget gate and of the
            size of the candidate, [4, T, U].
        open: How many activations of each gate are above `OPEN`, [3, T].
        closed: How many are below `CLOSED`, [3, T].
    """

    hidden: Tensor
    cell: Tensor
    windows: int
    gates: Tensor
    open: Tensor
    closed: Tensor


@torch.inference_mode()
def trace(module: EchoModule, windows: Tensor, carry: Carry) -> dict[str, Trace]:
    """Records what each LSTM layer does along sequences.

    Args:
        module: The network; one replica (R = 1).
        windows: [S, rows, n_in] integers.
        carry: What is done with the state between the batches.

    Returns:
        By the name of the layer; empty where the network has no layer of this package.
    """
    portions = defaultdict(list)
    for portion in walks.portions(module, windows):
        batches = defaultdict(list)
        with recording.recorded(module.model) as recordings:
            for batch in walks.walk(module, portion, carry):
                for name, found in recordings.items():
                    batches[name].append(_of(found, batch.windows))
        for name, traces in batches.items():
            portions[name].append(_joined(traces, 1))
    return {name: _joined(traces, 0) for name, traces in portions.items()}


def affordable(module: EchoModule, sequences: int) -> int:
    """Returns how many of some sequences can be traced in memory, at least 4."""
    units = sum(layer.units for layer in recording.layers(module.model).values())
    numbers = 2 * units * (module.problem.n_in + 1) * module.problem.n_windows
    return min(sequences, max(4, MOST_NUMBERS // max(1, numbers)))


def _of(recorded: Recording, windows: Tensor) -> Trace:
    """Returns the trace of one batch of sequences, [S, B, n_in]."""
    complete = (windows != MISSING).all(-1).flatten()  # [S*B]
    gates = recorded.gates[:, 0, complete]  # [4, S*B, T, U]
    gates[3].abs_()
    return Trace(
        hidden=recorded.hidden[0].unflatten(0, windows.shape[:2]),
        cell=recorded.cell[0].unflatten(0, windows.shape[:2]),
        windows=int(complete.sum()),
        gates=gates.sum(1),
        open=(gates[:3] > OPEN).sum((1, 3)),
        closed=(gates[:3] < CLOSED).sum((1, 3)),
    )


def _joined(traces: list[Trace], axis: int) -> Trace:
    return Trace(
        hidden=torch.cat([trace.hidden for trace in traces], axis),
        cell=torch.cat([trace.cell for trace in traces], axis),
        windows=sum(trace.windows for trace in traces),
        gates=torch.stack([trace.gates for trace in traces]).sum(0),
        open=torch.stack([trace.open for trace in traces]).sum(0),
        closed=torch.stack([trace.closed for trace in traces]).sum(0),
    )
