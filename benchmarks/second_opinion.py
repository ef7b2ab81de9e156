"""The surprising cells of the studies, trained again in Keras on JAX.

    python -m benchmarks.second_opinion

Keras draws the weights, NumPy the sequences: of `echo_exp` only the cutting of windows takes part.
"""

import argparse

import keras
import numpy as np

from echo_exp import Drop, Mask, Problem, Sentinel
from echo_exp.missing import Missing
from echo_exp.problem import MISSING
from tests.parity.keras_nets import Net, Peer

SEQUENCES = 50
"""Fresh sequences that a trained network is tested on."""


def _encoder_decoder(batch: int, epochs: int, stateful: bool, missing: Missing) -> Net:
    problem = Problem(25, 100, 5, 2, incomplete=missing.incomplete)
    return Net("encoder_decoder", problem, batch, 150, epochs, missing=missing, stateful=stateful)


CELLS = {
    "echo 2 of 5, batch size 7, state carried": _encoder_decoder(7, 2000, True, Drop()),
    "echo 2 of 5, batch size 7, not carried": _encoder_decoder(7, 2000, False, Drop()),
    "echo 2 of 5, mask": _encoder_decoder(25, 5000, True, Mask()),
    "echo 2 of 5, sentinel": _encoder_decoder(25, 5000, True, Sentinel()),
    "echo 5 of 5, scaled, 300 units": Net(
        "seq2seq", Problem(25, 100, 5, 5), 7, 300, 2000, scaled=True
    ),
}


def accuracy(net: Net, seed: int) -> tuple[float, float]:
    """Trains a network in Keras; returns its accuracy on complete and on incomplete windows."""
    keras.utils.set_random_seed(seed)
    problem = net.problem
    peer = Peer(net)
    random = np.random.default_rng(seed)
    for _ in range(net.epochs):
        peer.train_epoch(random.integers(0, problem.n_values, problem.length))
    complete, incomplete = [], []
    for _ in range(SEQUENCES):
        sequence = random.integers(0, problem.n_values, problem.length)
        targets = problem.targets(problem.windows(sequence))
        right = peer.predict(sequence) == targets
        first = problem.n_incomplete
        complete.append(right[first:].mean())
        incomplete.append(right[:first][targets[:first] != MISSING].mean() if first else np.nan)
    return float(np.mean(complete)), float(np.mean(incomplete))


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    print("| cell | accuracy in Keras, of each seed | on incomplete windows |\n|---|---|---|")
    for name, net in CELLS.items():
        found = [accuracy(net, seed) for seed in seeds]
        columns = [
            ", ".join("–" if np.isnan(v) else f"{v:.3f}" for v in c)
            for c in zip(*found, strict=False)
        ]
        print(f"| {name} | {columns[0]} | {columns[1]} |", flush=True)


if __name__ == "__main__":
    main()
