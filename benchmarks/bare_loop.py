"""The peer of the speed benchmark: the same training as the shortest PyTorch loop.

`torch.nn.LSTM` (or `GRU`), one-hot inputs, fused Adam, nothing logged, nothing validated. What a
person would write who wants only the trained network.

    python -m benchmarks.bare_loop seq2seq
"""

import argparse
import json
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

V, LENGTH, N_IN = 100, 25, 5
State = tuple[tuple[Tensor, ...], ...]


class Seq2Seq(nn.Module):
    batch = 7
    n_out = 5
    epochs = 500

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(V, 20, batch_first=True)
        self.dense = nn.Linear(20, V)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, after = self.lstm(x, *state)
        return self.dense(hidden), (after,)


class GRU(nn.Module):
    batch = 7
    n_out = 5
    epochs = 500

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(V, 20, batch_first=True)
        self.dense = nn.Linear(20, V)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, after = self.gru(x, *(part for layer in state for part in layer))
        return self.dense(hidden), ((after,),)


class EncoderDecoder(nn.Module):
    batch = 21
    n_out = 2
    epochs = 5000

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(V, 150, batch_first=True)
        self.decoder = nn.LSTM(150, 150, batch_first=True)
        self.dense = nn.Linear(150, V)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        before = state or (None, None)
        hidden, encoded = self.encoder(x, before[0])
        repeated = hidden[:, -1:].repeat(1, self.n_out, 1)
        hidden, decoded = self.decoder(repeated, before[1])
        return self.dense(hidden), (encoded, decoded)


def train(net: Seq2Seq | GRU | EncoderDecoder, epochs: int, seed: int) -> tuple[float, float]:
    """Returns the seconds that the training took and the last loss."""
    random = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-7, fused=True)
    loss = torch.zeros(())
    began = time.perf_counter()
    for _ in range(epochs):
        sequence = torch.from_numpy(random.integers(0, V, LENGTH))
        state: State = ()
        for windows in sequence.unfold(0, N_IN, 1).split(net.batch):
            outputs, state = net(functional.one_hot(windows, V).float(), state)
            state = tuple(tuple(part.detach() for part in layer) for layer in state)
            targets = windows[:, : net.n_out]
            loss = functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - began, float(loss.detach())


def main() -> None:
    nets: dict[str, type[Seq2Seq | GRU | EncoderDecoder]] = {
        "seq2seq": Seq2Seq,
        "gru": GRU,
        "encoder_decoder": EncoderDecoder,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", choices=nets)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    net = nets[arguments.net]()
    epochs = arguments.epochs or net.epochs
    seconds, loss = train(net, epochs, arguments.seed)
    print(json.dumps({"fit_seconds": seconds, "epochs": epochs, "final_loss": loss}))


if __name__ == "__main__":
    main()
