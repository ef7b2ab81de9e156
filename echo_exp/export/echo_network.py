"""The code of an exported network's MLflow model: each model has a copy, and needs no echo_exp.

It imports nothing of this package, and torch only for a network that is a graph of torch.export.
In shapes, B is windows in a batch, T timesteps, U units and V outputs for an integer.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Network = Callable[..., Sequence[Array]]
"""Takes windows, [B, n_in], and a state; returns outputs, [B, n_out, V], integers, [B, n_out], and
the state after the batch."""


class Echo:
    """Answers windows with a network.

    Args:
        network: The network.
        description: The content of its ``network.json``.
    """

    def __init__(self, network: Network, description: Mapping[str, Any]) -> None:
        self.network = network
        self.description = description

    def predict(self, model_input: Array, params: Mapping[str, Any] | None = None) -> Array:
        """Answers windows.

        Args:
            model_input: [rows, n_in] integers from 0 to ``n_values - 1``; -1 is a missing integer,
                if the network was trained with them, and those from ``n_values`` on stand for
                ``marks``, such as a blank.
            params: ``carry``: whether the rows are the windows of one sequence, in order, and the
                state is carried as in training; otherwise each window starts at zero. ``outputs``:
                whether to return the network's outputs instead of the integers they stand for.

        Returns:
            [rows, n_out] integers, or with ``outputs`` [rows, n_out, V]: the probability of each
            value if V is ``n_values``, else the outputs as they are, such as a number from 0 to 1.

        Raises:
            ValueError: The input is not such an array.
        """
        asked = {"carry": False, "outputs": False, **(params or {})}
        outputs, echo = self._walk(self._checked(np.asarray(model_input)), asked["carry"])
        if not asked["outputs"]:
            return echo
        return _softmax(outputs) if outputs.shape[-1] == self.description["n_values"] else outputs

    def _checked(self, windows: Array) -> Array:
        n_in, n_values = self.description["n_in"], self.description["n_values"]
        marks = self.description["marks"]
        if windows.ndim != 2 or windows.shape[1] != n_in or not len(windows):
            raise ValueError(f"the input must be rows of {n_in} integers, not {windows.shape}")
        least, most = -1 if self.description["missing"] else 0, n_values + len(marks) - 1
        if not ((windows >= least) & (windows <= most) & (windows == np.round(windows))).all():
            missing = ", and -1 is missing" if least < 0 else ""
            signs = f"; the next {len(marks)} stand for {' '.join(marks)}" if marks else ""
            raise ValueError(f"integers go from 0 to {n_values - 1}{missing}{signs}")
        return windows.astype(np.int64)

    def _walk(self, windows: Array, carry: bool) -> tuple[Array, Array]:
        """Returns outputs [rows, n_out, V] and integers [rows, n_out]."""
        carry = carry and self.description["stateful"]
        size = self.description["batch_size"] if carry else len(windows)
        state: list[Array] = []
        found = []
        for first in range(0, len(windows), size):
            batch = windows[first : first + size]
            if not state:
                shapes = [(len(batch), units) for units in self.description["states"]]
                state = [np.zeros(shape, np.float32) for shape in shapes]
            outputs, echo, *state = self.network(batch, *(part[: len(batch)] for part in state))
            found.append((outputs, echo))
        outputs, echo = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return outputs, echo


class Layers:
    """A network of recurrent layers and a dense one, in NumPy.

    Args:
        arrays: Its weights, by their names.
        description: The content of ``network.json``; its ``steps`` say how to use the weights, see
            `echo_exp.export.arrays.Steps`.
    """

    def __init__(self, arrays: Mapping[str, Array], description: Mapping[str, Any]) -> None:
        self.arrays = arrays
        self.steps = description["steps"]
        self.n_out = description["n_out"]
        self.largest = description["n_values"] - 1

    def __call__(self, windows: Array, *state: Array) -> list[Array]:
        """Answers a batch, see `Network`."""
        steps = self.steps
        present = windows >= 0 if steps["masked"] else None  # [B, T]
        projected = self._read(windows, present)  # [B, T or 1, gates]
        if steps["whole"]:
            present = None
        half = len(state) // 2 if steps["writes"] else len(state)
        hidden, after = self._stack("reader", projected, state[:half], present)
        if steps["writes"]:
            context = hidden[:, -1:] @ self.arrays["writer.0.kernel"]  # [B, 1, 4U]
            repeated = np.repeat(context, self.n_out, 1)  # [B, n_out, 4U]
            hidden, more = self._stack("writer", repeated, state[half:], None)
            after += more
        answers = hidden[:, steps["first"] : steps["last"]]
        dense = answers @ self.arrays["dense.kernel"] + self.arrays["dense.bias"]
        outputs = dense.reshape(len(windows), self.n_out, -1)  # [B, n_out, V]
        return [outputs, self._decoded(outputs), *after]

    def _read(self, windows: Array, present: Array | None) -> Array:
        """Returns the product of windows with the first layer's kernel, [B, T or 1, gates]."""
        kernel, whole = self.arrays["reader.0.kernel"], self.steps["whole"]
        categories, length = self.steps["categories"], windows.shape[1]
        if categories:  # one-hot vectors select rows of the kernel
            begin = categories * np.arange(length) if whole else 0
            rows: Array = kernel[windows % categories + begin]  # [B, T, 4U]
            if whole and present is not None:
                rows = rows * present[..., None]
            return rows.sum(1, keepdims=True) if whole else rows
        numbers = self._numbers(windows)
        if whole and present is not None:
            numbers = numbers * present[..., None]
        projected: Array = (numbers.reshape(len(windows), 1, -1) if whole else numbers) @ kernel
        return projected

    def _numbers(self, windows: Array) -> Array:
        """Returns integers as numbers from 0 to 1, with a feature for each mark, [B, T, F]."""
        marks = windows[..., None] - self.largest == 1 + np.arange(self.steps["marks"])
        values = np.where(windows < 0, self.steps["missing"], windows / self.largest)
        values = np.where(marks.any(-1), 0.0, values)
        numbers: Array = np.concatenate([values[..., None], marks], -1).astype(np.float32)
        return numbers

    def _stack(
        self, name: str, projected: Array, state: Sequence[Array], present: Array | None
    ) -> tuple[Array, list[Array]]:
        """Runs stacked recurrent layers.

        Args:
            name: ``reader`` or ``writer``.
            projected: The projected input of the lowest layer, [B, T, gates].
            state: The states of all layers before, each [B, U].
            present: [B, T], False at the timesteps to skip.

        Returns:
            The hidden states of the highest, [B, T, U], and the states after the last timestep.
        """
        hidden, after = projected, []
        run, layers = _LAYERS[self.steps["layer"]], self.steps["layers"]
        each = len(state) // layers
        for layer in range(layers):
            weights = _below(self.arrays, f"{name}.{layer}.")
            x = hidden @ weights["kernel"] if layer else projected
            before = state[each * layer : each * (layer + 1)]
            hidden, *rest = run(x + weights["bias"], weights, before, present)
            after += [hidden[:, -1], *rest]
        return hidden, after

    def _decoded(self, outputs: Array) -> Array:
        """Returns the integers that outputs stand for, [B, n_out]."""
        if self.steps["categories"]:
            integers: Array = outputs.argmax(-1)
            return integers
        nearest = np.nan_to_num(np.round(outputs[..., 0] * np.float32(self.largest)), nan=0.0)
        return nearest.clip(0, self.largest).astype(np.int64)


def _below(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Returns the arrays whose names start with a prefix, by the rest of their names."""
    return {k.removeprefix(prefix): array for k, array in arrays.items() if k.startswith(prefix)}


def _lstm(
    x: Array, weights: Mapping[str, Array], state: Sequence[Array], present: Array | None
) -> list[Array]:
    """Runs one layer over its projected inputs, [B, T, 4U], to which the bias is already added.

    The gates are in the order output, input, forget, candidate.

    Returns:
        The hidden states, [B, T, U], and the cell state after the last timestep, [B, U].
    """
    hidden, cell = state
    units, hiddens = hidden.shape[1], []
    for t in range(x.shape[1]):
        gates = x[:, t] + hidden @ weights["recurrent_kernel"]
        o, i, f = np.split(_sigmoid(gates[:, : 3 * units]), 3, 1)
        new_cell = f * cell + i * np.tanh(gates[:, 3 * units :])
        new_hidden = o * np.tanh(new_cell)
        if present is not None:
            here = present[:, t, None]
            new_hidden = np.where(here, new_hidden, hidden)
            new_cell = np.where(here, new_cell, cell)
        hidden, cell = new_hidden, new_cell
        hiddens.append(hidden)
    return [np.stack(hiddens, 1), cell]


def _gru(
    x: Array, weights: Mapping[str, Array], state: Sequence[Array], present: Array | None
) -> list[Array]:
    """Runs one layer over its projected inputs, [B, T, 3U]: update, reset and candidate.

    If the reset gate acts after the product with the recurrent kernel, the product has a bias.

    Returns:
        The hidden states, [B, T, U].
    """
    (hidden,) = state
    units, hiddens, after = hidden.shape[1], [], "recurrent_bias" in weights
    to_gates, to_new = np.split(weights["recurrent_kernel"], [2 * units], 1)
    bias = weights.get("recurrent_bias", np.zeros((1, 3 * units), x.dtype))
    for_gates, for_new = np.split(bias, [2 * units], 1)
    for t in range(x.shape[1]):
        gates = x[:, t, : 2 * units] + hidden @ to_gates + for_gates
        z, r = np.split(_sigmoid(gates), 2, 1)
        kept = r * (hidden @ to_new + for_new) if after else (r * hidden) @ to_new
        new = z * hidden + (1 - z) * np.tanh(x[:, t, 2 * units :] + kept)
        hidden = new if present is None else np.where(present[:, t, None], new, hidden)
        hiddens.append(hidden)
    return [np.stack(hiddens, 1)]


def _min_gru(
    x: Array, _weights: Mapping[str, Array], state: Sequence[Array], present: Array | None
) -> list[Array]:
    """Runs one layer over its projected inputs, [B, T, 2U]: gate and candidate.

    Returns:
        The hidden states, [B, T, U].
    """
    (hidden,) = state
    gates, candidates = np.split(x, 2, 2)
    z = _sigmoid(gates) if present is None else _sigmoid(gates) * present[..., None]
    hiddens = []
    for t in range(x.shape[1]):
        hidden = (1 - z[:, t]) * hidden + z[:, t] * candidates[:, t]
        hiddens.append(hidden)
    return [np.stack(hiddens, 1)]


_LAYERS = {"lstm": _lstm, "gru": _gru, "min_gru": _min_gru}


def _sigmoid(x: Array) -> Array:
    half: Array = 0.5 * np.tanh(0.5 * x) + 0.5  # exp(-x) may overflow
    return half


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    shares: Array = powers / powers.sum(-1, keepdims=True)
    return shares


def load(folder: Path) -> Echo:
    """Loads ``network.npz`` or ``network.pt2``, whichever ``network.json`` describes.

    Arrays are read without pickle. `torch.export.load` may unpickle parts of a graph: load only one
    that you trust.
    """
    description = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    if "steps" not in description:
        return Echo(_graph(folder / "network.pt2"), description)
    with np.load(folder / "network.npz", allow_pickle=False) as arrays:
        return Echo(Layers(dict(arrays), description), description)


def _graph(path: Path) -> Network:
    """Loads a graph of torch.export."""
    import torch

    module = torch.export.load(path).module()

    def network(*arguments: Array) -> list[Array]:
        with torch.inference_mode():
            return [part.numpy() for part in module(*map(torch.from_numpy, arguments))]

    return network


def _load_pyfunc(folder: str) -> Echo:
    """Loads a model; MLflow calls this with the folder of the model's data."""
    return load(Path(folder))
