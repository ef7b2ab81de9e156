"""What came out of a sweep, as a table to read and as one to keep."""

import re
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from echo_exp.sweeps.job import JobResult, counted

Row = tuple[int, str, JobResult]
"""A job's number, its settings as on a command line, and its result."""

ACCURACY, SECONDS = "test/accuracy", "fit_seconds"
MOST_ROWS = 60
BEST = 5


def table(rows: Sequence[Row]) -> str:
    """Returns the table of a sweep; of a long one only the first jobs that did not succeed."""
    long = len(rows) > MOST_ROWS
    shown = [row for row in rows if not long or not row[2].succeeded][:MOST_ROWS]
    if not shown:
        return ""
    lines = [("job", "settings", "accuracy", "seconds", "result")]
    lines += [
        (
            *(str(number), named),
            *(_number(result, ACCURACY, 4), _number(result, SECONDS, 1), result.status.value),
        )
        for number, named, result in shown
    ]
    return aligned(lines)


def summary(rows: Sequence[Row]) -> str:
    """Returns how many jobs succeeded and how many did not."""
    results = [result for _, _, result in rows]
    succeeded = sum(result.succeeded for result in results)
    return ", ".join([f"{succeeded} of {len(rows)} jobs succeeded", *counted(results)])


def best(rows: Sequence[Row]) -> str:
    """Returns the table of the best settings, if there are several."""
    lines = ranking(rows)
    return f"\n{aligned(lines)}\n\n" if lines else ""


def ranking(rows: Sequence[Row]) -> list[Sequence[str]]:
    """Returns the lines of the table of the best settings, the titles first, if there are several.

    Best are those with the highest accuracy; those that differ in the seed are taken together.
    """
    cells: defaultdict[str, list[float]] = defaultdict(list)
    for _, named, result in rows:
        if result.succeeded and ACCURACY in result.metrics:
            cells[re.sub(r"(^| )seed=\S+", "", named).strip()].append(result.metrics[ACCURACY])
    if len(cells) < 2:
        return []
    ranked = sorted(cells.items(), key=lambda cell: -fmean(cell[1]))[:BEST]
    lines: list[Sequence[str]] = [("best settings", "accuracy", "jobs")]
    lines += [(named, f"{fmean(scores):.4f}", str(len(scores))) for named, scores in ranked]
    return lines


def columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Returns the whole table by its columns."""
    metrics = sorted({name for _, _, result in rows for name in result.metrics})
    return {
        "job": [number for number, _, _ in rows],
        "settings": [named for _, named, _ in rows],
        "result": [result.status.value for _, _, result in rows],
        "error": [result.line if result.failed else "" for _, _, result in rows],
        **{name: [result.metrics.get(name) for _, _, result in rows] for name in metrics},
    }


def _number(result: JobResult, name: str, digits: int) -> str:
    value = result.metrics.get(name)
    return "" if value is None or not result.succeeded else f"{value:.{digits}f}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Returns lines of cells with the columns, all but the last, of one width each."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        [*(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)), line[-1]]
        for line in lines
    ]
    return "\n".join("  ".join(line) for line in padded)
