"""Trains surprising cells of the later studies here and again with torch's own layers.

    python -m benchmarks.torch_opinion length_generalisation [--seeds 3]
    python -m benchmarks.torch_opinion architectures
    python -m benchmarks.torch_opinion recall
    python -m benchmarks.torch_opinion memory_span

The second program is a bare loop: torch draws the weights and NumPy the sequences. Of `echo_exp` it
uses only the problems. Its recurrent networks begin as in Keras, as ours do, the others as
in torch. Prints Markdown: the accuracy of each seed at the length of the training, then at others.
"""

import argparse
import math
from collections.abc import Mapping, Sequence

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
from echo_exp.task.problem import TEST_LENGTHS, Problem, at_lengths, in_training

SEQUENCES = 25
"""Fresh sequences of each test."""

SHARED = "model.stateful=false batch_size=21"
LONGER = (
    f"{SHARED} problem=delayed_echo problem.train_lengths=[2,3,4,5,6,7,8,9,10] "
    "problem.test_lengths=[15,20,100] optimizer.learning_rate=0.01 epochs=1500"
)
FAST, SLOW = "optimizer.learning_rate=0.016", "optimizer.learning_rate=0.004"
WHOLE = f"{SHARED} {FAST} problem=echo_whole epochs=1000"
PARTIAL = f"{SHARED} {FAST} problem=echo_partial epochs=1000"
RECALL = f"{SHARED} problem=associative_recall problem.n_values=8 problem.n_pairs=3 epochs=1200"
PAIRS = f"{SHARED} problem=associative_recall epochs=5000 model.units=32 problem.n_pairs"
TRANSFORMER = "model=transformer model.padding=pre"
OLDEST = (
    f"experiment=encoder_decoder_baseline {SHARED} problem.n_in=20 problem.length=40 "
    "model.units=50 epochs=4000"
)
DELAYED = f"{SHARED} problem=delayed_echo problem.delay=40 model.units=50 epochs=2000"
STUDIES: Mapping[str, Mapping[str, str]] = {
    "length_generalisation": {
        "attention": f"{LONGER} model=attention model.units=24",
        "GRU": f"{LONGER} model=gru model.padding=pre model.units=50",
        "LSTM": f"{LONGER} model=seq2seq_last model.units=44",
        "SSM": f"{LONGER} model=ssm model.padding=pre model.r_min=0.9 model.units=42",
    },
    "architectures": {
        "recall, transformer with rotary positions": (
            f"{RECALL} {SLOW} {TRANSFORMER} model.position=rotary model.units=20"
        ),
        "recall, transformer with learned positions": (
            f"{RECALL} {SLOW} {TRANSFORMER} model.position=learned model.units=20"
        ),
        "recall, LSTM": f"{RECALL} {FAST} model=seq2seq_last model.units=46",
        "recall, GRU": f"{RECALL} {FAST} model=gru model.padding=pre model.units=53",
        "recall, attention": f"{RECALL} {FAST} model=attention model.units=25",
        "echo 2 of 5, LSTM": f"{PARTIAL} model=seq2seq_last model.units=23",
        "echo 2 of 5, GRU": f"{PARTIAL} model=gru model.padding=pre model.units=28",
        "echo 5 of 5, encoder-decoder": f"{WHOLE} model=encoder_decoder model.units=19",
        "echo 5 of 5, attention": f"{WHOLE} model=attention model.units=18",
    },
    "recall": {
        "16 pairs, transformer": f"{PAIRS}=16 {SLOW} {TRANSFORMER} model.position=learned",
        "4 pairs, LSTM": f"{PAIRS}=4 {FAST} model=seq2seq_last",
        "4 pairs, GRU": f"{PAIRS}=4 {FAST} model=gru model.padding=pre",
        "4 pairs, attention": f"{PAIRS}=4 {SLOW} model=attention",
    },
    "memory_span": {
        "oldest two of 20, LSTM": f"{OLDEST} optimizer.learning_rate=0.01",
        "oldest two of 20, LSTM with chrono": (
            f"{OLDEST} optimizer.learning_rate=0.01 model.chrono=20"
        ),
        "oldest two of 20, GRU": (
            f"{OLDEST} optimizer.learning_rate=0.01 model=gru model.padding=pre"
        ),
        "oldest two of 20, attention": f"{OLDEST} optimizer.learning_rate=0.003 model=attention",
        "delay of 40, LSTM": f"{DELAYED} optimizer.learning_rate=0.01 model=seq2seq_last",
        "delay of 40, GRU": f"{DELAYED} optimizer.learning_rate=0.01 model=gru model.padding=pre",
    },
}
"""The settings of each study's cells, by the name of the row."""


def peer(model: DictConfig, problem: Problem) -> nn.Module:
    """Builds the network of these settings from torch's layers."""
    v, units = problem.n_values + len(problem.marks), model.units
    match model._target_.rsplit(".", 1)[-1]:
        case "Transformer":
            return Transformer(problem.n_in, units, model.layers, model.heads, v)
        case "SSM":
            recurrence = _on_a_ring(model)
            return Blocks(units, lambda: recurrence, v)
        case "Seq2Seq":
            net: nn.Module = LSTM(units, v)
        case "GRU":
            net = GRU(units, v)
        case "EncoderDecoder":
            net = EncoderDecoder(units, problem.n_out, v)
        case "Attention":
            net = Attention(units, problem.n_out, v)
        case other:
            raise ValueError(other)
    as_in_keras(net)
    if isinstance(net, EncoderDecoder):
        _remember(net.encoder, model)
    return net


def has_peer(model: DictConfig) -> bool:
    """Says whether torch's layers can be this network: our peer's positions are learned."""
    return bool(model.get("position", "learned") == "learned")


def as_in_keras(net: nn.Module) -> None:
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


@torch.no_grad()
def _remember(layer: nn.LSTM, model: DictConfig) -> None:
    """Begins with a forget bias, or with the biases of Tallec & Ollivier 2018."""
    bias = layer.get_parameter("bias_ih_l0")
    read, forget, _, _ = bias.chunk(4)
    if model.chrono is None:
        forget.fill_(model.forget_bias)
    else:
        forget.uniform_(1, model.chrono - 1).log_()
        read.copy_(-forget)


@torch.no_grad()
def _on_a_ring(model: DictConfig) -> LinearRecurrence:
    """Begins as Orvieto et al. 2023, with states on a ring from r_min to 1."""
    recurrence = LinearRecurrence(model.units, model.states)
    kept = torch.empty(model.states).uniform_(model.r_min**2, 1).sqrt()
    recurrence.decay.copy_((-kept.log()).log())
    recurrence.phase.uniform_(0, 2 * math.pi)
    recurrence.gain.copy_((1 - kept**2).sqrt().log())
    return recurrence


def ours(config: DictConfig, seeds: int) -> list[Sequence[float]]:
    """Returns the accuracy of each seed of `echo-exp` at each length."""
    scores = scored(config, seeds)
    lengths = at_lengths(configuration.problem(config), TEST_LENGTHS)
    names = ["test/accuracy", *(f"test/accuracy_at_{length}" for length in lengths)]
    return [scores[name] for name in names]


def in_torch(config: DictConfig, seed: int) -> list[float]:
    """Trains the network in torch; returns its accuracy at each length."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    problem = configuration.problem(config)
    net = peer(config.model, problem)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.optimizer.learning_rate, eps=1e-7)
    lengths = in_training(problem)
    for epoch in range(config.epochs):
        outputs, targets = _answered(net, lengths[epoch % len(lengths)], random, 1)
        loss = functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        tests = [problem, *at_lengths(problem, TEST_LENGTHS).values()]
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
    if unknown := set(arguments.only or ()) - cells.keys():
        parser.error(f"--only {unknown.pop()!r} is not allowed: choose from {', '.join(cells)}")
    for row, name in enumerate(arguments.only or cells):
        config = composed(cells[name].split())
        found = {"echo-exp": ours(config, arguments.seeds)}
        if has_peer(config.model):
            each = [in_torch(config, seed) for seed in range(arguments.seeds)]
            found["torch"] = list(zip(*each, strict=True))
        if row == 0:
            lengths = [
                "accuracy",
                *map(str, at_lengths(configuration.problem(config), TEST_LENGTHS)),
            ]
            print(f"| network | program | {' | '.join(lengths)} |\n{'|---' * (len(lengths) + 2)}|")
        for program, accuracies in found.items():
            print(f"| {name} | {program} | {' | '.join(map(told, accuracies))} |", flush=True)


if __name__ == "__main__":
    main()
