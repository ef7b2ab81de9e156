"""Descriptions of sweeps, studies and searches, as MLflow's UI shows them."""

import shlex
from collections.abc import Iterable, Sequence

from echo_exp import configuration
from echo_exp.running.descriptions import COLUMNS
from echo_exp.sweeps.study import Study
from echo_exp.tracking.ui import markdown

MOST_VALUES = 8
"""So many values of a swept setting are told."""
MOST_REASONS = 10
"""So many reasons of failures are told."""


def study(asked: Study) -> str:
    """Describes the experiment of a study."""
    named = f"study={asked.name}"
    told = {f"`{asked.compare}`": "what is compared"}
    if asked.x:
        told[f"`{asked.x}`"] = "on the horizontal axis of the figures"
    if asked.panel:
        told[f"`{asked.panel}`"] = "has a panel of the figures for each value"
    told |= {f"`{name}`": "only its best value is compared" for name in asked.select}
    return markdown.text(
        asked.question,
        f"*Expected:* {asked.expectation}" if asked.expectation else "",
        "Each run is a cell: some settings, trained with many seeds at once. The cells of a scale "
        "are nested under one parent.",
        markdown.table("setting or label", "its part", told.items()),
        markdown.table("column", "what it is", COLUMNS.items()),
        markdown.commands(
            {
                f"echo-exp {named}": "runs what is missing",
                f"echo-exp-report {named}": "the answer: intervals, tests, figures",
            }
        ),
    )


def sweep(
    about: str,
    command: Sequence[str],
    best: Sequence[Sequence[str]] = (),
    summary: str = "",
    failed: Sequence[str] = (),
    answer: str = "",
) -> str:
    """Describes the parent of a sweep, a study or a search.

    Args:
        about: What is run.
        command: The arguments of `echo-exp` that make it.
        best: The lines of the table of its best settings, the titles first.
        summary: How many jobs succeeded, and how many did not.
        failed: Why some failed, one line per reason.
        answer: Which settings did best, in a sentence.
    """
    titles, *rows = best or [()]
    return markdown.text(
        answer and f"**{markdown.plain(answer)}**",
        about,
        summary and f"{summary}.",
        _reasons(failed),
        "The best of them:" if rows else "",
        markdown.lines(titles, rows) if rows else "",
        markdown.commands({shlex.join(["echo-exp", *command]): "runs what is missing"}),
    )


def search(
    objectives: Iterable[object], constraints: Iterable[object], settings: Iterable[str]
) -> str:
    """Says what a search is for, and which settings it varies."""
    goals = " and ".join(map(str, objectives))
    within = ", ".join(map(str, constraints))
    names = ", ".join(f"`{name}`" for name in settings)
    return f"A search that is to {goals}{f' with {within}' if within else ''} by {names}."


def varied(jobs: Iterable[Sequence[str]]) -> str:
    """Says how many jobs there are, and which of their settings differ."""
    every = list(jobs)
    rows = [(f"`{key}`", listed(values)) for key, values in configuration.varied(every).items()]
    return markdown.text(
        f"{len(every)} runs.", markdown.table("setting", "its values", rows) if rows else ""
    )


def listed(values: Sequence[str]) -> str:
    """Returns values as a list; if there are many, only the first."""
    return ", ".join(values[:MOST_VALUES]) + ", …" * (len(values) > MOST_VALUES)


def _reasons(failed: Sequence[str]) -> str:
    """Returns a list of reasons, short enough for a tag of MLflow."""
    lines = [f"- {markdown.reason(line)}" for line in failed]
    more = len(lines) - MOST_REASONS
    return "\n".join([*lines[:MOST_REASONS], *([f"- and {more} more reasons"] if more > 0 else [])])
