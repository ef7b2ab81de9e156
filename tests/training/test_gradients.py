"""Each replica's gradients are clipped by its own norm."""

import pytest
import torch
from torch import Tensor, nn

from echo_exp.training import gradients

SHAPES: dict[str, tuple[int, ...]] = {
    "model.lstm.kernel": (3, 4),
    "model.lstm.bias": (1, 4),
    "model.dense.kernel": (4, 2),
}


def _parameters(scales: list[float]) -> dict[str, nn.Parameter]:
    """Parameters whose gradients differ in scale from replica to replica."""
    generator = torch.Generator().manual_seed(0)
    factor = torch.tensor(scales).view(-1, 1, 1)
    named = {name: nn.Parameter(torch.zeros(len(scales), *shape)) for name, shape in SHAPES.items()}
    for parameter in named.values():
        parameter.grad = factor * torch.randn(parameter.shape, generator=generator)
    return named


def _clipped(named: dict[str, nn.Parameter], most: float) -> list[Tensor]:
    """The gradients after clipping."""
    gradients.clip(named.values(), gradients.norms(named.items()).values(), most)
    return [parameter.grad for parameter in named.values() if parameter.grad is not None]


@pytest.mark.parametrize("most", [0.1, 1.0, 100.0])
def test_for_one_replica_the_norm_is_torchs(most: float) -> None:
    named, same = _parameters([1.0]), _parameters([1.0])
    norm = torch.nn.utils.clip_grad_norm_(same.values(), most)
    assert 1 < norm < 100
    torch.testing.assert_close(_clipped(named, most), [p.grad for p in same.values()])


def test_each_replica_has_its_own_norm() -> None:
    scales = [1e-3, 1.0, 1e3]
    before = [parameter.grad for parameter in _parameters(scales).values()]
    after = _clipped(_parameters(scales), 2.0)
    total = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in after]).norm(dim=0)
    torch.testing.assert_close(total[1:], torch.full((2,), 2.0))
    for one, other in zip(before, after, strict=True):
        assert one is not None
        assert torch.equal(one[0], other[0])  # below the norm: as it was
        cosine = nn.functional.cosine_similarity(one.flatten(1), other.flatten(1))
        torch.testing.assert_close(cosine, torch.ones(3))


def test_a_gradient_that_is_not_finite_affects_only_its_replica() -> None:
    first, second = (
        gradient.isfinite().flatten(1).all(1).tolist()
        for gradient in _clipped(_parameters([1.0, float("inf")]), 1.0)[:2]
    )
    assert first == second == [True, False]


def test_a_parameter_may_be_one_number_for_each_replica() -> None:
    number = nn.Parameter(torch.zeros(2))
    number.grad = torch.tensor([3.0, -4.0])
    assert gradients.norms([("model.scale", number)])["scale"].tolist() == [3, 4]
    gradients.clip([number], [torch.tensor([3.0, 4.0])], 1.0)
    torch.testing.assert_close(number.grad, torch.tensor([1.0, -1.0]))


def test_only_parts_that_have_a_gradient_have_a_norm() -> None:
    named = _parameters([1.0, 2.0])
    named["model.still.kernel"] = nn.Parameter(torch.zeros(2, 3))
    found = gradients.norms(named.items())
    assert list(found) == ["lstm", "dense"]
    both = [named[f"model.lstm.{name}"].grad for name in ("kernel", "bias")]
    whole = torch.cat([gradient.flatten(1) for gradient in both if gradient is not None], 1)
    torch.testing.assert_close(found["lstm"], whole.norm(dim=1))
