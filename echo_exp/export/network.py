"""A trained network as one graph from integers to integers, for torch.export and ONNX."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from echo_exp.network import TrainedNetwork
from echo_exp.settings import SettingError
from echo_exp.task.problem import Stream, random_stream

PT2, ONNX, DESCRIPTION = "network.pt2", "network.onnx", "network.json"


class Network(nn.Module):
    """The module that is exported: it maps windows and a state to outputs, integers and a state.

    It has no replica axis. A missing integer of a window is -1.

    Args:
        trained: The network.
    """

    def __init__(self, trained: TrainedNetwork) -> None:
        super().__init__()
        self.model = trained.module.model
        self.read = trained.module.read
        self.decode = trained.module.representation.decode

    def forward(self, windows: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Answers a batch.

        Args:
            windows: [B, n_in] integers.
            state: The state after the batch before, or zeros; each [B, U].

        Returns:
            Outputs [B, n_out, V] (logits, or numbers from 0 to 1), integers [B, n_out], and the
            state after the batch.
        """
        x, present = self.read(windows.unsqueeze(0))
        outputs, after = self.model(x, tuple(part.unsqueeze(0) for part in state), present)
        outputs = outputs.squeeze(0)  # [B, n_out, V]
        return outputs, self.decode(outputs), *(part.squeeze(0) for part in after)


@dataclass(frozen=True)
class Description:
    """What a program needs to know to run an exported network.

    Attributes:
        n_in: Integers in a window.
        n_out: Integers of the echo.
        n_values: Integers go from 0 to ``n_values - 1``.
        missing: Whether -1, a missing integer, occurred in training.
        marks: Signs of the marks that the integers from ``n_values`` on stand for.
        n_outputs: Outputs for an integer (V): logits of all values, or one number.
        states: Size of each tensor of the state.
        stateful: Whether the state was carried from batch to batch in training.
        batch_size: Windows in a batch: the state goes from element i to element i of the next.
    """

    n_in: int
    n_out: int
    n_values: int
    missing: bool
    marks: Sequence[str]
    n_outputs: int
    states: Sequence[int]
    stateful: bool
    batch_size: int


def export_pt2(trained: TrainedNetwork, folder: Path) -> Path:
    """Writes ``network.pt2``, for `torch.export.load`, and ``network.json`` beside it.

    Raises:
        SettingError: torch.export cannot read this network.
    """
    network, arguments, shapes = _graph(trained)
    try:
        program = torch.export.export(network, arguments, dynamic_shapes=shapes)
    except Exception as error:
        raise _impossible(PT2, error) from error
    program.example_inputs = None  # they would be pickled
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it has paths of this machine
    describe(trained, folder)
    torch.export.save(program, folder / PT2)
    return folder / PT2


def export_onnx(trained: TrainedNetwork, folder: Path) -> Path:
    """Writes ``network.onnx``, and ``network.json`` beside it.

    The graph takes ``windows`` and the state, ``state_0``, ``state_1`` and so on. It returns
    ``outputs``, ``echo`` and the state after the batch, ``after_0``, ``after_1`` and so on.

    Raises:
        SettingError: The network cannot be written in ONNX.
    """
    network, arguments, shapes = _graph(trained)
    states = range(len(arguments) - 1)
    try:
        program = torch.onnx.export(
            network,
            arguments,
            dynamo=True,
            verbose=False,
            dynamic_shapes=shapes,
            input_names=["windows", *(f"state_{n}" for n in states)],
            output_names=["outputs", "echo", *(f"after_{n}" for n in states)],
        )
    except Exception as error:
        raise _impossible(ONNX, error) from error
    assert program is not None
    describe(trained, folder)
    program.save(folder / ONNX)
    return folder / ONNX


def describe(trained: TrainedNetwork, folder: Path, **more: Any) -> None:
    """Writes ``network.json``: a `Description` and further entries.

    Args:
        trained: The network.
        folder: The folder to write to; it is created if it does not exist.
        more: The further entries.
    """
    problem, module = trained.problem, trained.module
    _, _, *state = Network(trained)(_windows(trained, 2))
    description = Description(
        n_in=problem.n_in,
        n_out=problem.n_out,
        n_values=problem.n_values,
        missing=problem.n_incomplete > 0,
        marks=problem.marks,
        n_outputs=module.representation.n_outputs,
        states=[part.shape[-1] for part in state],
        stateful=module.model.stateful,
        batch_size=module.batch_size,
    )
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(asdict(description) | more, indent=1)
    (folder / DESCRIPTION).write_text(content, encoding="utf-8")


def _impossible(file: str, error: Exception) -> SettingError:
    """Returns the error for a form that cannot be written, with the reason that was given first."""
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(first)).strip().splitlines()
    form, said = Path(file).suffix.lstrip("."), lines[0] if lines else type(first).__name__
    return SettingError("forms", form, f"this network cannot be exported so ({said})")


def _graph(trained: TrainedNetwork) -> tuple[Network, tuple[Tensor, ...], tuple[Any, ...]]:
    """Returns the module to export, example arguments, and which of their sizes are dynamic."""
    network = Network(trained).eval()
    windows = _windows(trained, 2)
    _, _, *state = network(windows)
    arguments = (windows, *(torch.zeros_like(part) for part in state))
    free = {0: torch.export.Dim("batch")}
    shapes = (free, tuple(free for _ in state)) if state else (free,)
    return network, arguments, shapes


def _windows(trained: TrainedNetwork, sequences: int) -> Tensor:
    """Returns windows of fresh sequences, [rows, n_in], including incomplete ones."""
    random = random_stream(trained.seed, Stream.LISTING)
    drawn = trained.problem.generate(random, sequences)
    return torch.from_numpy(trained.problem.windows(drawn).copy()).flatten(0, 1)
