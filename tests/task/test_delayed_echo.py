"""The delayed echo: the answers are the integers read, after the given delay."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echo_exp import DelayedEcho
from echo_exp.settings import SettingError
from echo_exp.task.problem import Stream, pairs, random_stream


def test_a_window_has_integers_then_blanks_then_a_timestep_for_each_answer() -> None:
    problem = DelayedEcho(n_items=3, delay=2)
    text = pairs(problem, problem.sequence([3, 1, 4]), rows=1)
    assert text == "[3, 1, 4, _, _, >, _, _, _] -> [3, 1, 4]"
    assert problem.due == [6, 7, 8]


@given(st.integers(2, 9), st.integers(1, 6), st.integers(0, 6), st.integers(1, 5))
def test_in_every_window_the_answers_are_its_integers(
    n_values: int, n_items: int, delay: int, n_windows: int
) -> None:
    problem = DelayedEcho(n_values, n_windows, n_items, delay)
    sequences = problem.generate(random_stream(1, Stream.TEST), 2)
    windows = problem.windows(sequences)
    assert windows.shape == (2, n_windows, 2 * n_items + delay + 1)
    assert (windows[..., n_items:] >= n_values).all()
    targets = problem.targets(windows)
    np.testing.assert_array_equal(targets.reshape(2, -1), sequences)
    np.testing.assert_array_equal(problem.targets(torch.tensor(windows)), targets)
    assert problem.present_targets().shape == targets.shape[1:]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"delay": -1}, "problem.delay=-1 .* from 0"),
        ({"delay": 2.5}, "problem.delay=2.5 .* integer"),
        ({"n_items": 0}, "problem.n_items=0 .* from 1"),
        ({"n_values": 1}, "problem.n_values=1 .* from 2"),
        ({"n_windows": 0}, "problem.n_windows=0 .* from 1"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        DelayedEcho(**sizes)


def test_a_user_may_give_only_the_integers_or_whole_windows() -> None:
    problem = DelayedEcho(n_items=2, delay=1)
    whole: list[list[int | str]] = [[3, 1, "_", ">", "_", "_"], [4, 1, "_", ">", "_", "_"]]
    assert problem.sequence([3, 1]).tolist() == [3, 1]
    assert problem.sequence([3, 1, 4, 1]).tolist() == [3, 1, 4, 1]
    assert problem.sequence(whole[0] + whole[1]).tolist() == [3, 1, 4, 1]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ([3], "reads 2 at a time, or whole windows of 6, but there are 1"),
        ([], "there are 0"),
        ([3, 8], "2 integers below 8"),
        ([3, "_"], "2 integers below 8"),
        ([3, "~"], "it contains ~; the network knows only the integers from 0 to 7 and _ and >"),
        ([3, 10], "it contains 10"),
        ([3, 1.5], "it contains 1.5"),
    ],
)
def test_an_invalid_sequence_is_refused(told: list[Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"sequence=.*{message}"):
        DelayedEcho(n_items=2, delay=1).sequence(told)
