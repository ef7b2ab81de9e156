"""The GRU and the transformer train as torch.nn's do by a bare loop: the same curves.

In double precision: in single one seed of the transformer in four has a gradient so near zero that
Adam makes its rounding as large as any other.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from echo_exp import GRU, EchoDataModule, EchoModule, EchoProblem, OneHot, Transformer

from ..trainers import Recorder, make_trainer
from .torch_nets import TorchGRU, TorchTransformer, curve

PROBLEM, V, BATCH, EPOCHS, SEEDS = EchoProblem(), 100, 7, 50, (0, 1)
SIZES: dict[str, Any] = {
    "n_features": V, "n_outputs": V, "n_in": 5, "n_out": 5, "seeds": SEEDS,
}  # fmt: skip


def _gru() -> GRU:
    return GRU(**SIZES, units=20)


def _transformer() -> Transformer:
    return Transformer(**SIZES, units=32, layers=2, heads=2, position="learned")


@pytest.mark.parametrize(
    ("make", "peer"),
    [(_gru, TorchGRU), (_transformer, TorchTransformer)],
    ids=["gru", "transformer"],
)
def test_each_replica_has_the_learning_curve_of_torchs_network(
    make: Callable[[], Any], peer: Callable[[Any, int], nn.Module]
) -> None:
    model = make().double()
    peers = [peer(model, replica) for replica in range(len(SEEDS))]
    recorder = Recorder()
    data = EchoDataModule(PROBLEM, EPOCHS, SEEDS, block=5)
    make_trainer(recorder).fit(EchoModule(model, PROBLEM, OneHot(V), BATCH), data)
    windows = torch.cat(list(EchoDataModule(PROBLEM, EPOCHS, SEEDS)._blocks(0)))  # [S, R, ...]
    curves = [curve(net, windows[:, replica], BATCH, V) for replica, net in enumerate(peers)]
    np.testing.assert_allclose(recorder.losses, np.transpose(curves), rtol=1e-11)
    first, last = np.array(curves)[:, [0, -1]].T
    assert (last < first).all()
