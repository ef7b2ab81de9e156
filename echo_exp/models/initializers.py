"""Keras' initial weights, drawn for each replica from a generator of its own.

Rules: Glorot & Bengio 2010 (uniform), Saxe et al. 2014 (orthogonal), as in `keras.initializers`.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from echo_exp.task.problem import Stream, random_stream

Generators = Sequence[torch.Generator]


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Returns one generator per replica, at the beginning of the weight stream of its seed."""
    states = (random_stream(seed, Stream.WEIGHTS).integers(2**63) for seed in seeds)
    return [torch.Generator().manual_seed(int(state)) for state in states]


def glorot_uniform(n_in: int, n_out: int, generators: Generators) -> nn.Parameter:
    """Returns [R, n_in, n_out] kernels, uniform within ±sqrt(6 / (n_in + n_out))."""
    return _draw(n_in, n_out, generators, nn.init.xavier_uniform_)


def orthogonal(n_in: int, n_out: int, generators: Generators) -> nn.Parameter:
    """Returns [R, n_in, n_out] kernels with orthonormal rows, or columns if they are fewer."""
    return _draw(n_in, n_out, generators, nn.init.orthogonal_)


def zeros(size: int, generators: Generators) -> nn.Parameter:
    """Returns [R, 1, size] biases of zero."""
    return nn.Parameter(torch.zeros(len(generators), 1, size))


def normal(n_in: int, n_out: int, generators: Generators, deviation: float) -> nn.Parameter:
    """Returns [R, n_in, n_out] kernels, normal with mean 0 and the given deviation."""
    return _draw(n_in, n_out, generators, partial(nn.init.normal_, std=deviation))


def fractions(size: int, generators: Generators) -> Tensor:
    """Returns [R, 1, size] numbers, uniform in [0, 1)."""
    return _draw(1, size, generators, nn.init.uniform_).data


def uniform(size: int, generators: Generators, least: float, most: float) -> Tensor:
    """Returns [R, 1, size] numbers, uniform in [least, most), and leaves the generators unchanged.

    So what is drawn afterwards is the same with and without these numbers. They come from a
    generator that is seeded with the next draw of the replica's own.
    """
    numbers = torch.empty(len(generators), 1, size)
    for row, generator in zip(numbers, generators, strict=True):
        copy = generator.clone_state()
        seed = int(torch.empty((), dtype=torch.int64).random_(generator=copy))
        row.uniform_(least, most, generator=copy.manual_seed(seed))
    return numbers


def _draw(
    n_in: int, n_out: int, generators: Generators, fill: Callable[..., Tensor]
) -> nn.Parameter:
    kernels = torch.empty(len(generators), n_in, n_out)
    for kernel, generator in zip(kernels, generators, strict=True):
        fill(kernel, generator=generator)
    return nn.Parameter(kernels)
