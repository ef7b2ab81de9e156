"""The tutorial's two networks in Keras, with the weights of ours: the peer of the parity tests.

Keras 3 runs on JAX here; on its torch backend a stateful LSTM cannot be trained.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from torch import nn

from echo_exp.models import LSTM, EncoderDecoder, Seq2Seq
from echo_exp.models.dense import Dense
from echo_exp.problem import Integers, Problem

Array = NDArray[np.float32]
V = 100


@dataclass(frozen=True)
class Baseline:
    """One of the tutorial's two networks, to be made here and in Keras."""

    name: str
    problem: Problem
    batch: int
    units: int
    epochs: int

    def model(self, seeds: Sequence[int] = (0,)) -> Seq2Seq | EncoderDecoder:
        """Returns our network, one replica a seed."""
        make = Seq2Seq if self.name == "seq2seq" else EncoderDecoder
        return make(
            n_features=V,
            n_outputs=V,
            n_in=self.problem.n_in,
            n_out=self.problem.n_out,
            units=self.units,
            seeds=seeds,
        )


class Peer:
    """A stateful Keras network that is trained batch by batch, as the tutorial trains it.

    Args:
        baseline: Which of the two; Keras draws its initial weights.
    """

    def __init__(self, baseline: Baseline) -> None:
        problem, batch, units = baseline.problem, baseline.batch, baseline.units
        self.problem, self.batch = problem, batch
        inputs = keras.Input(batch_shape=(batch, problem.n_in, V))
        if baseline.name == "seq2seq":
            hidden = _lstm(units)(inputs)
        else:
            context = _lstm(units, return_sequences=False)(inputs)
            hidden = _lstm(units)(keras.layers.RepeatVector(problem.n_out)(context))
        dense = keras.layers.Dense(V, activation="softmax")
        self.model = keras.Model(inputs, keras.layers.TimeDistributed(dense)(hidden))
        self.lstms = [layer for layer in self.model.layers if isinstance(layer, CarryingLSTM)]
        self.dense = dense
        self.model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])

    def take_weights(self, model: nn.Module) -> None:
        """Copies the weights of the first replica of one of our networks."""
        ours = [weights_of(layer) for layer in model.modules() if isinstance(layer, LSTM | Dense)]
        for theirs, weights in zip([*self.lstms, self.dense], ours, strict=True):
            for variable, array in zip(theirs.trainable_variables, weights, strict=True):
                variable.assign(array)

    def weights(self) -> list[list[Array]]:
        """Returns the weights of each layer: kernels and bias."""
        return [
            [np.asarray(variable.value) for variable in layer.trainable_variables]
            for layer in [*self.lstms, self.dense]
        ]

    def train_epoch(self, sequence: Integers, reset: bool = True) -> list[tuple[float, float]]:
        """Trains on one sequence, from zero state; returns loss and accuracy of each batch."""
        if reset:
            self.reset_state()
        windows = self.problem.windows(sequence)
        measured = []
        for start in range(0, len(windows), self.batch):
            x = windows[start : start + self.batch]
            self.model.reset_metrics()
            loss, accuracy = self.model.train_on_batch(one_hot(x), one_hot(self.problem.targets(x)))
            measured.append((float(loss), float(accuracy)))
        return measured

    def predict(self, sequence: Integers) -> Integers:
        """Returns the echoes of one sequence, [rows, n_out], from zero state."""
        self.reset_state()
        windows = one_hot(self.problem.windows(sequence))
        batches = [
            self.model.predict_on_batch(windows[start : start + self.batch])
            for start in range(0, len(windows), self.batch)
        ]
        echoes: Integers = np.concatenate(batches).argmax(-1)
        return echoes

    def reset_state(self) -> None:
        """Sets hidden and cell states to zero."""
        for layer in self.lstms:
            layer.reset_state()


class CarryingLSTM(keras.layers.LSTM):  # type: ignore[misc]
    """A stateful LSTM that carries its state on JAX too.

    Keras 3.15 hides the state of a layer from its compiled step, which then forgets it in silence:
    a network that is declared stateful trains as a stateless one. An attribute set here is tracked.
    """

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        super().build(sequences_shape, initial_state_shape)
        self.carried = list(self.states)


def _lstm(units: int, return_sequences: bool = True) -> Any:
    return CarryingLSTM(units, return_sequences=return_sequences, stateful=True)


def one_hot(integers: Integers) -> Array:
    """[..., T] integers -> [..., T, V]."""
    return np.eye(V, dtype=np.float32)[integers]


def weights_of(layer: LSTM | Dense) -> list[Array]:
    """Returns the first replica's weights as Keras has them: its gates are i, f, g, o."""
    # Copied: Keras would go on sharing them with the network that is trained in place.
    arrays = [parameter.detach()[0].numpy().copy() for parameter in layer.parameters()]
    if isinstance(layer, LSTM):
        arrays = [_keras_order(array) for array in arrays]
    *kernels, bias = arrays
    return [*kernels, bias[0]]


def _keras_order(array: Array) -> Array:
    o, i, f, g = np.split(array, 4, axis=-1)
    return np.concatenate([i, f, g, o], axis=-1)
