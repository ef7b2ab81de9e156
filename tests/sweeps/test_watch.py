"""The live display of a sweep counts finished, running and failed jobs."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from echo_exp.sweeps import watch
from echo_exp.sweeps.job import JobResult, Status, file, leave
from echo_exp.sweeps.watch import Watch

LOST = JobResult(Status.FAILED, "its process was lost 3 times")


def _left(folder: Path, number: int, status: Status, message: str = "") -> None:
    leave(JobResult(status, message), file(folder, number))


def _seen(folder: Path, numbers: range) -> Watch:
    """A live display that updates on demand."""
    seen = Watch("sweep", "job", folder, 6)
    seen._paths = {number: file(folder, number) for number in numbers}
    return seen


def test_the_display_counts_finished_running_and_failed_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = _seen(tmp_path, range(1, 6))
    seen._results = {0: JobResult(Status.EARLIER)}
    seen._began_with = 1
    _left(tmp_path, 1, Status.RUNNING)
    seen._look()
    assert seen._counted() == "1 of 6 done, 1 running"
    assert seen._left() == []
    _left(tmp_path, 1, Status.FINISHED)
    _left(tmp_path, 2, Status.FAILED, "it broke\nhere")
    _left(tmp_path, 3, Status.RUNNING)
    _left(tmp_path, 4, Status.CLAIMED, "somebody else")
    seen._look()
    assert seen._counted().startswith("3 of 6 done, 1 running, 1 failed, ")
    assert seen._counted().endswith(" left")
    printed = capsys.readouterr().err
    assert "job 2: it broke\n" in printed
    assert "here" not in printed


def test_a_stopped_job_is_not_done(tmp_path: Path) -> None:
    seen = _seen(tmp_path, range(2))
    _left(tmp_path, 0, Status.FINISHED)
    _left(tmp_path, 1, Status.STOPPED)
    seen._look()
    assert seen._counted().startswith("1 of 6 done, 0 running, 1 stopped")


def test_the_progress_of_running_jobs_counts(tmp_path: Path) -> None:
    seen = _seen(tmp_path, range(6))
    for number in range(4):
        leave(JobResult(Status.RUNNING, share=0.5), file(tmp_path, number))
    seen._look()
    assert seen._counted().startswith("0 of 6 done, 4 running (50 %), ")
    assert seen._done == 2
    assert seen._left()[0].endswith(" left")


def test_a_new_reason_is_shown_and_a_known_one_only_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = _seen(tmp_path, range(6))
    for number in (0, 1, 2):
        _left(tmp_path, number, Status.FAILED, f"the loss of epoch {number} is not finite")
    seen._look()
    _left(tmp_path, 3, Status.FAILED, "the loss of epoch 40 is not finite")
    _left(tmp_path, 4, Status.FAILED, "no room")
    seen._look()
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if not line.startswith("sweep: ")] == [
        "jobs 0 to 2 (3 jobs): the loss of epoch 0, 1 or 2 is not finite",
        "job 4: no room",
    ]
    assert seen._counted().startswith("5 of 6 done, 0 running, 5 failed")


def test_jobs_that_failed_before_their_start_count_and_are_listed_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {n: JobResult(Status.FAILED, "batch_size=8 is not allowed") for n in (0, 1)}
    with watch.watching("search", "trial", tmp_path, 4) as seen:
        seen.follow((), wrong)
        assert capsys.readouterr().err == ""  # nothing has begun
        seen.follow([2, 3], wrong)
        _left(tmp_path, 2, Status.FINISHED)
        _left(tmp_path, 3, Status.RUNNING)  # the last that is heard of it
        seen.follow((), {**wrong, 2: JobResult(Status.FINISHED), 3: LOST})
    lines = capsys.readouterr().err.splitlines()
    assert "trials 0 and 1 (2 trials): batch_size=8 is not allowed" in lines
    assert f"trial 3: {LOST.message}" in lines
    assert lines[-1] == "search: 4 of 4 done, 0 running, 3 failed"


def test_the_last_line_is_right_even_if_only_the_kind_of_an_end_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with watch.watching("search", "trial", tmp_path, 1) as seen:
        seen.follow([0], {})
        seen.follow((), {0: JobResult(Status.FINISHED)})
        seen.follow((), {0: JobResult(Status.FAILED, "it has no finite val/loss")})
    assert capsys.readouterr().err.splitlines() == [
        "search: 1 of 1 done, 0 running",
        "trial 0: it has no finite val/loss",
        "search: 1 of 1 done, 0 running, 1 failed",
    ]


def test_with_nothing_to_run_nothing_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with watch.watching("sweep", "job", tmp_path, 1) as seen:
        seen.follow((), {0: LOST})
    assert capsys.readouterr().err == ""


def test_the_display_shows_the_best_so_far(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = {1: "model.units=10", 2: "model.units=20"}
    with watch.watching("sweep", "job", tmp_path, 2, lambda results: best[len(results)]) as seen:
        seen.follow([0, 1], {})
        _left(tmp_path, 0, Status.FINISHED)
        seen._look()
        _left(tmp_path, 1, Status.FINISHED)
    assert capsys.readouterr().err.splitlines() == [
        "sweep: 1 of 2 done, 0 running, 0 s left; best so far: model.units=10",
        "sweep: 2 of 2 done, 0 running; best so far: model.units=20",
    ]


def test_a_terminal_shows_the_running_stacks(tmp_path: Path) -> None:
    seen = _seen(tmp_path, range(6))
    seen._best = lambda results: f"the best of {len(results)}"
    seen.launched([[0, 1, 2], [3], [4, 5]])
    _left(tmp_path, 0, Status.FINISHED)
    for number in (1, 2):
        leave(JobResult(Status.RUNNING, share=0.25), file(tmp_path, number))
    seen._look()
    drawn = Console(width=100, file=io.StringIO(), force_terminal=True, no_color=True)
    drawn.print(seen._drawn())
    all_of_it, stack, best = re.sub(r"\x1b\[[\d;]*m", "", drawn.file.getvalue()).splitlines()  # type: ignore[attr-defined]
    assert re.match(r"sweep +━+.* 1 of 6 done, 2 running \(25 %\), ", all_of_it)
    assert re.match(r"  jobs 0 to 2 \(3 jobs\) ━+.* 50 % *$", stack)
    assert best.strip() == "best so far: the best of 1"
