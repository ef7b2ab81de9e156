"""Descriptions of sweeps, studies and searches, as MLflow's UI shows them."""

import shlex
from collections.abc import Iterable, Sequence

from echo_exp import configuration
from echo_exp.running.descriptions import COLUMNS
from echo_exp.sweeps.study import Study
from echo_exp.tracking.ui import markdown

MOST_VALUES = 8
"""At most this many values of a swept setting are listed."""
MOST_REASONS = 10
"""At most this many reasons of failures are listed."""


def study(study: Study) -> str:
    """Describes the MLflow experiment of a study.

    Args:
        study: The study.
    """
    named = f"study={study.name}"
    roles = {f"`{study.compare}`": "its values are compared"}
    if study.x:
        roles[f"`{study.x}`"] = "on the horizontal axis of the figures"
    if study.panel:
        roles[f"`{study.panel}`"] = "each value has a panel of the figures"
    roles |= {f"`{name}`": "only its best value is compared" for name in study.select}
    return markdown.text(
        study.question,
        f"*Expected:* {study.expectation}" if study.expectation else "",
        "Each run is a cell: some settings, trained with many seeds at once. The cells of a scale "
        "are nested under one parent.",
        markdown.table("setting or label", "its role", roles.items()),
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
        command: The arguments of `echo-exp` that start it.
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
        "The best settings:" if rows else "",
        markdown.lines(titles, rows) if rows else "",
        markdown.commands({shlex.join(["echo-exp", *command]): "runs what is missing"}),
    )


def search(
    objectives: Iterable[object], constraints: Iterable[object], settings: Iterable[str]
) -> str:
    """Describes what a search is for, and which settings it varies.

    Args:
        objectives: Its objectives, the first of which ranks the trials.
        constraints: What a trial must fulfil to count.
        settings: The names of the settings that it varies.
    """
    goals = " and ".join(map(str, objectives))
    within = ", ".join(map(str, constraints))
    names = ", ".join(f"`{name}`" for name in settings)
    return f"A search to {goals}{f' with {within}' if within else ''}, varying {names}."


def varied(jobs: Iterable[Sequence[str]]) -> str:
    """Describes how many jobs there are, and which of their settings differ.

    Args:
        jobs: The overrides of each job.
    """
    every = list(jobs)
    rows = [(f"`{key}`", listed(values)) for key, values in configuration.varied(every).items()]
    return markdown.text(
        f"{len(every)} runs.", markdown.table("setting", "its values", rows) if rows else ""
    )


def listed(values: Sequence[str]) -> str:
    """Returns values in one line; if there are many, only the first.

    Args:
        values: The values.
    """
    return ", ".join(values[:MOST_VALUES]) + ", …" * (len(values) > MOST_VALUES)


def _reasons(failed: Sequence[str]) -> str:
    """Returns a list of reasons, short enough for a tag of MLflow."""
    lines = [f"- {markdown.reason(line)}" for line in failed]
    more = len(lines) - MOST_REASONS
    return "\n".join([*lines[:MOST_REASONS], *([f"- and {more} more reasons"] if more > 0 else [])])
