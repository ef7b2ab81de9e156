"""The live summary of a sweep counts what the jobs have left in their files."""

from pathlib import Path

import pytest

from echo_exp import watch
from echo_exp.job import JobResult, Status, _leave, file
from echo_exp.watch import Watch, _words


def _left(folder: Path, number: int, status: Status, message: str = "") -> None:
    _leave(JobResult(status, message), file(folder, number))


def test_it_tells_what_is_done_what_runs_and_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = Watch("sweep", tmp_path, 6)
    seen.follow((), 1)
    seen._began_with = 1
    seen._paths = {number: file(tmp_path, number) for number in range(1, 6)}
    _left(tmp_path, 1, Status.RUNNING)
    seen._look()
    assert seen._summary() == "1 of 6 done, 1 running"
    _left(tmp_path, 1, Status.FINISHED)
    _left(tmp_path, 2, Status.FAILED, "it broke\nhere")
    _left(tmp_path, 3, Status.RUNNING)
    _left(tmp_path, 4, Status.CLAIMED, "somebody else")
    seen._look()
    assert seen._summary().startswith("3 of 6 done, 1 running, 1 failed, ")
    assert seen._summary().endswith(" left")
    printed = capsys.readouterr().err
    assert "job 2: it broke\n" in printed
    assert "here" not in printed


def test_where_nothing_is_to_be_run_nothing_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with watch.watching("sweep", tmp_path, 1) as seen:
        seen.follow((), 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (5300, "88 min"), (9e3, "2 h")],
)
def test_a_time_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert _words(seconds) == words
