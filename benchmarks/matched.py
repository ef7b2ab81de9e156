"""Finds the units that give networks the parameters, or the arithmetic, of a study's transformer.

    python -m benchmarks.matched [--units 20]

For each problem of the study `architectures` it prints the units with which each network comes
nearest to the transformer of these units, once in its parameters and once in its multiplications
per window. Multiplications are counted in the forward pass of one window with a state, as all
windows but the first have one: in products of matrices and in products of single numbers. A kernel
row that an integer selects is looked up and costs none. Sums, exponentials, sigmoids and tanh are
not counted.
"""

import argparse
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.cells import composed
from echo_exp import configuration
from echo_exp.configuration import problem_and_network

PROBLEMS = {
    "echo 5 of 5": ("problem=echo_whole",),
    "echo 2 of 5": ("problem=echo_partial",),
    "delayed echo": ("problem=delayed_echo", "problem.n_items=3", "problem.delay=5"),
    "selective echo": ("problem=selective_echo", "problem.n_items=3", "problem.n_noise=5"),
    "recall": ("problem=associative_recall", "problem.n_values=8", "problem.n_pairs=3"),
}
"""The settings of the study's problems, by its names for them."""
NETWORKS = {
    "LSTM": ("model=seq2seq_last",),
    "GRU": ("model=gru", "model.padding=pre"),
    "minimal GRU": ("model=min_gru", "model.layers=2", "model.padding=pre"),
    "SSM": ("model=ssm", "model.layers=2", "model.padding=pre"),
    "selective SSM": ("model=selective_ssm", "model.layers=2", "model.padding=pre"),
    "encoder-decoder": ("model=encoder_decoder",),
    "attention": ("model=attention",),
    "transformer": ("model=transformer", "model.padding=pre"),
    "many-to-one": ("model=many_to_one",),
}
"""The settings of its networks, by its names for them."""
REFERENCE = "transformer"  # its units are multiples of four; the others' can be matched more finely
MATCHED = ("parameters", "arithmetic")
MOST = 256
PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1, "baddbmm_": 1}
"""Products of matrices, and the place of the first matrix among their arguments."""
SINGLE = {"mul": 1, "mul_": 1, "addcmul": 1, "addcmul_": 1, "lerp": 1, "native_layer_norm": 3}
"""Multiplications for each element that these operations return."""


class Multiplications(TorchDispatchMode):
    """Counts the multiplications of numbers within a ``with`` block.

    Attributes:
        count: Their number so far.
    """

    count = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        returned = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        made = returned[0] if isinstance(returned, tuple) else returned
        if name in PRODUCTS:
            self.count += made.numel() * args[PRODUCTS[name]].shape[-1]
        elif name in SINGLE and made.is_floating_point():
            self.count += SINGLE[name] * made.numel()
        return returned


def multiplications(network: Callable[..., Any], timesteps: int) -> int:
    """Returns the multiplications for a window of integers that is read with a state."""
    x = torch.zeros(1, 1, timesteps, dtype=torch.long)
    with torch.no_grad():
        _, state = network(x)
        counted = Multiplications()  # type: ignore[no-untyped-call]
        with counted:
            network(x, state or None)
    return int(counted.count)


def parameters(network: nn.Module) -> int:
    """Returns the number of trainable parameters of a network with one replica."""
    return sum(parameter.numel() for parameter in network.parameters())


def made(config: DictConfig, units: int) -> nn.Module:
    """Returns the network of a configuration with these units and one replica."""
    config.model.units = units
    settings = configuration.read(config)
    _, make = problem_and_network.network(config, settings.problem, settings.missing)
    network: nn.Module = make(seeds=(0,))
    return network


def sizes(config: DictConfig, units: int) -> tuple[int, int]:
    """Returns the parameters and the multiplications per window with these units."""
    network, problem = made(config, units), configuration.read(config).problem
    return parameters(network), multiplications(network, problem.n_in)


def nearest(size: Callable[[int], int], target: int) -> int:
    """Returns the units whose size, which grows with them, comes nearest to a target."""
    low, high = 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= target else (low, middle)
    return min(low, high, key=lambda units: abs(math.log(size(units) / target)))


def configured(problem: str, network: str) -> DictConfig:
    """Returns the configuration of a network on a problem, both by their names."""
    own = ("model.stateful=false", "batch_size=21")
    return composed([*PROBLEMS[problem], *NETWORKS[network], *own])


def matched(problem: str, units: int) -> Iterator[tuple[str, str, int, int, int]]:
    """Yields what is matched, and each network with its units, parameters and multiplications."""
    targets = sizes(configured(problem, REFERENCE), units)
    for which, (what, target) in enumerate(zip(MATCHED, targets, strict=True)):
        for network in NETWORKS:
            config = configured(problem, network)
            size = functools.partial(_size, config, which)
            found = units if network == REFERENCE else nearest(size, target)
            yield what, network, found, *sizes(config, found)


def _size(config: DictConfig, which: int, units: int) -> int:
    return sizes(config, units)[which]


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--units", type=int, default=20, help="of the transformer")
    units = parser.parse_args().units
    print("| problem | the same | network | units | parameters | multiplications a window |")
    print("|---|---|---|---|---|---|")
    for problem in PROBLEMS:
        for what, network, found, weights, products in matched(problem, units):
            print(
                f"| {problem} | {what} | {network} | {found} | {weights:,} | {products:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
