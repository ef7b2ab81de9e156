"""Descriptions of experiments, runs and sweeps, in Markdown, as MLflow's UI shows them."""

import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from echo_exp import config as configuration
from echo_exp.resume import CONTINUES
from echo_exp.settings import redacted
from echo_exp.study import Study
from echo_exp.tracking import StoredRun
from echo_exp.tracking.view import page

if TYPE_CHECKING:
    from echo_exp.outcome import Outcome

COLUMNS = {
    "`test/accuracy`": "share of single integers right, on fresh windows",
    "`test/sequence_accuracy`": "share of whole outputs right",
    "`val/accuracy`": "the last validation during the training",
    "`epochs_to_solve`": "the first validated epoch with an accuracy of 0.99; empty: never",
    "`replicas`": "networks trained at once, with seeds from `seed` on; scores are means",
}
MOST_VALUES = 8
"""So many values of a swept setting are told."""
MOST_REASONS, LONGEST_REASON = 10, 400
"""So many reasons of failures are told, of so many characters."""


def experiment() -> str:
    """Describes the experiment of single runs and sweeps."""
    return _text(
        "LSTMs that learn to echo sequences of random integers: single runs, and sweeps of them.",
        _table("column", "what it is", COLUMNS.items()),
        "A sweep is one row, and its runs are nested under it. `Views` has the columns and charts "
        "that are useful first.",
        _commands(
            {
                "echo-exp": "another run",
                "echo-exp -m seed=1,2,3 model.units=10,20": "a sweep",
                "echo-exp --help": "all settings",
            }
        ),
    )


def study(asked: Study) -> str:
    """Describes the experiment of a study."""
    named = f"study={asked.name}"
    told = {f"`{asked.compare}`": "what is compared"}
    if asked.x:
        told[f"`{asked.x}`"] = "on the horizontal axis of the figures"
    if asked.panel:
        told[f"`{asked.panel}`"] = "has a panel of the figures for each value"
    told |= {f"`{name}`": "only its best value is compared" for name in asked.select}
    return _text(
        asked.question,
        f"*Expected:* {asked.expectation}" if asked.expectation else "",
        "Each run is a cell: some settings, trained with many seeds at once. The cells of a scale "
        "are nested under one parent.",
        _table("setting or label", "its part", told.items()),
        _table("column", "what it is", COLUMNS.items()),
        _commands(
            {
                f"echo-exp {named}": "runs what is missing",
                f"echo-exp-report {named}": "the answer: intervals, tests, figures",
            }
        ),
    )


def run(
    config: DictConfig,
    stored: StoredRun,
    where: Sequence[str],
    outcome: "Outcome | None" = None,
) -> str:
    """Describes a run.

    Args:
        config: Its configuration.
        stored: The run as the store knows it.
        where: The overrides that tell where runs are written.
        outcome: What came out, once something has.
    """
    which = [f"run={stored.run_id}", *where]
    again = {stored.tags["mlflow.source.name"]: "does the same again"}
    about = _text(_sentence(config), _beginning(stored))
    if outcome is None:
        resume = shlex.join(["echo-exp", f"resume={stored.run_id}", *where])
        more = {resume: "goes on, where it was interrupted"}
        return _text(about, "It has not ended, and has no scores.", _commands(more))
    window = str(list(outcome.listing.windows[0]))
    more = {
        shlex.join(["echo-exp-predict", *which, window]): "its echo of a window",
        shlex.join(["echo-exp-inspect", *which]): "what it has learned",
    }
    # The UI shows the first lines: those of the accuracies.
    lines = sorted(outcome.lines(), key=lambda line: "accuracy" not in line[0])
    scores = _table("what came out", "", lines)
    return _text(about, scores, _commands(again | more))


def continued(told: str, by: StoredRun) -> str:
    """Adds to the description of a run that another goes on from it."""
    return _text(told, f"{_link(by.experiment_id, by.run_id)} goes on from it.")


def _beginning(stored: StoredRun) -> str:
    """Says which run's epochs are the first of a run, if that is so."""
    if CONTINUES not in stored.tags:
        return ""
    shorter = _link(stored.experiment_id, stored.tags[CONTINUES])
    return f"Its first epochs were trained by {shorter}, and are as good as its own."


def _link(experiment_id: str, run_id: str) -> str:
    return f"[Run {run_id}]({page(experiment_id, run_id)})"


def sweep(
    about: str,
    command: Sequence[str],
    best: Sequence[Sequence[str]] = (),
    summary: str = "",
    failed: Sequence[str] = (),
) -> str:
    """Describes the parent of a sweep, a study or a search.

    Args:
        about: What is run.
        command: The arguments of `echo-exp` that make it.
        best: The lines of the table of its best settings, the titles first.
        summary: How many jobs succeeded, and how many did not.
        failed: Why some failed, a line a reason.
    """
    titles, *rows = best or [()]
    return _text(
        about,
        summary and f"{summary}.",
        _reasons(failed),
        "The best of them:" if rows else "",
        _lines(titles, rows) if rows else "",
        _commands({shlex.join(["echo-exp", *command]): "runs what is missing"}),
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
    """Says of the overrides of some jobs how many there are, and which settings differ."""
    every: dict[str, dict[str, None]] = {}
    count = 0
    for overrides in jobs:
        count += 1
        for override in overrides:
            key, _, value = override.partition("=")
            every.setdefault(key, {})[value] = None
    rows = [
        (f"`{key}`", ", ".join(list(values)[:MOST_VALUES]) + ", …" * (len(values) > MOST_VALUES))
        for key, values in every.items()
        if len(values) > 1
    ]
    return _text(f"{count} runs.", _table("setting", "its values", rows) if rows else "")


def _sentence(config: DictConfig) -> str:
    """Says in one sentence what a run is."""
    problem, chosen = config.problem, configuration.parameters(config)
    echoed = f"{problem.n_out} of {problem.n_in} integers"
    units = f" of {config.model.units} units" if "units" in config.model else ""
    many = f", {config.replicas} networks at once" if config.replicas > 1 else ""
    return (
        f"{chosen['model']}{units} learns to echo {echoed} below "
        f"{problem.n_values} ({chosen['representation']}): {config.epochs:,} epochs from seed "
        f"{config.seed}{many}."
    )


def _reasons(failed: Sequence[str]) -> str:
    """Returns a list of reasons, short enough for a tag of MLflow."""
    lines = [f"- {plain(textwrap.shorten(line, LONGEST_REASON))}" for line in failed]
    more = len(lines) - MOST_REASONS
    return "\n".join([*lines[:MOST_REASONS], *([f"- and {more} more reasons"] if more > 0 else [])])


def plain(text: str) -> str:
    """Returns a text as one that neither Markdown nor HTML takes for its own."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", text).replace("\n", " ")


def _text(*parts: str) -> str:
    return redacted("\n\n".join(filter(None, parts)))


def _table(left: str, right: str, rows: Iterable[tuple[str, str]]) -> str:
    return _lines((left, right), rows)


def _lines(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _commands(told: Mapping[str, str]) -> str:
    width = min(60, max(map(len, told)))
    lines = [f"{command:<{width}}  # {what}" for command, what in told.items()]
    return "\n".join(["```sh", *lines, "```"])
