"""The peer of the speed benchmark that users come from: the tutorial's way of training, in Keras 3.

A fresh sequence framed with pandas and one-hot encoded, one call of `fit`, the state reset; and so
on for every epoch. On JAX, the backend of Keras that trains a stateful LSTM fastest here.

    python -m benchmarks.keras_peer seq2seq
"""

import argparse
import json
import time

import numpy as np
import pandas as pd

from benchmarks.reproduction import BASELINES, Baseline
from echo_exp.problem import Integers

from tests.parity.keras_nets import Peer, one_hot  # isort: skip; it chooses the backend of Keras

import keras  # isort: skip


def pairs(baseline: Baseline, random: np.random.Generator) -> tuple[Integers, Integers]:
    """Frames one fresh sequence by shifting the columns of a data frame."""
    problem = baseline.problem
    frame = pd.DataFrame(random.integers(0, problem.n_values, problem.length))
    columns = [frame.shift(problem.n_in - 1 - step) for step in range(problem.n_in)]
    windows = pd.concat(columns, axis=1).dropna().to_numpy(dtype=np.int64)
    return windows, windows[:, : problem.n_out]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    baselines = {baseline.name: baseline for baseline in BASELINES}
    parser.add_argument("net", choices=baselines)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    baseline = baselines[arguments.net]
    epochs = arguments.epochs or baseline.epochs
    peer = Peer(baseline.name, baseline.problem, baseline.batch, baseline.units)
    random = np.random.default_rng(arguments.seed)
    loss = float("nan")
    began = time.perf_counter()
    for _ in range(epochs):
        x, y = pairs(baseline, random)
        history = peer.model.fit(
            one_hot(x), one_hot(y), epochs=1, batch_size=baseline.batch, verbose=0, shuffle=False
        )
        peer.reset_state()
        loss = history.history["loss"][0]
    seconds = time.perf_counter() - began
    print(json.dumps({"fit_seconds": seconds, "epochs": epochs, "final_loss": loss}))


if __name__ == "__main__":
    main()
