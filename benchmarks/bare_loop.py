"""The peer of the speed benchmark: the same training as the shortest PyTorch loop.

It has a network of `peers`, one-hot inputs and a fused Adam; it logs and validates nothing. This is
what somebody would write who wants only the trained network.

    python -m benchmarks.bare_loop seq2seq
"""

import argparse
import json
import time

import numpy as np
import torch
from torch.nn import functional

from benchmarks.peers import PEERS, Peer, State, V

WINDOWS, N_IN = 21, 5


def train(peer: Peer, epochs: int, seed: int, n_in: int = N_IN) -> tuple[float, float]:
    """Trains a peer.

    Args:
        peer: The network.
        epochs: Fresh sequences to train on.
        seed: Seed of the sequences.
        n_in: Timesteps of a window.

    Returns:
        The seconds that the training took, and the last loss.
    """
    random = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(peer.net.parameters(), lr=1e-3, eps=1e-7, fused=True)
    loss = torch.zeros(())
    began = time.perf_counter()
    for _ in range(epochs):
        sequence = torch.from_numpy(random.integers(0, V, WINDOWS + n_in - 1))
        state: State = ()
        for windows in sequence.unfold(0, n_in, 1).split(peer.batch):
            outputs, state = peer.net(functional.one_hot(windows, V).float(), state)
            state = tuple(part.detach() for part in state)
            targets = windows[:, : peer.n_out]
            loss = functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - began, float(loss.detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", choices=PEERS)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    peer = PEERS[arguments.net](N_IN)
    epochs = arguments.epochs or peer.epochs
    seconds, loss = train(peer, epochs, arguments.seed)
    print(json.dumps({"fit_seconds": seconds, "epochs": epochs, "final_loss": loss}))


if __name__ == "__main__":
    main()
