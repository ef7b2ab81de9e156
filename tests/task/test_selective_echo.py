"""The selective echo: the answers are the integers among the noise, in their order."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from echo_exp import SelectiveEcho
from echo_exp.settings import SettingError
from echo_exp.task.problem import NOISE, Stream, pairs, random_stream


def test_the_integers_among_the_noise_are_repeated_in_their_order() -> None:
    problem = SelectiveEcho(n_items=3, n_noise=2)
    text = pairs(problem, problem.sequence([3, NOISE, 1, NOISE, 4]), rows=1)
    assert text == "[3, ~, 1, ~, 4, >, _, _, _] -> [3, 1, 4]"
    assert problem.due == [6, 7, 8]


@given(st.integers(2, 9), st.integers(1, 6), st.integers(0, 6), st.integers(1, 5))
def test_in_every_window_the_answers_are_its_integers(
    n_values: int, n_items: int, n_noise: int, n_windows: int
) -> None:
    problem = SelectiveEcho(n_values, n_windows, n_items, n_noise)
    windows = problem.windows(problem.generate(random_stream(1, Stream.TEST), 2))
    assert windows.shape == (2, n_windows, 2 * n_items + n_noise + 1)
    targets = problem.targets(windows)
    assert targets.shape == (2, n_windows, n_items)
    rows = windows.reshape(-1, problem.n_in), targets.reshape(-1, n_items)
    for window, answers in zip(*rows, strict=True):
        assert [each for each in window if each < n_values] == answers.tolist()
        assert problem.wrong(window[: problem.n_body]) is None
    np.testing.assert_array_equal(problem.targets(torch.tensor(windows)), targets)


def test_integers_and_their_positions_are_uniform() -> None:
    problem = SelectiveEcho(n_values=5, n_items=2, n_noise=4, n_windows=5000)
    bodies = problem.generate(random_stream(0, Stream.TRAINING), 1).reshape(-1, 6)
    kept = bodies < 5
    assert chisquare(kept.sum(0)).pvalue > 0.001
    assert chisquare(np.bincount(bodies[kept])).pvalue > 0.001


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_noise": -1}, "problem.n_noise=-1 .* from 0"),
        ({"n_items": 0}, "problem.n_items=0 .* from 1"),
        ({"n_items": 1001}, "problem.n_items=1001 .* to 1,000"),
        ({"n_values": 1}, "problem.n_values=1 .* from 2"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SelectiveEcho(**sizes)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ([3, "~"], "reads 3 at a time, or whole windows of 6, but there are 2"),
        ([3, 1, 4], "2 integers below 8 and 1 times ~"),
        ([3, "~", "~"], "2 integers below 8 and 1 times ~"),
        ([3, "_", 4], "2 integers below 8 and 1 times ~"),
        ([3, "~", 11], "it contains 11"),
    ],
)
def test_an_invalid_sequence_is_refused(told: list[Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"sequence=.*{message}"):
        SelectiveEcho(n_items=2, n_noise=1).sequence(told)
