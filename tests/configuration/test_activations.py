"""The memory of a network's activations, and the limits that follow from it."""

import pytest
import torch
from torch import Tensor, nn

from echo_exp import configuration
from echo_exp.configuration import activations, memory, shapes
from echo_exp.configuration.memory import EVALUATION_BYTES, Need
from echo_exp.configuration.problem_and_network import network
from echo_exp.models import Transformer
from echo_exp.settings import SettingError

from .. import matrix
from ..matrix import RESET, Case


def _need(case: Case, monkeypatch: pytest.MonkeyPatch) -> Need:
    monkeypatch.setattr(memory, "NEGLIGIBLE", 0.0)
    composed = matrix.config(case)
    settings = configuration.read(composed)
    representation, make_model = network(composed, settings.problem, settings.missing)
    return shapes.need(make_model(seeds=()), representation, settings)


class Saved:
    """Counts the bytes that autograd keeps for the backward pass, each storage once."""

    def __init__(self) -> None:
        self.storages: dict[int, int] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self.storages[storage.data_ptr()] = storage.nbytes()
        return tensor


@pytest.mark.parametrize("missing", ["drop", "mask"])
@pytest.mark.parametrize("network", matrix.networks())
def test_at_least_everything_kept_for_the_backward_pass_is_counted(
    network: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(network, "echo_whole", "one_hot", missing, RESET)
    module = matrix.parts(case).module
    windows = torch.zeros(1, module.batch_size, module.problem.n_in, dtype=torch.long)
    saved = Saved()
    with torch.autograd.graph.saved_tensors_hooks(saved, lambda kept: kept):
        module.model(module.representation.encode(windows), None, module.missing.present(windows))
    weights = {value.untyped_storage().data_ptr() for value in module.model.parameters()}
    kept = sum(size for place, size in saved.storages.items() if place not in weights)
    assert 0 < kept <= _need(case, monkeypatch).activations


def test_attention_over_twice_the_timesteps_takes_four_times_the_memory() -> None:
    def taken(timesteps: int) -> int:
        model = Transformer(
            n_features=5, n_outputs=5, n_in=timesteps, n_out=timesteps, units=4, seeds=[]
        )
        window = torch.zeros(1, 1, timesteps, dtype=torch.long)
        return activations.measured(model, window, None).training

    assert taken(2000) / taken(1000) == pytest.approx(4, abs=0.1)


def test_a_network_that_is_only_tested_needs_no_memory_for_gradients() -> None:
    model = Transformer(n_features=5, n_outputs=5, n_in=50, n_out=50, units=4, seeds=[])
    window = torch.zeros(1, 1, 50, dtype=torch.long)
    whole = activations.measured(model, window, None)
    only = activations.measured(model, window, None, trained=False)
    assert only == activations.Activations(0, whole.evaluation)
    assert 0 < only.evaluation < whole.training


def test_a_network_that_cannot_be_called_without_content_counts_as_nothing() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(0, 1))

        def forward(self, x: Tensor, *_: object) -> tuple[Tensor, tuple[()]]:
            return self.weight * x.sum().item(), ()

    found = activations.measured(Own(), torch.zeros(1, 3, 4, 2), None)
    assert found == activations.Activations(0, 0)


def test_as_many_sequences_are_evaluated_at_once_as_fit_into_memory() -> None:
    need = Need(weights=0, activations=0, evaluated=EVALUATION_BYTES // 8, sequences=5, timesteps=1)
    assert [need.side_by_side(replicas) for replicas in (1, 2, 8, 100)] == [5, 4, 1, 1]
    assert Need(0, 0, 0, 5, 1).side_by_side(100) == 5


def test_too_many_activations_are_refused_naming_the_batch_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case("transformer", "echo_whole", "one_hot", "drop", RESET)
    monkeypatch.setattr(memory, "_memory", lambda: 2.0**32)
    sizes = {"problem.n_in": 7001, "problem.n_out": 7001, "problem.length": 7020}
    with pytest.raises(SettingError, match=r"batch_size=10 .* GiB .* of 7,001 timesteps"):
        matrix.parts(case, (1,), batch_size=10, **sizes)
