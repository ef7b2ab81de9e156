"""Trains surprising cells of the later studies here and again with torch's own layers.

    python -m benchmarks.torch_opinion length_generalisation [--seeds 3]
    python -m benchmarks.torch_opinion architectures
    python -m benchmarks.torch_opinion recall

The second program is a bare loop: torch draws the weights and NumPy the sequences. Of `echo_exp` it
uses only the problems. Its recurrent networks begin as in Keras, as ours do, all other layers as
in torch. Prints Markdown: the accuracy of each seed at the length of the training, then at others.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.cells import composed, scored, told
from benchmarks.peers import (
    GRU,
    LSTM,
    Attention,
    Blocks,
    EncoderDecoder,
    LinearRecurrence,
    Transformer,
)
from echo_exp import configuration
from echo_exp.task.problem import Problem, at_other_lengths

SEQUENCES = 25
"""Fresh sequences of each test."""
STATES = 32

Sizes = tuple[int, int, int]
"""Categories of the input, timesteps of a window, answers to it."""


@dataclass(frozen=True)
class Cell:
    """A cell of a study: the settings here, and the function that builds its network in torch."""

    settings: str
    make: Callable[[Sizes], nn.Module]


def as_in_keras(net: nn.Module) -> nn.Module:
    """Gives recurrent and linear layers the initial weights of Keras."""
    for layer in net.modules():
        if isinstance(layer, nn.LSTM | nn.LSTMCell | nn.GRU):
            for name, weight in layer.named_parameters():
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(weight)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(weight)
                else:
                    nn.init.zeros_(weight)
                    if name.startswith("bias_ih") and not isinstance(layer, nn.GRU):
                        _, forget, _, _ = weight.detach().chunk(4)
                        forget.fill_(1)
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return net


def lstm(units: int) -> Callable[[Sizes], nn.Module]:
    return lambda sizes: as_in_keras(LSTM(units, sizes[0]))


def gru(units: int) -> Callable[[Sizes], nn.Module]:
    return lambda sizes: as_in_keras(GRU(units, sizes[0]))


def encoder_decoder(units: int) -> Callable[[Sizes], nn.Module]:
    return lambda sizes: as_in_keras(EncoderDecoder(units, sizes[2], sizes[0]))


def attention(units: int) -> Callable[[Sizes], nn.Module]:
    return lambda sizes: as_in_keras(Attention(units, sizes[2], sizes[0]))


def transformer(units: int) -> Callable[[Sizes], nn.Module]:
    return lambda sizes: Transformer(sizes[1], units, layers=2, heads=2, v=sizes[0])


def ssm(units: int) -> Callable[[Sizes], nn.Module]:
    def make(sizes: Sizes) -> nn.Module:
        recurrence = LinearRecurrence(units, STATES)
        with torch.no_grad():  # as Orvieto et al. 2023 begin, on a ring from 0.9 to 1
            kept = torch.empty(STATES).uniform_(0.9**2, 1).sqrt()
            recurrence.decay.copy_((-kept.log()).log())
            recurrence.phase.uniform_(0, 2 * math.pi)
            recurrence.gain.copy_((1 - kept**2).sqrt().log())
        return Blocks(units, lambda: recurrence, sizes[0])

    return make


SHARED = "model.stateful=false batch_size=21"
LONGER = (
    f"{SHARED} problem=delayed_echo problem.test_lengths=[15,20,100] "
    "optimizer.learning_rate=0.01 epochs=1500"
)
WHOLE = f"{SHARED} problem=echo_whole epochs=1000 optimizer.learning_rate=0.016"
PARTIAL = f"{SHARED} problem=echo_partial epochs=1000 optimizer.learning_rate=0.016"
RECALL = f"{SHARED} problem=associative_recall problem.n_values=8 problem.n_pairs=3 epochs=1200"
FAST, SLOW = "optimizer.learning_rate=0.016", "optimizer.learning_rate=0.004"
PAIRS = f"{SHARED} problem=associative_recall epochs=5000 model.units=32 problem.n_pairs"
STUDIES: Mapping[str, Mapping[str, Cell]] = {
    "length_generalisation": {
        "attention": Cell(f"{LONGER} model=attention model.units=24", attention(24)),
        "GRU": Cell(f"{LONGER} model=gru model.padding=pre model.units=50", gru(50)),
        "LSTM": Cell(f"{LONGER} model=seq2seq_last model.units=44", lstm(44)),
        "SSM": Cell(
            f"{LONGER} model=ssm model.padding=pre model.r_min=0.9 model.units=42", ssm(42)
        ),
    },
    "architectures": {
        "recall, transformer": Cell(
            f"{RECALL} {SLOW} model=transformer model.padding=pre model.units=20", transformer(20)
        ),
        "recall, transformer with learned positions": Cell(
            f"{RECALL} {SLOW} model=transformer model.position=learned model.padding=pre "
            "model.units=20",
            transformer(20),
        ),
        "recall, LSTM": Cell(f"{RECALL} {FAST} model=seq2seq_last model.units=46", lstm(46)),
        "recall, GRU": Cell(f"{RECALL} {FAST} model=gru model.padding=pre model.units=53", gru(53)),
        "recall, attention": Cell(f"{RECALL} {FAST} model=attention model.units=25", attention(25)),
        "2 of 5, LSTM": Cell(f"{PARTIAL} model=seq2seq_last model.units=23", lstm(23)),
        "2 of 5, GRU": Cell(f"{PARTIAL} model=gru model.padding=pre model.units=28", gru(28)),
        "5 of 5, encoder-decoder": Cell(
            f"{WHOLE} model=encoder_decoder model.units=19", encoder_decoder(19)
        ),
        "5 of 5, attention": Cell(f"{WHOLE} model=attention model.units=18", attention(18)),
    },
    "recall": {
        "16 pairs, transformer": Cell(
            f"{PAIRS}=16 {SLOW} model=transformer model.position=learned model.padding=pre",
            transformer(32),
        ),
        "4 pairs, LSTM": Cell(f"{PAIRS}=4 {FAST} model=seq2seq_last", lstm(32)),
        "4 pairs, GRU": Cell(f"{PAIRS}=4 {FAST} model=gru model.padding=pre", gru(32)),
        "4 pairs, attention": Cell(f"{PAIRS}=4 {SLOW} model=attention", attention(32)),
    },
}
"""The cells of each study, by the name of the row."""


def ours(config: DictConfig, seeds: int) -> list[Sequence[float]]:
    """Returns the accuracy of each seed of `echo-exp` at each length."""
    scores = scored(config, seeds)
    lengths = at_other_lengths(configuration.problem(config))
    names = ["test/accuracy", *(f"test/accuracy_at_{length}" for length in lengths)]
    return [scores[name] for name in names]


def in_torch(config: DictConfig, make: Callable[[Sizes], nn.Module], seed: int) -> list[float]:
    """Trains a network of torch's layers; returns its accuracy at each length."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    problem = configuration.problem(config)
    net = make((problem.n_values + len(problem.marks), problem.n_in, problem.n_out))
    optimizer = torch.optim.Adam(net.parameters(), lr=config.optimizer.learning_rate, eps=1e-7)
    for _ in range(config.epochs):
        outputs, targets = _answered(net, problem, random, 1)
        loss = functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        tests = [problem, *at_other_lengths(problem).values()]
        found = [_answered(net, test, random, SEQUENCES) for test in tests]
    return [float((outputs.argmax(-1) == right).float().mean()) for outputs, right in found]


def _answered(
    net: nn.Module, problem: Problem, random: np.random.Generator, count: int
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
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="the rows to train")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cells = STUDIES[arguments.study]
    for row, name in enumerate(arguments.only or cells):
        config = composed(cells[name].settings.split())
        each = [in_torch(config, cells[name].make, seed) for seed in range(arguments.seeds)]
        found: dict[str, Sequence[Sequence[float]]] = {
            "echo-exp": ours(config, arguments.seeds),
            "torch": list(zip(*each, strict=True)),
        }
        if row == 0:
            lengths = ["accuracy", *map(str, at_other_lengths(configuration.problem(config)))]
            print(f"| network | program | {' | '.join(lengths)} |\n{'|---' * (len(lengths) + 2)}|")
        for program, accuracies in found.items():
            print(f"| {name} | {program} | {' | '.join(map(told, accuracies))} |", flush=True)


if __name__ == "__main__":
    main()
