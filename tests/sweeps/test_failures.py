"""Failures are grouped by their reasons, and each failed job is counted once."""

import re

from hypothesis import given
from hypothesis import strategies as st

from echo_exp.sweeps import failures

NOT_ALLOWED = "batch_size=8 is not allowed: batches of 1, 3, 7 or 21"


def _diverged(epoch: int) -> str:
    return f"DivergedError: the loss of epoch {epoch:,} is not finite"


def test_jobs_that_failed_for_the_same_reason_share_a_line() -> None:
    found = {3: NOT_ALLOWED, 4: _diverged(1), 5: NOT_ALLOWED, 9: NOT_ALLOWED}
    assert failures.lines(found, "job") == [
        f"jobs 3, 5 and 9 (3 jobs): {NOT_ALLOWED}",
        f"job 4: {_diverged(1)}",
    ]


def test_the_most_frequent_reason_comes_first_then_the_earliest() -> None:
    found = {2: "b", 1: "a", 3: "c", 4: "c"}
    assert [line[-1] for line in failures.lines(found, "job")] == ["c", "a", "b"]


def test_consecutive_jobs_are_written_as_a_range() -> None:
    found = dict.fromkeys([0, 1, 3, 4, 5, 6, 8], "lost")
    assert failures.lines(found, "trial") == ["trials 0, 1, 3 to 6 and 8 (7 trials): lost"]
    assert failures.lines(dict.fromkeys(range(500), "lost"), "job") == [
        "jobs 0 to 499 (500 jobs): lost"
    ]


def test_a_line_stays_readable_however_many_failed() -> None:
    (line,) = failures.lines(dict.fromkeys(range(0, 1000, 2), "lost"), "job")
    assert line.endswith("38 and 480 more (500 jobs): lost")
    assert len(line) < 150


def test_reasons_that_differ_in_one_number_are_grouped_with_its_values() -> None:
    def told(*epochs: int) -> str:
        ((reason, who),) = failures.grouped((n, _diverged(e)) for n, e in enumerate(epochs))
        assert who == list(range(len(epochs)))
        return reason

    assert told(7, 7) == _diverged(7)
    assert told(7, 1200, 7) == "DivergedError: the loss of epoch 7 or 1,200 is not finite"
    assert "epoch 7, 8, 9, … is" in told(7, 8, 9, 10, 11)


def test_for_reasons_that_differ_in_several_numbers_the_first_is_given_as_an_example() -> None:
    waiting = "{} measurements of run {} wait: the store cannot be reached"
    found = {0: waiting.format("1,200", "a1f"), 1: waiting.format(30, "b2")}
    (line,) = failures.lines(found, "job")
    assert line.endswith(f"{found[0]} (the numbers differ in the others)")


def test_reasons_with_other_words_or_more_numbers_are_not_grouped() -> None:
    reasons = ["model=foo is wrong", "model=bar is wrong", "batches of 1 or 3", "batches of 1, 3"]
    assert len(failures.grouped(enumerate(reasons))) == 4


REASONS = st.one_of(
    st.sampled_from(
        ["", "lost", "epoch 1", "epoch 2.5", "run a1 at 3", "run b2 at 4", NOT_ALLOWED]
    ),
    st.text(st.sampled_from("a1.,+-= #"), max_size=12),
)


@given(st.dictionaries(st.integers(0, 300), REASONS, max_size=40))
def test_every_failed_job_is_in_exactly_one_group_of_reasons_that_differ_only_in_numbers(
    found: dict[int, str],
) -> None:
    groups = failures.grouped(sorted(found.items()))
    assert sorted(who for _, group in groups for who in group) == sorted(found)
    for _, group in groups:
        assert len({failures.NUMBER.sub("#", found[who]) for who in group}) == 1
    counts = [
        int(counted.group(1)) if counted else 1
        for counted in (re.search(r"\((\d+) jobs\)", line) for line in failures.lines(found, "job"))
    ]
    assert counts == [len(group) for _, group in groups]
