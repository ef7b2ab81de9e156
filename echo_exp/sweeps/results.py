"""Reports the results of a sweep: on the screen, and in its parent run."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from echo_exp import configuration, running, terminal
from echo_exp.settings import program, redacted
from echo_exp.sweeps import failures, job
from echo_exp.sweeps.job import JobResult
from echo_exp.sweeps.plan import FAILED_TAG, Sweep
from echo_exp.sweeps.ranking import Ranked, answer
from echo_exp.sweeps.table import (
    MOST_JOBS,
    Row,
    columns,
    jobs,
    pooled,
    ranked,
    ranked_jobs,
    ranking,
    summary,
)
from echo_exp.tracking import Run, Store, TrackingError
from echo_exp.tracking.ui.view import NOTE_TAG
from echo_exp.training.interrupts import Interrupted

DESCRIBED = 5
"""The number of best settings listed in the description of a sweep's parent run."""
REPORT = "echo_exp.reports.sweep_page:made_by_writer"
"""The function that makes the report, in the writer process, which has the libraries for it."""


def tell(
    sweep: Sweep,
    results: Mapping[int, JobResult],
    store: Store | None,
    parent: Run | None,
    folder: Path | None,
) -> None:
    """Prints the ranking of a sweep, its jobs and why some failed, and records all of it.

    Args:
        sweep: The sweep.
        results: The results of its jobs, by their numbers.
        store: The tracking store; None if nothing is tracked.
        parent: The parent run; None likewise.
        folder: Where the report is written; None for no report.
    """
    rows = [(each, results[each.number]) for each in sweep.jobs]
    settings = ranked(sweep.jobs, results, sweep.axes)
    reasons = job.reasons(results)
    failed = failures.lines(reasons, "job")
    studied = configuration.STUDY in sweep.tags  # its report has its answer
    sentence = answer(settings) if settings and not studied else ""
    _print_tables(rows, settings)
    print(summary(rows))
    for line in failed:
        terminal.console().print(line, style="red", soft_wrap=True)
    if sentence:
        print(sentence)
    if store is None or parent is None:
        return
    parent.log_table(columns(rows), "jobs.json")
    best = ranking(settings)[: 1 + DESCRIBED] if len(settings) > 1 else []
    parent.set_tag(NOTE_TAG, sweep.note(best, summary(rows), failed, sentence))
    if studied:
        for each, result in rows:
            if result.failed:
                for mark in (each.fingerprint, each.repeats):  # or of some seeds of a cell
                    parent.set_tag(FAILED_TAG + mark, result.line)
    if folder is not None and settings:
        report(parent, folder, reasons)
    if studied and settings:
        print(f"Answer and report: {_study_report(sweep)}")
    print(running.directions(store, parent.stored, sweep.command, sweep=True))


def _study_report(sweep: Sweep) -> str:
    given = [*configuration.measured(sweep.command), *running.where(sweep.command)]
    return redacted(shlex.join([program("echo-exp-report"), *given]))


def report(parent: Run, folder: Path, reasons: Mapping[int, str]) -> None:
    """Writes the report and prints where it is; a failure is printed and does not fail the sweep.

    Args:
        parent: The parent run.
        folder: Where the report is written.
        reasons: Why jobs failed, by their numbers.
    """
    try:
        parent.log_report(REPORT, folder, reasons=dict(reasons))
    except (TrackingError, Interrupted, KeyboardInterrupt) as error:
        why = redacted(str(error)) or "interrupted"
        print(f"echo-exp: no report was written: {why}", file=sys.stderr)
    else:
        print(f"Report: {folder / 'report.html'}")


def _print_tables(rows: Sequence[Row], settings: Sequence[Ranked]) -> None:
    """Prints the ranking and the jobs; as one table if each job is a setting of its own."""
    long, several = len(rows) > MOST_JOBS, pooled(rows, settings)
    out = terminal.console()
    print()
    if settings and (several or long):
        lines = ranking(settings)
        out.print(terminal.table(lines))
        left = len(settings) - len(lines) + 1
        print(f"and {left} more settings\n" if left else "")
    if long:
        print(f"All {len(rows)} jobs are in jobs.json, an artifact of the sweep's run in MLflow.\n")
    else:
        out.print(terminal.table(jobs(rows) if several else ranked_jobs(rows)), "")
