"""Trains the surprising cells of the studies here and again in Keras on JAX.

    python -m benchmarks.second_opinion                        all of them
    python -m benchmarks.second_opinion missing=mask epochs=9  another one, by its settings

In the second program, Keras draws the weights and NumPy the sequences. It uses only the framing of
windows from `echo_exp`.
"""

import argparse
import shlex

import numpy as np

from benchmarks.cells import composed, keras_net, scored, told
from echo_exp.task.problem import MISSING
from tests.parity.keras_nets import Net, Peer  # chooses the backend of Keras

import keras  # isort: skip

SEQUENCES = 50
"""Fresh sequences that a trained network is tested on."""

PART = "experiment=encoder_decoder_baseline"
ONE_BY_ONE = "batch_size=1 epochs=75"
SURPRISES = (
    "representation=scaled model.units=100 epochs=2000",
    f"{ONE_BY_ONE} model.stateful=true",
    f"{ONE_BY_ONE} model.stateful=false",
    f"{PART} batch_size=7 epochs=2000 model.stateful=true",
    f"{PART} batch_size=7 epochs=2000 model.stateful=false",
    PART,
    f"{PART} missing=mask batch_size=25",
)


def in_keras(net: Net, seed: int) -> float:
    """Trains a network in Keras; returns its accuracy on complete windows."""
    keras.utils.set_random_seed(seed)
    problem = net.problem
    peer = Peer(net)
    random = np.random.default_rng(seed)
    for _ in range(net.epochs):
        peer.train_epoch(random.integers(0, problem.n_values, problem.length))
    right = []
    for _ in range(SEQUENCES):
        sequence = random.integers(0, problem.n_values, problem.length)
        targets = problem.targets(problem.windows(sequence))
        whole = (targets != MISSING).all(-1)
        right.append((peer.predict(sequence) == targets)[whole].mean())
    return float(np.mean(right))


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    cells = [shlex.join(arguments.settings)] if arguments.settings else SURPRISES
    seeds = arguments.seeds
    print("| `echo-exp ...` | accuracy of each seed here | in Keras |\n|---|---|---|")
    for cell in cells:
        config = composed(shlex.split(cell))
        theirs = [in_keras(keras_net(config), seed) for seed in range(seeds)]
        ours = scored(config, seeds)["test/accuracy"]
        print(f"| `{cell}` | {told(ours)} | {told(theirs)} |", flush=True)


if __name__ == "__main__":
    main()
