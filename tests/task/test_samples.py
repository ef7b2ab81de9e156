"""What all problems of independent windows have in common."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from echo_exp import (
    AssociativeRecall,
    DelayedEcho,
    EchoModule,
    ManyToOne,
    OneHot,
    SelectiveEcho,
)
from echo_exp.settings import SettingError
from echo_exp.task.problem import Stream, random_stream
from echo_exp.task.samples import Samples, distinct

PROBLEMS: list[Samples] = [
    DelayedEcho(n_windows=3),
    SelectiveEcho(n_windows=3),
    AssociativeRecall(n_windows=3),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_each_draw_continues_where_the_last_ended(problem: Samples) -> None:
    parts, whole = random_stream(1, Stream.TRAINING), random_stream(1, Stream.TRAINING)
    drawn = np.concatenate([problem.generate(parts, count) for count in (2, 0, 3)])
    np.testing.assert_array_equal(drawn, problem.generate(whole, 5))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_sequences_can_be_given_by_their_drawn_integers_or_as_whole_windows(
    problem: Samples,
) -> None:
    (sequence,) = problem.generate(random_stream(1, Stream.TEST), 1)
    np.testing.assert_array_equal(problem.sequence(sequence), sequence)
    np.testing.assert_array_equal(problem.sequence(problem.windows(sequence).flatten()), sequence)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_a_network_that_carries_its_state_is_refused(problem: Samples) -> None:
    representation = OneHot(problem.n_values, n_marks=len(problem.marks))
    model = ManyToOne(
        n_features=representation.n_features,
        n_outputs=representation.n_outputs,
        n_in=problem.n_in,
        n_out=problem.n_out,
        units=2,
        seeds=[1],
    )
    with pytest.raises(SettingError, match=r"model\.stateful=true .* must be false"):
        EchoModule(model, problem, representation, 3)


@given(st.integers(1, 8), st.data())
def test_distinct_integers_are_distinct_and_below_their_bound(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    drawn = distinct(random_stream(n, Stream.TEST).random((5, k)), n)
    assert all(len(set(row)) == k for row in drawn.tolist())
    assert ((drawn >= 0) & (drawn < n)).all()


def test_all_arrangements_of_distinct_integers_are_equally_probable() -> None:
    drawn = distinct(random_stream(0, Stream.TEST).random((24_000, 3)), 4)
    counts = Counter(map(tuple, drawn.tolist()))
    assert len(counts) == 24
    assert chisquare(list(counts.values())).pvalue > 0.001
