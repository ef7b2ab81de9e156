"""Compares loss curves of the GRU and the transformer with torch.nn's, trained by a bare loop.

    python -m benchmarks.torch_curves [--epochs 50]    about a minute

Both have the same initial weights, sequences and Adam, as in `tests/parity/test_torch.py`. A seed
is a replica in echo_exp and a network of its own in the bare loop. Prints Markdown.
"""

import argparse
from typing import Any

import numpy as np
import torch

from echo_exp import GRU, EchoDataModule, EchoModule, EchoProblem, OneHot, Transformer
from tests.parity.torch_nets import TorchGRU, TorchTransformer, curve
from tests.trainers import Recorder, make_trainer

PROBLEM, V, BATCH, SEEDS = EchoProblem(), 100, 7, (0, 1, 2, 3)
NETS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "gru": (GRU, TorchGRU, {"units": 20}),
    "transformer": (
        Transformer,
        TorchTransformer,
        {"units": 32, "layers": 2, "heads": 2, "position": "learned"},
    ),
}


def curves(name: str, epochs: int, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Returns the loss of each epoch and seed, [epochs, R], of echo_exp and of torch.nn."""
    make, make_peer, settings = NETS[name]
    sizes = {"n_features": V, "n_outputs": V, "n_in": PROBLEM.n_in, "n_out": PROBLEM.n_out}
    model = make(**sizes, **settings, seeds=SEEDS).to(dtype)
    peers = [make_peer(model, replica) for replica in range(len(SEEDS))]
    recorder = Recorder()
    data = EchoDataModule(PROBLEM, epochs, SEEDS, block=5)
    make_trainer(recorder).fit(EchoModule(model, PROBLEM, OneHot(V), BATCH), data)
    windows = torch.cat(list(EchoDataModule(PROBLEM, epochs, SEEDS)._blocks(0)))
    theirs = [curve(peer, windows[:, replica], BATCH, V) for replica, peer in enumerate(peers)]
    return np.array(recorder.losses), np.transpose(theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=50)
    epochs = parser.parse_args().epochs
    torch.set_num_threads(1)
    shown = sorted({1, epochs // 2, epochs})
    told = " | ".join(f"loss of epoch {epoch}: here, torch.nn" for epoch in shown)
    print(f"| | precision | {told} | largest relative difference, seed by seed |")
    print("|---" * (len(shown) + 3) + "|")
    for name in NETS:
        for dtype in (torch.float32, torch.float64):
            ours, theirs = curves(name, epochs, dtype)
            losses = [f"{ours[e - 1, 0]:.6f}, {theirs[e - 1, 0]:.6f}" for e in shown]
            differences = " ".join(f"{d:.0e}" for d in np.abs(ours / theirs - 1).max(0))
            cells = [name, str(dtype).removeprefix("torch."), *losses, differences]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
