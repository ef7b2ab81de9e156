"""The rounds of a sweep: each job ends with a result, whatever its launcher does."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus

from echo_exp.settings import SettingError
from echo_exp.sweeps import failures, job, results, rounds
from echo_exp.sweeps.job import JobResult, Status, file, leave
from echo_exp.sweeps.plan import Job, Sweep, SweepSettings
from echo_exp.sweeps.rounds import Launch
from echo_exp.sweeps.table import columns, summary
from echo_exp.sweeps.watch import watching

Does = Callable[[int], JobResult | None]
"""What a job leaves, by its number; None leaves nothing."""


def _asked(folder: Path, count: int, attempts: int = 2) -> Sweep:
    jobs = [Job(n, [f"seed={n}"], f"fingerprint {n}") for n in range(count)]
    settings = SweepSettings("unfinished", attempts, fused=False, report=False, dry_run=False)
    return Sweep("a sweep", ["-m"], jobs, settings, folder)


def _launcher(folder: Path, does: Does, said: Exception | None = None) -> Launch:
    def launch(jobs: Sequence[Sequence[str]]) -> list[JobReturn]:
        returned = []
        for overrides in jobs:
            (number,) = (int(o.split("=")[1]) for o in overrides if o.startswith("+sweep.job="))
            left = does(number)
            if left is not None:
                leave(left, file(folder, number))
            status = JobStatus.COMPLETED if said is None else JobStatus.FAILED
            returned.append(JobReturn(status=status, _return_value=said))
        return returned

    return launch


def _run(asked: Sweep, launch: Launch) -> dict[int, JobResult]:
    with watching("sweep", "job", asked.folder, len(asked.jobs)) as watch:
        return rounds.run_jobs(asked, None, None, launch, watch)


def test_a_job_whose_process_is_lost_each_time_says_so(tmp_path: Path) -> None:
    asked = _asked(tmp_path, 2)
    does = {0: JobResult(Status.RUNNING), 1: JobResult(Status.FINISHED)}
    found = _run(asked, _launcher(tmp_path, lambda number: does[number]))
    assert found[0] == JobResult(Status.FAILED, "its process was lost 2 times")
    assert found[1].succeeded


def test_a_lost_job_fails_with_the_launchers_reason(tmp_path: Path) -> None:
    said = RuntimeError("the node is gone\nand more")
    asked = _asked(tmp_path, 1, attempts=1)
    for left in (None, JobResult(Status.RUNNING)):  # whether it began or not
        found = _run(asked, _launcher(tmp_path, lambda _, left=left: left, said))  # type: ignore[misc]
        reason = "its process was lost once (RuntimeError: the node is gone)"
        assert found == {0: JobResult(Status.FAILED, reason)}


def test_when_a_launcher_stops_the_reason_is_named_and_no_other_job_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first job takes its launcher down, so the second never begins."""
    launches: list[list[int]] = []

    def launch(jobs: Sequence[Sequence[str]]) -> list[JobReturn]:
        told = [o.split("=") for job in jobs for o in job]
        launches.append([int(value) for key, value in told if key == "+sweep.job"])
        if 0 not in launches[-1]:
            finishes = _launcher(tmp_path, lambda _: JobResult(Status.FINISHED))
            return [*finishes([*map(list, jobs)])]
        leave(JobResult(Status.RUNNING), file(tmp_path, 0))
        raise RuntimeError("a worker was killed")

    found = _run(_asked(tmp_path, 2), launch)
    assert found[0].line == "its process was lost 2 times (RuntimeError: a worker was killed)"
    assert found[1].succeeded
    assert launches == [[0, 1], [0, 1], [1]]
    assert "the launcher stopped: RuntimeError: a worker was killed" in capsys.readouterr().err


def test_a_launcher_that_cannot_begin_any_job_ends_the_sweep(tmp_path: Path) -> None:
    def launch(_: Sequence[Sequence[str]]) -> list[JobReturn]:
        raise RuntimeError("no partition of this name")

    with pytest.raises(RuntimeError, match="no partition"):
        _run(_asked(tmp_path, 2), launch)


def test_all_displays_agree_on_the_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = _asked(tmp_path, 5)
    wrong = [
        Job(5 + n, [f"batch_size={n}"], error=SettingError("batch_size", n, "it must be 7"))
        for n in (8, 9)
    ]
    asked = Sweep(**{**vars(asked), "jobs": [*asked.jobs, *wrong]})
    does = {
        0: JobResult(Status.FINISHED),
        1: JobResult(Status.FAILED, "DivergedError: the loss of epoch 3 is not finite"),
        2: JobResult(Status.RUNNING),  # its process is lost
        3: JobResult(Status.FAILED, "RuntimeError: table: refused by the store"),
        4: JobResult(Status.FAILED, "DivergedError: the loss of epoch 9 is not finite"),
    }
    found = _run(asked, _launcher(tmp_path, lambda number: does[number]))
    shown = capsys.readouterr().err
    results.tell(asked, found, None, None, None)
    printed = capsys.readouterr().out
    reasons = failures.lines(job.reasons(found), "job")
    rows = [(j, found[j.number]) for j in asked.jobs]
    told = columns(rows)
    described = asked.note((), summary(rows), reasons)

    assert len(found) == len(asked.jobs) == 7
    assert shown.splitlines()[-1] == "sweep: 7 of 7 done, 0 running, 6 failed"
    assert "1 of 7 jobs succeeded, 6 failed\n" in printed
    assert "1 of 7 jobs succeeded, 6 failed." in described
    assert told["result"].count("failed") == 6
    assert sum(bool(error) for error in told["error"]) == 6
    assert reasons == [
        "jobs 1 and 4 (2 jobs): DivergedError: the loss of epoch 3 or 9 is not finite",
        "jobs 13 and 14 (2 jobs): batch_size=8 or 9 is not allowed: it must be 7",
        "job 2: its process was lost 2 times",
        "job 3: RuntimeError: table: refused by the store",
    ]
    for line in reasons:
        assert printed.count(line) == described.count(line) == 1
    assert json.dumps(told)  # as it is stored


def test_failures_known_beforehand_are_in_the_description_from_the_start(tmp_path: Path) -> None:
    asked = _asked(tmp_path, 1)
    assert "batch_size" not in asked.note()
    error = SettingError("batch_size", 8, "it must be 7")
    asked = Sweep(**{**vars(asked), "jobs": [*asked.jobs, Job(1, ["batch_size=8"], error=error)]})
    assert "- job 1: batch_size=8 is not allowed: it must be 7" in asked.note()
