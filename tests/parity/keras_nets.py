"""Every network in Keras, with the weights of ours: the peer of the parity tests.

Keras 3 runs on JAX here; on its torch backend a stateful LSTM cannot be trained.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from absl import logging
from numpy.typing import NDArray
from torch import nn

from echo_exp import (
    GRU,
    Adam,
    Drop,
    EchoModule,
    EchoProblem,
    EncoderDecoder,
    ManyToOne,
    Mask,
    OneHot,
    OneToOne,
    Scaled,
    Seq2Seq,
)
from echo_exp.models import LSTM
from echo_exp.models.dense import Dense
from echo_exp.models.gru import GRULayer
from echo_exp.task.missing import Missing
from echo_exp.task.problem import MISSING, Integers

from ..quick import begins

# Where logging is configured anew, absl closes the stream that it found at its import: pytest's.
logging.get_absl_handler().python_handler.stream = sys.__stderr__

Array = NDArray[np.float32]
V = 100
OurModel = Seq2Seq | EncoderDecoder | ManyToOne | OneToOne | GRU
OurLayer = LSTM | GRULayer | Dense
TOPOLOGIES: dict[str, type[OurModel]] = {
    "seq2seq": Seq2Seq,
    "seq2seq_padded": Seq2Seq,
    "encoder_decoder": EncoderDecoder,
    "many_to_one": ManyToOne,
    "one_to_one": OneToOne,
    "gru": GRU,
}


@dataclass(frozen=True)
class Net:
    """A network and its training, made both here and in Keras."""

    name: str
    problem: EchoProblem
    batch: int
    units: int
    epochs: int
    scaled: bool = False
    missing: Missing = field(default_factory=Drop)
    layers: int = 1
    stateful: bool = True
    learning_rate: float = 1e-3
    reset: str = "after"  # of a GRU

    def __str__(self) -> str:
        policy = type(self.missing).__name__.lower()
        kind = "scaled" if self.scaled else "one_hot"
        state = "" if self.stateful else "-stateless"
        name = f"{self.name}-reset-{self.reset}" if self.name == "gru" else self.name
        return f"{name}-{kind}-{policy}-{self.layers}{state}"

    def representation(self) -> OneHot | Scaled:
        """Returns the representation of integers."""
        return (Scaled if self.scaled else OneHot)(V, self.missing.sentinel)

    def model(self, seeds: Sequence[int] = (0,)) -> OurModel:
        """Returns our network, with one replica per seed."""
        representation = self.representation()
        own: dict[str, dict[str, Any]] = {
            "seq2seq_padded": {"padding": "post"},
            "gru": {"reset": self.reset},
        }
        return TOPOLOGIES[self.name](
            n_features=representation.n_features,
            n_outputs=representation.n_outputs,
            n_in=self.problem.n_in,
            n_out=self.problem.n_out,
            units=self.units,
            layers=self.layers,
            stateful=self.stateful,
            seeds=seeds,
            **own.get(self.name, {}),
        )

    def module(self, seeds: Sequence[int] = (0,)) -> EchoModule:
        """Returns our training of the network."""
        return EchoModule(
            self.model(seeds),
            self.problem,
            self.representation(),
            self.batch,
            functools.partial(Adam, learning_rate=self.learning_rate),
            missing=self.missing,
        )


class Peer:
    """A Keras network that is trained batch by batch, as the tutorial trains its two.

    Args:
        net: Which one; Keras draws its initial weights.
    """

    def __init__(self, net: Net) -> None:
        begins("a training in Keras")
        self.net, self.problem, self.batch = net, net.problem, net.batch
        self.width = 1 if net.scaled else V + net.missing.sentinel
        self.recurrent: list[Any] = []
        self.dense = keras.layers.Dense(self._outputs())
        inputs = keras.Input(batch_shape=(net.batch, *self._shape()))
        self.model = keras.Model(inputs, self._outline(inputs))
        loss = "mse" if net.scaled else "categorical_crossentropy"
        optimizer = keras.optimizers.Adam(net.learning_rate)
        self.model.compile(loss=loss, optimizer=optimizer, weighted_metrics=["accuracy"])

    def _shape(self) -> tuple[int, int]:
        if self.net.name == "one_to_one":
            return 1, self.problem.n_in * self.width
        return self.problem.n_in, self.width

    def _outputs(self) -> int:
        at_once = self.net.name in ("many_to_one", "one_to_one")
        return (self.problem.n_out if at_once else 1) * (1 if self.net.scaled else V)

    def _outline(self, x: Any) -> Any:
        name, n_out = self.net.name, self.problem.n_out
        if isinstance(self.net.missing, Mask) and name != "one_to_one":
            x = keras.layers.Masking(mask_value=-1.0 if self.net.scaled else 0.0)(x)
        x = self._stack(x, every=name.startswith(("seq2seq", "gru")))
        if name == "encoder_decoder":
            x = self._stack(keras.layers.RepeatVector(n_out)(x), every=True)
        if name in ("many_to_one", "one_to_one"):
            x = keras.layers.Reshape((n_out, -1))(self.dense(x))
        else:
            x = keras.layers.TimeDistributed(self.dense)(x)
        return x if self.net.scaled else keras.layers.Activation("softmax")(x)

    def _stack(self, x: Any, every: bool) -> Any:
        for layer in range(self.net.layers):
            whole = every or layer < self.net.layers - 1
            self.recurrent.append(self._layer(whole))
            x = self.recurrent[-1](x)
        return x

    def _layer(self, whole: bool) -> Any:
        stateful = self.net.stateful
        settings = {"units": self.net.units, "return_sequences": whole, "stateful": stateful}
        if self.net.name == "gru":
            kind = CarryingGRU if stateful else keras.layers.GRU
            return kind(**settings, reset_after=self.net.reset == "after")
        return (CarryingLSTM if stateful else keras.layers.LSTM)(**settings)

    def take_weights(self, model: nn.Module) -> None:
        """Copies the weights of the first replica of one of our networks."""
        ours = [weights_of(layer) for layer in model.modules() if isinstance(layer, OurLayer)]
        for theirs, weights in zip([*self.recurrent, self.dense], ours, strict=True):
            for variable, array in zip(theirs.trainable_variables, weights, strict=True):
                variable.assign(array)

    def weights(self) -> list[list[Array]]:
        """Returns the weights of each layer: kernels and bias."""
        return [
            [np.asarray(variable.value) for variable in layer.trainable_variables]
            for layer in [*self.recurrent, self.dense]
        ]

    def train_epoch(self, sequence: Integers, reset: bool = True) -> list[tuple[float, float]]:
        """Trains on one sequence, from zero state; returns loss and accuracy of each batch."""
        if reset:
            self.reset_state()
        windows = self.problem.windows(sequence)
        measured = []
        for start in range(0, len(windows), self.batch):
            x = windows[start : start + self.batch]
            y, weights = self._targets(self.problem.targets(x))
            self.model.reset_metrics()
            loss, accuracy = self.model.train_on_batch(self._encode(x), y, weights)
            measured.append((float(loss), float(accuracy)))
        return measured

    def predict(self, sequence: Integers) -> Integers:
        """Returns the echoes of one sequence, [rows, n_out], from zero state."""
        self.reset_state()
        windows = self._encode(self.problem.windows(sequence))
        batches = [
            self.model.predict_on_batch(windows[start : start + self.batch])
            for start in range(0, len(windows), self.batch)
        ]
        outputs = np.concatenate(batches)
        if self.net.scaled:
            return (outputs[..., 0] * (V - 1)).round().clip(0, V - 1).astype(np.int64)
        echoes: Integers = outputs.argmax(-1)
        return echoes

    def reset_state(self) -> None:
        """Sets hidden and cell states to zero."""
        for layer in self.recurrent:
            if layer.stateful:
                layer.reset_state()

    def _encode(self, windows: Integers) -> Array:
        """[B, T] integers -> the network's input, where a missing one is what Keras would see."""
        if self.net.scaled:
            missing = 0.0 if (self.net.name, self.net.missing.sentinel) == ("one_to_one", 0) else -1
            features = np.where(windows == MISSING, missing, windows / (V - 1))[..., None]
        else:
            features = np.eye(V + 1)[windows][..., : self.width]  # the last vector is MISSING's
        return features.reshape(len(windows), *self._shape()).astype(np.float32)

    def _targets(self, targets: Integers) -> tuple[Array, Array | None]:
        """[B, n_out] integers -> the outputs to learn, padded, and the weight of each."""
        integers = np.maximum(targets, 0)
        outputs = (integers / (V - 1))[..., None] if self.net.scaled else np.eye(V)[integers]
        y: Array = outputs.astype(np.float32)
        present: Array = (targets != MISSING).astype(np.float32)
        if self.net.name == "seq2seq_padded":
            padding = ((0, 0), (0, self.problem.n_in - self.problem.n_out))
            y, present = np.pad(y, (*padding, (0, 0))), np.pad(present, padding)
        elif self.net.name in ("seq2seq", "gru") and isinstance(self.net.missing, Mask):
            return y, None  # the mask reaches the loss by itself
        return y, present * present.size / max(present.sum(), 1)


class Carrying:
    """Makes a stateful layer carry its state on JAX too.

    Keras 3.15 hides the state of a layer from its compiled step, which then forgets it in silence:
    a network that is declared stateful trains as a stateless one. An attribute set here is tracked.
    """

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        super().build(sequences_shape, initial_state_shape)  # type: ignore[misc]
        self.carried = list(self.states)  # type: ignore[attr-defined]


class CarryingLSTM(Carrying, keras.layers.LSTM):  # type: ignore[misc]
    """An LSTM that carries its state on JAX."""


class CarryingGRU(Carrying, keras.layers.GRU):  # type: ignore[misc]
    """A GRU that carries its state on JAX."""


def weights_of(layer: OurLayer) -> list[Array]:
    """Returns the first replica's weights as Keras has them: its gates are i, f, g, o."""
    # Copied: Keras would go on sharing them with the network that is trained in place.
    arrays = [parameter.detach()[0].numpy().copy() for parameter in layer.parameters()]
    if isinstance(layer, LSTM):
        arrays = [_keras_order(array) for array in arrays]
    if isinstance(layer, GRULayer):  # its gates lie as Keras' do, its biases below one another
        kernel, recurrent, *biases = arrays
        return [kernel, recurrent, np.concatenate(biases) if len(biases) > 1 else biases[0][0]]
    *kernels, bias = arrays
    return [*kernels, bias[0]]


def _keras_order(array: Array) -> Array:
    o, i, f, g = np.split(array, 4, axis=-1)
    return np.concatenate([i, f, g, o], axis=-1)
