"""The linear recurrence: loop and parallel rounds follow its equation and its derivative."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from echo_exp.models.scan import Run, differentiable, loop, rounds, scan

WAYS = pytest.mark.parametrize("run", [loop, rounds])
SHAPES = st.tuples(*(st.integers(1, most) for most in (2, 2, 9, 3)))


def drawn(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Returns the share that a recurrence keeps and its new input, [R, B, T, U] each."""
    random = torch.Generator().manual_seed(seed)
    kept, new = torch.randn(2, *shape, generator=random, dtype=torch.float64).unbind()
    return kept, new


@WAYS
@given(shape=SHAPES, seed=st.integers(0, 99))
def test_each_timestep_keeps_a_share_of_the_one_before(
    run: Run, shape: tuple[int, ...], seed: int
) -> None:
    kept, new = drawn(shape, seed)
    hidden, expected = torch.zeros_like(new[:, :, 0]), []
    for timestep in range(shape[2]):
        hidden = kept[:, :, timestep] * hidden + new[:, :, timestep]
        expected.append(hidden)
    torch.testing.assert_close(run(kept, new, False), torch.stack(expected, 2))


@WAYS
@given(shape=SHAPES, seed=st.integers(0, 99))
def test_in_reverse_each_timestep_keeps_a_share_of_the_one_after(
    run: Run, shape: tuple[int, ...], seed: int
) -> None:
    kept, new = drawn(shape, seed)
    found = run(kept, new, True)
    torch.testing.assert_close(found[:, :, -1], new[:, :, -1])
    after = kept[:, :, 1:] * found[:, :, 1:] + new[:, :, :-1]
    torch.testing.assert_close(found[:, :, :-1], after)


@WAYS
@pytest.mark.parametrize("timesteps", [1, 2, 5, 8])
def test_the_derivative_is_that_of_the_equation(run: Run, timesteps: int) -> None:
    kept, new = (part.requires_grad_() for part in drawn((2, 2, timesteps, 3), 1))
    state = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k, n: differentiable(k, n, None, run), (kept, new))
    assert torch.autograd.gradcheck(
        lambda k, n, s: differentiable(k, n, s, run), (kept, new, state)
    )


def test_an_initial_state_acts_like_a_timestep_before_the_first() -> None:
    kept, new = drawn((2, 3, 6, 4), 1)
    whole = scan(kept, new)
    rest = scan(kept[:, :, 2:], new[:, :, 2:], whole[:, :, 1])
    torch.testing.assert_close(rest, whole[:, :, 2:])


def test_the_inputs_are_not_changed() -> None:
    kept, new = drawn((1, 2, 5, 3), 1)
    before = kept.clone(), new.clone()
    loop(kept, new)
    loop(kept, new, reverse=True)
    assert torch.equal(kept, before[0])
    assert torch.equal(new, before[1])


def test_the_rounds_grow_with_the_logarithm_of_the_timesteps() -> None:
    def count(timesteps: int) -> int:
        kept = torch.rand(1, 1, timesteps, 1, requires_grad=True)
        node, found = rounds(kept, kept).grad_fn, 0
        while node is not None and node.next_functions:
            found += "Cat" in node.name()
            node = node.next_functions[-1][0]
        return found

    assert [count(timesteps) for timesteps in (1, 2, 5, 64, 1000)] == [0, 1, 3, 6, 10]
