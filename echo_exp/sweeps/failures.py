"""Why jobs failed: equal reasons are grouped, with the jobs that they apply to."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

NUMBER = re.compile(r"(?<![\w+-])[\w+-]*\d(?:[\w.,+-]*\w)?")
"""A word with a digit: a number, or a name such as a run's."""
MOST_NAMED = 20
"""At most this many jobs, or ranges of jobs, are named in one line."""
MOST_VALUES = 3

Who = TypeVar("Who")


@lru_cache(maxsize=4096)
def kind(reason: str) -> tuple[str, ...]:
    """Returns what reasons that differ only in numbers have in common.

    Args:
        reason: Why something failed.
    """
    return tuple(NUMBER.split(reason))


def grouped(failures: Iterable[tuple[Who, str]]) -> list[tuple[str, list[Who]]]:
    """Groups failures by reason, the most frequent reason first.

    Reasons that differ only in numbers are grouped. If they differ in one
    number, its values are listed; otherwise the first reason stands for all.

    Args:
        failures: What failed, such as a job, and why.

    Returns:
        Each reason with all that failed for it.
    """
    groups: defaultdict[tuple[str, ...], list[tuple[Who, str]]] = defaultdict(list)
    for name, reason in failures:
        groups[kind(reason)].append((name, reason))
    merged = [
        (_merged([reason for _, reason in group]), [name for name, _ in group])
        for group in groups.values()
    ]
    return sorted(merged, key=lambda group: -len(group[1]))


def lines(failures: Mapping[int, str], noun: str) -> list[str]:
    """Returns one line per reason.

    Args:
        failures: The reasons, by the numbers of the jobs that failed.
        noun: The word for one of them, such as ``job``.
    """
    return [f"{who(numbers, noun)}: {why}" for why, numbers in grouped(sorted(failures.items()))]


def _merged(reasons: Sequence[str]) -> str:
    first = reasons[0]
    columns = [list(dict.fromkeys(c)) for c in zip(*map(NUMBER.findall, reasons), strict=True)]
    varied = sum(len(values) > 1 for values in columns)
    if varied > 1:
        return f"{first} (the numbers differ in the others)"
    left = iter(columns)
    return NUMBER.sub(lambda _: _values(next(left)), first)


def _values(values: Sequence[str]) -> str:
    if len(values) > MOST_VALUES:
        return ", ".join([*values[:MOST_VALUES], "…"])
    return _listed(values, "or")


def _listed(words: Sequence[str], joined: str) -> str:
    *others, last = words
    return f"{', '.join(others)} {joined} {last}" if others else last


def who(numbers: Sequence[int], noun: str) -> str:
    """Names jobs by their numbers, as in ``jobs 1, 2 and 5 to 9 (7 jobs)``.

    Args:
        numbers: The numbers, in ascending order.
        noun: The word for one of them, such as ``job``.
    """
    if len(numbers) == 1:
        return f"{noun} {numbers[0]}"
    ranges = _ranges(numbers)
    named = [text for text, _ in ranges[:MOST_NAMED]]
    left = sum(count for _, count in ranges[MOST_NAMED:])
    listed = _listed([*named, f"{left} more"] if left else named, "and")
    return f"{noun}s {listed} ({len(numbers)} {noun}s)"


def _ranges(numbers: Sequence[int]) -> list[tuple[str, int]]:
    """Returns numbers as texts, three or more in a row as one range, each text with its count."""
    rows: list[list[int]] = []
    for number in numbers:
        if rows and number == rows[-1][-1] + 1:
            rows[-1].append(number)
        else:
            rows.append([number])
    found: list[tuple[str, int]] = []
    for row in rows:
        if len(row) > 2:
            found.append((f"{row[0]} to {row[-1]}", len(row)))
        else:
            found += [(str(number), 1) for number in row]
    return found
