"""The peer of the speed benchmark that users know: the tutorial in Keras 3.

It has the shape of the tutorial's script: pandas shifts a fresh sequence for every epoch,
`model.fit` trains on it once, and the states are reset. It runs on JAX, because Keras 3.15 cannot
train a stateful LSTM on torch at all.

    python -m benchmarks.keras_peer seq2seq
"""

import argparse
import json
import os
import random
import time
from dataclasses import dataclass
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
import pandas as pd
from keras.layers import LSTM, Dense, RepeatVector, TimeDistributed
from numpy.typing import NDArray

V, LENGTH, N_IN = 100, 25, 5


@dataclass(frozen=True)
class Net:
    units: int
    batch: int
    n_out: int
    epochs: int


NETS = {"seq2seq": Net(20, 7, 5, 500), "encoder_decoder": Net(150, 21, 2, 5000)}


# A copy of the class in tests/parity/keras_nets.py, whose import of torch would add to the memory.
class StatefulLSTM(LSTM):  # type: ignore[misc]
    """Carries its state from batch to batch, on JAX, too.

    Keras 3.15 hides the states of a layer from its compiled step, which then forgets them silently:
    ``stateful=True`` trains as a stateless network. The attribute set here makes Keras track them.
    """

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        super().build(sequences_shape, initial_state_shape)
        self.carried = list(self.states)


def define(name: str, net: Net) -> Any:
    model = keras.Sequential([keras.Input(batch_shape=(net.batch, N_IN, V))])
    if name == "encoder_decoder":
        model.add(StatefulLSTM(net.units, stateful=True))
        model.add(RepeatVector(net.n_out))
    model.add(StatefulLSTM(net.units, stateful=True, return_sequences=True))
    model.add(TimeDistributed(Dense(V, activation="softmax")))
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def get_data(n_out: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns a fresh random sequence as one-hot windows and targets."""
    sequence = pd.Series([random.randrange(V) for _ in range(LENGTH)])
    columns = [sequence.shift(N_IN - 1 - n) for n in range(N_IN)]  # the oldest first
    windows = pd.concat(columns, axis=1).dropna().to_numpy().astype(int)
    encoded = np.eye(V, dtype=np.float32)[windows]
    return encoded, encoded[:, :n_out]


def reset_states(model: Any) -> None:
    for layer in model.layers:
        if isinstance(layer, LSTM):
            layer.reset_state()


def train(model: Any, net: Net, epochs: int) -> list[float]:
    """Trains a network; returns the loss of each epoch."""
    losses = []
    for _ in range(epochs):
        x, y = get_data(net.n_out)
        history = model.fit(x, y, epochs=1, batch_size=net.batch, shuffle=False, verbose=0)
        losses.append(float(history.history["loss"][0]))
        reset_states(model)
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", choices=NETS)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)  # Python's, numpy's and Keras' own
    net = NETS[arguments.net]
    epochs = arguments.epochs or net.epochs
    model = define(arguments.net, net)
    began = time.perf_counter()
    losses = train(model, net, epochs)
    seconds = time.perf_counter() - began
    result = {"fit_seconds": seconds, "epochs": epochs, "final_loss": losses[-1]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
