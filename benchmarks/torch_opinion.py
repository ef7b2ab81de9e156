"""Trains surprising cells of the study of lengths here and again with torch's own layers.

    python -m benchmarks.torch_opinion [--seeds 3]

The second program is a bare loop: torch draws the weights and NumPy the sequences. Of `echo_exp` it
uses only the framing of windows. Both train on a delay of 10 and are tested at longer ones. Prints
Markdown: the accuracy of each seed at each delay.
"""

import argparse
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.cells import composed, scored, told
from benchmarks.peers import GRU, LSTM, Attention, Blocks, LinearRecurrence
from echo_exp import DelayedEcho, configuration

LENGTHS = (15, 20, 100)
"""The delays of the tests, besides that of the training."""
SEQUENCES = 25
"""Fresh sequences of each test."""
STATES = 32
SHARED = (
    "problem=delayed_echo",
    f"problem.test_lengths={list(LENGTHS)}",
    "model.stateful=false",
    "batch_size=21",
    "optimizer.learning_rate=0.01",
    "epochs=1500",
)


def _ssm(v: int, _: int) -> nn.Module:
    recurrence = LinearRecurrence(42, STATES)
    with torch.no_grad():  # as Orvieto et al. 2023 begin, on a ring from 0.9 to 1
        kept = torch.empty(STATES).uniform_(0.9**2, 1).sqrt()
        recurrence.decay.copy_((-kept.log()).log())
        recurrence.phase.uniform_(0, 2 * math.pi)
        recurrence.gain.copy_((1 - kept**2).sqrt().log())
    return Blocks(42, lambda: recurrence, v)


Make = Callable[[int, int], nn.Module]
CELLS: dict[str, tuple[tuple[str, ...], Make]] = {
    "attention": (
        ("model=attention", "model.units=24"),
        lambda v, n_out: Attention(24, n_out, v),
    ),
    "GRU": (("model=gru", "model.padding=pre", "model.units=50"), lambda v, _: GRU(50, v)),
    "LSTM": (("model=seq2seq_last", "model.units=44"), lambda v, _: LSTM(44, v)),
    "SSM": (("model=ssm", "model.padding=pre", "model.r_min=0.9", "model.units=42"), _ssm),
}
"""The settings of each network here, and a function that builds it from torch's layers, by name."""


def ours(config: DictConfig, seeds: int) -> list[Sequence[float]]:
    """Returns the accuracy of each seed of `echo-exp` at each delay."""
    scores = scored(config, seeds)
    names = ["test/accuracy", *(f"test/accuracy_at_{length}" for length in LENGTHS)]
    return [scores[name] for name in names]


def in_torch(config: DictConfig, make: Make, seed: int) -> list[float]:
    """Trains a network of torch's layers; returns its accuracy at each delay."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    problem = configuration.problem(config)
    assert isinstance(problem, DelayedEcho)
    net = make(problem.n_values + len(problem.marks), problem.n_out)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.optimizer.learning_rate, eps=1e-7)
    for _ in range(config.epochs):
        outputs, targets = _answered(net, problem, random, 1)
        loss = functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        tests = [problem, *(problem.of_length(length) for length in LENGTHS)]
        found = [_answered(net, test, random, SEQUENCES) for test in tests]
    return [float((outputs.argmax(-1) == right).float().mean()) for outputs, right in found]


def _answered(
    net: nn.Module, problem: DelayedEcho, random: np.random.Generator, count: int
) -> tuple[Tensor, Tensor]:
    """Draws sequences; returns the outputs [B, n_out, V] and the right answers [B, n_out]."""
    windows = problem.windows(problem.generate(random, count)).reshape(-1, problem.n_in)
    read = torch.from_numpy(windows.copy())
    v = problem.n_values + len(problem.marks)
    outputs, _ = net(functional.one_hot(read, v).float(), ())
    return outputs[:, -problem.n_out :], problem.targets(read)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CELLS, default=list(CELLS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| network | program | delay 10 | {' | '.join(map(str, LENGTHS))} |\n{'|---' * 6}|")
    for name in arguments.only:
        settings, make = CELLS[name]
        config = composed([*SHARED, *settings])
        each = [in_torch(config, make, seed) for seed in range(arguments.seeds)]
        found: dict[str, Sequence[Sequence[float]]] = {
            "echo-exp": ours(config, arguments.seeds),
            "torch": list(zip(*each, strict=True)),
        }
        for program, delays in found.items():
            print(f"| {name} | {program} | {' | '.join(map(told, delays))} |", flush=True)


if __name__ == "__main__":
    main()
