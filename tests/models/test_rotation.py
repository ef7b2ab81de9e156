"""A rotation is a product with complex numbers of modulus 1."""

import torch
from torch import Tensor

from echo_exp.models.rotation import Rotation


def _complex(x: Tensor) -> Tensor:
    return torch.complex(*x.chunk(2, -1))


def test_a_rotation_multiplies_complex_numbers_with_complex_numbers_of_modulus_1() -> None:
    x, angles = torch.randn(2, 3, 5, 8).double(), torch.randn(2, 1, 5, 4).double()
    rotation = Rotation(angles)
    turn = torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(_complex(rotation(x)), _complex(x) * turn)
    torch.testing.assert_close(_complex(rotation.back(x)), _complex(x) / turn)


def test_a_rotation_has_the_right_gradients() -> None:
    x = torch.randn(2, 5, 6, dtype=torch.double, requires_grad=True)
    angles = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, a: Rotation(a)(x), (x, angles))
    assert torch.autograd.gradcheck(lambda x, a: Rotation(a).back(x), (x, angles))
