"""Associative recall: the answer is the value that followed the key."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from echo_exp import AssociativeRecall
from echo_exp.settings import SettingError
from echo_exp.task.problem import Stream, pairs, random_stream


def test_keys_are_answered_with_their_values() -> None:
    problem = AssociativeRecall(n_pairs=3, n_queries=2)
    text = pairs(problem, problem.sequence([3, 1, 4, 1, 5, 9, 5, 3]), rows=1)
    assert text == "[3, 1, 4, 1, 5, 9, 5, 3] -> [9, 1]"
    assert problem.due == [6, 7]  # where they are asked for


@given(st.integers(2, 9), st.integers(1, 5), st.data())
def test_in_every_window_the_answers_are_the_values_of_the_queries(
    n_values: int, n_windows: int, data: st.DataObject
) -> None:
    n_pairs = data.draw(st.integers(1, n_values))
    n_queries = data.draw(st.integers(1, n_pairs))
    problem = AssociativeRecall(n_values, n_windows, n_pairs, n_queries)
    windows = problem.windows(problem.generate(random_stream(1, Stream.TEST), 2))
    assert windows.shape == (2, n_windows, 2 * n_pairs + n_queries)
    assert windows.max() < n_values
    targets = problem.targets(windows)
    rows = windows.reshape(-1, problem.n_in), targets.reshape(-1, n_queries)
    for window, answers in zip(*rows, strict=True):
        told, queries = window[: 2 * n_pairs].tolist(), window[2 * n_pairs :].tolist()
        known = dict(zip(told[::2], told[1::2], strict=True))
        assert len(known) == n_pairs  # no key stands twice
        assert len(set(queries)) == n_queries
        assert [known[query] for query in queries] == answers.tolist()
    np.testing.assert_array_equal(problem.targets(torch.tensor(windows)), targets)


def test_keys_values_and_queries_are_uniform() -> None:
    problem = AssociativeRecall(n_values=5, n_pairs=3, n_queries=1, n_windows=5000)
    bodies = problem.generate(random_stream(0, Stream.TRAINING), 1).reshape(-1, 7)
    for place in (0, 4, 1, 5):
        assert chisquare(np.bincount(bodies[:, place])).pvalue > 0.001
    asked = (bodies[:, :6:2] == bodies[:, 6:]).sum(0)
    assert chisquare(asked).pvalue > 0.001


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_pairs": 17}, "problem.n_pairs=17 .* problem.n_values=16 integers"),
        ({"n_pairs": 0}, "problem.n_pairs=0 .* from 1"),
        ({"n_queries": 5}, "problem.n_queries=5 .* problem.n_pairs=4 .* at most once"),
        ({"n_queries": 0}, "problem.n_queries=0 .* at least 1"),
        ({"n_values": 1}, "problem.n_values=1 .* from 2"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        AssociativeRecall(**sizes)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ([3, 1, 4, 1, 4], "reads 6 at a time, but there are 5"),
        ([3, 1, 3, 2, 3, 4], "every other of the first 4 is a key, and one occurs twice"),
        ([3, 1, 4, 2, 3, 5], r"the last 2 must be different keys out of \[3, 4\]"),
        ([3, 1, 4, 2, 3, 3], "must be different keys"),
        ([3, 1, 4, 16, 3, 4], "it contains 16"),
    ],
)
def test_an_invalid_sequence_is_refused(told: list[Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"sequence=.*{message}"):
        AssociativeRecall(n_pairs=2, n_queries=2).sequence(told)
