"""The tutorial in Keras 3: the peer of the speed and the reproduction benchmarks.

A script of the tutorial's own shape: pandas shifts a fresh sequence for every epoch, `model.fit`
trains on it once, and the states are reset. Keras 3 trains stateful LSTMs on JAX, not on torch.

    python benchmarks/keras_peer.py seq2seq
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


def define(name: str, net: Net) -> Any:
    model = keras.Sequential([keras.Input(batch_shape=(net.batch, N_IN, V))])
    if name == "encoder_decoder":
        model.add(LSTM(net.units, stateful=True))
        model.add(RepeatVector(net.n_out))
    model.add(LSTM(net.units, stateful=True, return_sequences=True))
    model.add(TimeDistributed(Dense(V, activation="softmax")))
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def get_data(n_out: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A fresh random sequence as one-hot windows and targets."""
    sequence = pd.Series([random.randrange(V) for _ in range(LENGTH)])
    columns = [sequence.shift(N_IN - 1 - n) for n in range(N_IN)]  # the oldest first
    windows = pd.concat(columns, axis=1).dropna().to_numpy().astype(int)
    encoded = np.eye(V, dtype=np.float32)[windows]
    return encoded, encoded[:, :n_out]


def reset_states(model: Any) -> None:
    for layer in model.layers:
        if isinstance(layer, LSTM):
            layer.reset_state()


def train(model: Any, net: Net, epochs: int) -> list[tuple[float, float]]:
    """Returns loss and accuracy of each epoch."""
    measured = []
    for _ in range(epochs):
        x, y = get_data(net.n_out)
        history = model.fit(x, y, epochs=1, batch_size=net.batch, shuffle=False, verbose=0).history
        measured.append((float(history["loss"][0]), float(history["accuracy"][0])))
        reset_states(model)
    return measured


def count_errors(model: Any, net: Net, sequences: int) -> list[int]:
    """Returns how many integers are echoed wrongly in each of so many fresh sequences."""
    errors = []
    for _ in range(sequences):
        x, y = get_data(net.n_out)
        echo = model.predict(x, batch_size=net.batch, verbose=0)
        errors.append(int((echo.argmax(-1) != y.argmax(-1)).sum()))
        reset_states(model)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", choices=NETS)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--test", type=int, help="add all epochs, and errors in so many sequences")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)  # Python's, numpy's and Keras' own
    net = NETS[arguments.net]
    epochs = arguments.epochs or net.epochs
    model = define(arguments.net, net)
    began = time.perf_counter()
    measured = train(model, net, epochs)
    seconds = time.perf_counter() - began
    loss, accuracy = zip(*measured, strict=True)
    result = {"fit_seconds": seconds, "epochs": epochs, "final_loss": loss[-1]}
    if arguments.test:
        result |= {"loss": loss, "accuracy": accuracy}
        result |= {"errors": count_errors(model, net, arguments.test)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
