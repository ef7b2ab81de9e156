"""The code of an exported network's MLflow model: a copy lies in each, where echo_exp is not.

It imports nothing of this package.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Graph = Callable[..., Sequence[Tensor]]


class Echo:
    """Repeats the oldest integers of windows.

    Args:
        network: The graph: windows [B, n_in] and a state in, outputs [B, n_out, V], integers
            [B, n_out] and the state after it out.
        description: What ``network.json`` says of it.
    """

    def __init__(self, network: Graph, description: Mapping[str, Any]) -> None:
        self.network = network
        self.description = description

    def predict(
        self, model_input: NDArray[Any], params: Mapping[str, Any] | None = None
    ) -> NDArray[Any]:
        """Echoes windows.

        Args:
            model_input: [rows, n_in] integers from 0 to ``n_values - 1``; a missing one is -1.
            params: ``carry``: whether the rows are the windows of one sequence in their order,
                the state carried as in the training; else each begins at zero. ``outputs``: whether
                the network's outputs are returned, not the integers they stand for.

        Returns:
            [rows, n_out] integers, or with ``outputs`` [rows, n_out, V]: the probability of each
            value, or with V = 1 numbers from 0 to 1.

        Raises:
            ValueError: The input is no such array.
        """
        asked = {"carry": False, "outputs": False, **(params or {})}
        windows = self._checked(np.asarray(model_input))
        with torch.inference_mode():
            outputs, echo = self._walk(windows, asked["carry"])
        if not asked["outputs"]:
            return echo.numpy()
        return (outputs.softmax(-1) if outputs.shape[-1] > 1 else outputs).numpy()

    def _checked(self, windows: NDArray[Any]) -> Tensor:
        n_in, n_values = self.description["n_in"], self.description["n_values"]
        if windows.ndim != 2 or windows.shape[1] != n_in or not len(windows):
            raise ValueError(f"the input must be rows of {n_in} integers, not {windows.shape}")
        if not ((windows >= -1) & (windows < n_values) & (windows == np.round(windows))).all():
            raise ValueError(f"integers go from 0 to {n_values - 1}, a missing one is -1")
        return torch.from_numpy(windows.astype(np.int64))

    def _walk(self, windows: Tensor, carry: bool) -> tuple[Tensor, Tensor]:
        """Returns outputs [rows, n_out, V] and integers [rows, n_out]."""
        carry = carry and self.description["stateful"]
        state: list[Tensor] = []
        found = []
        for batch in windows.split(self.description["batch_size"]) if carry else [windows]:
            if not (carry and state):
                state = [torch.zeros(len(batch), size) for size in self.description["states"]]
            outputs, echo, *state = self.network(batch, *(part[: len(batch)] for part in state))
            found.append((outputs, echo))
        outputs, echo = (torch.cat(parts) for parts in zip(*found, strict=True))
        return outputs, echo


def load(folder: Path) -> Echo:
    """Loads ``network.pt2`` with what ``network.json`` says of it; nothing is unpickled."""
    description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    return Echo(torch.export.load(folder / "network.pt2").module(), description)


def _load_pyfunc(folder: str) -> Echo:
    """What MLflow calls with the folder of the model's data."""
    return load(Path(folder))
