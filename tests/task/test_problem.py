"""The echo problem is that of the tutorial."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from echo_exp.settings import SettingError
from echo_exp.task.echo import EchoProblem
from echo_exp.task.problem import Integers, Stream, check_batch_size, pairs, random_stream


def _shifted(sequence: Integers, n_in: int) -> np.ndarray[Any, Any]:
    """The tutorial's framing: shifted columns of a data frame, incomplete rows dropped."""
    frame = pd.DataFrame(sequence)
    columns = [frame.shift(n_in - 1 - step) for step in range(n_in)]
    return pd.concat(columns, axis=1).dropna().to_numpy()


@given(st.lists(st.integers(0, 99), min_size=1, max_size=60), st.data())
def test_framing_equals_shifting_with_pandas(integers: list[int], data: st.DataObject) -> None:
    n_in = data.draw(st.integers(1, len(integers)))
    n_out = data.draw(st.integers(1, n_in))
    problem = EchoProblem(length=len(integers), n_in=n_in, n_out=n_out)
    windows = problem.windows(np.array(integers))
    shifted = _shifted(np.array(integers), n_in)
    np.testing.assert_array_equal(windows, shifted)
    np.testing.assert_array_equal(problem.targets(windows), shifted[:, :n_out])


def test_the_target_is_the_oldest_part_of_the_window() -> None:
    problem = EchoProblem(length=5, n_in=5, n_out=1)
    windows = problem.windows(np.array([1, 2, 3, 4, 5]))
    assert windows.tolist() == [[1, 2, 3, 4, 5]]
    assert problem.targets(windows).tolist() == [[1]]


@given(st.integers(1, 12), st.data())
def test_any_block_of_the_window_can_be_echoed_in_either_order(
    n_in: int, data: st.DataObject
) -> None:
    n_out = data.draw(st.integers(1, n_in))
    offset = data.draw(st.integers(0, n_in - n_out))
    sizes: dict[str, Any] = {"length": n_in + 3, "n_in": n_in, "n_out": n_out, "offset": offset}
    windows = EchoProblem(**sizes).windows(np.arange(n_in + 3))
    block = windows[:, offset : offset + n_out]
    for order, expected in (("forward", block), ("reversed", block[:, ::-1])):
        problem = EchoProblem(**sizes, order=order)
        np.testing.assert_array_equal(problem.targets(windows), expected)
        np.testing.assert_array_equal(problem.targets(torch.tensor(windows)), expected)
        assert [windows[0, place] for place in problem.due] == expected[0].tolist()


def test_one_integer_at_an_offset_is_an_echo_with_a_lag() -> None:
    problem = EchoProblem(length=6, n_in=4, n_out=1, offset=1, incomplete=True)
    windows = problem.windows(np.array([1, 2, 3, 4, 5, 6]))
    assert problem.targets(windows)[:, 0].tolist() == [-1, -1, 1, 2, 3, 4]  # two timesteps later
    assert problem.present_targets()[:, 0].tolist() == [False, False, True, True, True, True]


def test_name_and_goal_mention_what_differs_from_the_tutorial() -> None:
    assert EchoProblem(n_out=2).name == "5→2"
    assert EchoProblem(n_out=2).goal == "echo 2 of 5 integers below 100"
    other = EchoProblem(n_out=2, offset=1, order="reversed")
    assert other.name == "5→2 from 1 reversed"
    assert "behind the 1 oldest in reversed order" in other.goal


def test_the_default_is_the_tutorials_first_problem() -> None:
    assert EchoProblem() == EchoProblem(length=25, n_values=100, n_in=5, n_out=5, incomplete=False)


def test_twenty_five_integers_give_twenty_one_windows() -> None:
    assert EchoProblem().n_windows == 21
    assert EchoProblem().windows(np.arange(25)).shape == (21, 5)


def test_framing_copies_nothing() -> None:
    sequences = np.zeros((3, 25), dtype=np.int64)
    windows = EchoProblem().windows(sequences)
    assert windows.shape == (3, 21, 5)
    assert np.shares_memory(windows, sequences)
    assert np.shares_memory(EchoProblem().targets(windows), sequences)


def test_integers_are_uniform_over_the_values() -> None:
    problem = EchoProblem(n_values=10)
    drawn = problem.generate(random_stream(0, Stream.TRAINING), 4000)
    assert drawn.shape == (4000, 25)
    counts = np.bincount(drawn.ravel(), minlength=10)
    assert len(counts) == 10
    assert chisquare(counts).pvalue > 0.001


@given(st.integers(0, 2**63 - 1), st.integers(0, 9), st.integers(0, 9))
def test_each_draw_continues_where_the_last_ended(seed: int, first: int, second: int) -> None:
    problem = EchoProblem(n_values=7, length=6)
    parts = random_stream(seed, Stream.TRAINING)
    whole = random_stream(seed, Stream.TRAINING)
    drawn = np.concatenate([problem.generate(parts, first), problem.generate(parts, second)])
    np.testing.assert_array_equal(drawn, problem.generate(whole, first + second))


def test_the_streams_of_consecutive_seeds_share_no_sequence() -> None:
    problem = EchoProblem()
    drawn = [
        tuple(sequence)
        for seed in (0, 1, 2, 100)
        for stream in Stream.__members__.values()
        for sequence in problem.generate(random_stream(seed, stream), 500).tolist()
    ]
    assert len(set(drawn)) == len(drawn)


def test_a_stream_is_reproducible() -> None:
    first, second = (EchoProblem().generate(random_stream(0, Stream.TEST), 2) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_example_prints_pairs() -> None:
    text = pairs(EchoProblem(length=6, n_in=3, n_out=2), np.arange(6), rows=2)
    assert text == "[0, 1, 2] -> [0, 1]\n[1, 2, 3] -> [1, 2]"


@given(st.integers(1, 40), st.integers(1, 12))
def test_the_batch_sizes_are_the_divisors_of_the_windows(windows: int, n_in: int) -> None:
    problem = EchoProblem(length=windows + n_in - 1, n_in=n_in, n_out=1)
    for size in range(-1, windows + 2):
        if size > 0 and windows % size == 0:
            assert check_batch_size(problem, size) == size
        else:
            with pytest.raises(SettingError, match=f"batch_size={size}"):
                check_batch_size(problem, size)


def test_a_wrong_batch_size_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(SettingError, match="batches of 1, 3, 7 or 21"):
        check_batch_size(EchoProblem(), 5)
    with pytest.raises(SettingError, match=r"1, 2, 3, 4, 5, 6, \.\.\. or 720"):
        check_batch_size(EchoProblem(length=724), 7)
    with pytest.raises(SettingError, match=r"batches of 1$"):
        check_batch_size(EchoProblem(length=5), 2)
    with pytest.raises(SettingError, match="batches of 1 or 2"):
        check_batch_size(EchoProblem(length=6), 3)


@pytest.mark.parametrize("value", [3.0, True, "3", None, [3]])
def test_a_batch_size_must_be_an_integer(value: Any) -> None:
    with pytest.raises(SettingError, match="batch_size="):
        check_batch_size(EchoProblem(), value)


@pytest.mark.parametrize("value", [0, -1, 2.5, "5", None, True, [5]])
@pytest.mark.parametrize("key", ["length", "n_values", "n_in", "n_out"])
def test_a_size_must_be_a_positive_integer(key: str, value: Any) -> None:
    with pytest.raises(SettingError, match=f"problem.{key}="):
        EchoProblem(**{key: value})


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_values": 1}, "problem.n_values=1 "),
        ({"length": 4}, "problem.length=4 .* problem.n_in=5"),
        ({"n_out": 6}, "problem.n_out=6 .* problem.n_in=5"),
        ({"offset": 1}, "problem.offset=1 .* problem.n_in=5 .* at most 0"),
        ({"offset": -1, "n_out": 2}, "problem.offset=-1 .* at least 0"),
        ({"offset": 4, "n_out": 2}, "problem.offset=4 .* at most 3"),
        ({"offset": 1.0, "n_out": 2}, "problem.offset=1.0 .* integer"),
        ({"order": "backwards"}, "problem.order=backwards .* forward or reversed"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        EchoProblem(**sizes)


class _FewerWindows(EchoProblem):
    """A problem whose sequences have other numbers of windows at other lengths."""

    def of_length(self, length: int) -> EchoProblem:
        return EchoProblem(length=self.length, n_in=length, n_out=1)


class _SameWindows(EchoProblem):
    """A problem whose windows are equally long at every length."""

    def of_length(self, length: int) -> EchoProblem:
        return EchoProblem(offset=length, n_out=1)


@pytest.mark.parametrize(
    ("problem", "reason"), [(_FewerWindows, "equally many windows"), (_SameWindows, "timesteps")]
)
def test_lengths_that_cannot_take_turns_are_refused(
    problem: type[EchoProblem], reason: str
) -> None:
    with pytest.raises(SettingError, match=rf"problem.train_lengths=.*{reason}"):
        problem(n_out=1, train_lengths=[2, 3])
