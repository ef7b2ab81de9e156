"""The scores of each replica in a validation and a test."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from echo_exp import Seq2Seq
from echo_exp.models import State
from echo_exp.training.recorder import Recorder

from ..trainers import make_data, make_module, make_trainer


def test_scores_of_many_sequences_equal_those_of_each_alone() -> None:
    module, data = make_module([0, 1]), make_data(1, [0, 1])
    windows = torch.cat(list(data.test_dataloader()))
    with torch.no_grad():
        together = module.test_step(windows, 0)
        alone = [module.test_step(sequence[None], 0) for sequence in windows]
    for name, scores in together.items():
        torch.testing.assert_close(scores, torch.cat([one[name] for one in alone]))


def test_a_validation_records_the_last_gradients_and_the_saturated_cells() -> None:
    module = make_module(seeds=(1, 2))
    make_trainer().fit(module, make_data(5, seeds=(1, 2)))
    expected = [
        torch.cat(
            [w.grad[replica].flatten() for w in part.parameters() if w.grad is not None]
        ).norm()
        for part in next(module.children()).children()  # of the model: lstm, dense
        for replica in range(2)
    ]
    told = [*module.scores["val/gradient_norm_lstm"], *module.scores["val/gradient_norm_dense"]]
    assert all(norm > 0 for norm in told)
    assert torch.stack(told).tolist() == pytest.approx(torch.stack(expected).tolist())
    assert module.scores["val/saturation"].tolist() == [0, 0]  # small weights, as yet


class _LargeCells(Seq2Seq):
    """Three quarters of its cells are saturated."""

    def forward(
        self, x: Tensor, state: State | None = None, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        outputs, (hidden, _) = super().forward(x, None, present)
        large = torch.full_like(hidden, 9.0)
        large[..., :2] = 0.5  # of 8 units
        return outputs, (hidden, large)


class _WithoutCells(nn.Module):
    """A network with two states that are not cells, like two layers of GRUs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.stateful, self.inner = False, inner

    def forward(self, *arguments: Any) -> Any:
        return self.inner(*arguments)


def test_saturation_is_measured_on_the_networks_cell_states() -> None:
    data = make_data(1)
    (windows,) = data.val_dataloader()
    sizes: dict[str, Any] = {"n_features": 6, "n_outputs": 6, "n_in": 3, "n_out": 3, "units": 8}
    with torch.no_grad():
        net = _LargeCells(**sizes, seeds=(0,))
        scores = make_module(model=net).validation_step(windows, 0)
        assert scores["saturation"].tolist() == [[0.75]] * len(windows)
        others = make_module(model=_WithoutCells(net)).validation_step(windows, 0)
        assert scores.keys() - others.keys() == {"saturation"}


def test_an_interrupted_validation_leaves_nothing_behind_for_the_test() -> None:
    module, data = make_module(), make_data(1)
    (windows,) = data.val_dataloader()
    with torch.no_grad():
        module.validation_step(windows, 0)  # and no end of the epoch
    make_trainer().test(module, data, verbose=False)
    assert module.samples["test/accuracy"].shape == (4, 1)


def test_a_score_that_begins_late_or_ends_early_is_missing_in_the_other_validations() -> None:
    recorder = Recorder(None)
    recorder.begin(replicas=2)
    accuracy = {"val/accuracy": torch.tensor([0.5, 0.25])}
    recorder.validated(5, accuracy)
    recorder.validated(10, {**accuracy, "val/mine": torch.tensor([1.0, 2.0])})
    recorder.validated(15, accuracy)
    epochs, values = recorder.curves()["val/mine"]
    assert epochs == [5, 10, 15]
    np.testing.assert_array_equal(values, [[math.nan] * 2, [1, 2], [math.nan] * 2])
