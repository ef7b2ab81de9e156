"""Writes the report of a study: Markdown, a self-contained HTML file, figures and tables.

The same runs give the same bytes: nothing depends on the time or on a random name.
"""

import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from echo_exp import configuration
from echo_exp.metrics import definition
from echo_exp.reports import (
    aggregate_section,
    answers,
    lengths,
    rendering,
    spans,
    statistics,
    study_figures,
)
from echo_exp.reports.answers import Answers
from echo_exp.reports.records import Record
from echo_exp.reports.rendering import (
    ENVIRONMENT,
    estimated,
    number,
    p_value,
    safe,
    save,
    verdict,
)
from echo_exp.reports.sections import Section
from echo_exp.settings import is_number, word
from echo_exp.sweeps import failures
from echo_exp.sweeps.study import Cell
from echo_exp.terminal import counted

MOST_CELLS = 10
"""At most this many cells that did not finish for the same reason are named on the screen."""


def write(found: Answers, folder: Path) -> str:
    """Writes the report of a study into a folder.

    Args:
        found: What the study's runs say.
        folder: The folder.

    Returns:
        The comparisons, as text for the screen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sections = _sections(found)
    tables = _tables(found) | {n: t for section in sections for n, t in section.tables.items()}
    for name, frame in tables.items():
        file = folder / f"{name}.csv"
        frame.to_csv(file, index=False, lineterminator="\n", float_format="%.7g")  # as measured
    images = {}
    for draw in (study_figures.scores, study_figures.solving, study_figures.curves):
        images[draw.__name__] = save(draw(found), folder / draw.__name__)
    for section in sections:
        images |= {name: save(drawn, folder / name) for name, drawn in section.figures.items()}
    text = ENVIRONMENT.get_template("report.md.j2").render(
        answer=_answer(found, sections),
        sections=sections,
        found=found,
        study=found.study,
        missing=_missing(found.records),
        finished=[record for record in found.records if record.finished],
        added=[record for record in _runs(found) if len(record.runs) > 1],
        runs=_runs(found),
        counted=counted,
        metrics=found.metrics,
        compared_metrics={comparison.metric for comparison in found.comparisons},
        named=lambda metric: definition(metric).words,
        safe=safe,
        cell=lambda cell: _cell(cell, safe),
        place=lambda record: _place(found, record),
        level=lambda record: safe(answers.level(found.study, record)),
        mean=_mean,
        estimate=estimated,
        median=_median,
        p=p_value,
        number=number,
        command=lambda cell: shlex.join(["echo-exp", *configuration.measured(cell.overrides)]),
        verdict=lambda compared: verdict(compared.p, compared.decidable),
    )
    rendering.write(text, found.study.name, images, folder)
    return "\n".join(_lines(found, _answer(found, sections)))


def _sections(found: Answers) -> list[Section]:
    every = (aggregate_section.section(found), spans.section(found), lengths.section(found))
    return [section for section in every if section is not None]


def _answer(found: Answers, sections: Sequence[Section]) -> str:
    """Returns the answer that begins the report: that of its sections, or else of comparisons."""
    return " ".join(section.answer for section in sections) or answers.sentence(found)


def _runs(found: Answers) -> list[Record]:
    """Returns one finished record of each run, because several cells may share a run."""
    return list(
        {tuple(record.runs): record for record in found.records if record.finished}.values()
    )


def _missing(records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Groups the records that have not finished by the reason."""
    left = [record for record in records if not record.finished]
    return failures.grouped((record, _reason(record)) for record in left)


def _reason(record: Record) -> str:
    return f"{record.status}: {record.error}" if record.error else record.status


def explained(records: Sequence[Record]) -> Iterator[str]:
    """Yields why cells have not finished, one line per reason.

    Args:
        records: The records of all cells.
    """
    for reason, cells in _missing(records):
        named = "; ".join(_cell(record.cell) for record in cells[:MOST_CELLS])
        more = f" and {len(cells) - MOST_CELLS} more" if len(cells) > MOST_CELLS else ""
        count = f" ({len(cells)} cells)" if len(cells) > 1 else ""
        yield f"{named}{more}{count}: {reason}"


def _lines(found: Answers, answer: str) -> Iterator[str]:
    metric = found.study.metric
    done = sum(record.finished for record in found.records)
    seeds = sum(len(record.seeds) for record in _runs(found))
    yield f"{found.study.question}\n"
    yield f"{answer}\n"
    yield f"{done} of {len(found.records)} cells finished, {seeds} seeds"
    yield from (f"  {line}" for line in explained(found.records))
    if further := sum(record.further for record in found.records):
        yield f"  {counted(further, 'more seed')} finished that are not asked for here (replicas=)"
    yield f"\n{metric}, mean and 95 % interval; p corrected for their number (Holm)"
    for c in found.comparisons:
        if c.metric == metric:
            a, b = (f"{_level(found, r)}: {_mean(r, metric)}" for r in (c.reference, c.other))
            yield f"  {_place(found, c.reference, word)}: {a}; {b}; p {p_value(c.p)}"


def _tables(found: Answers) -> dict[str, pd.DataFrame]:
    return {
        "seeds": pd.DataFrame(_seed_rows(found)),
        "cells": pd.DataFrame(_cell_rows(found)),
        "comparisons": pd.DataFrame(_comparison_rows(found)),
    }


def _seed_rows(found: Answers) -> Iterator[dict[str, Any]]:
    for record in found.records:
        for index, seed in enumerate(record.seeds):
            scores = {name: values[index] for name, values in sorted(record.scores.items())}
            solved = record.epochs_to_solve[index]
            yield {**record.cell.attributes, "seed": seed, **scores, "epochs_to_solve": solved}


def _cell_rows(found: Answers) -> Iterator[dict[str, Any]]:
    for record in found.records:
        row: dict[str, Any] = {**record.cell.attributes, "status": record.status}
        row |= {"error": record.error or None}
        row |= {"run": " ".join(record.runs) or None, "seeds": len(record.seeds)}
        if record.finished:
            row |= {"parameters": record.parameters, "seconds": record.seconds}
            row["diverged"] = record.diverged
            row["solved"] = float((record.epochs_to_solve > 0).mean())
            row |= answers.survival(record).median.row("epochs_to_solve_median")
            for metric in found.metrics:
                if metric in record.scores:
                    row |= statistics.mean(record.scores[metric]).row(metric)
        yield row


def _comparison_rows(found: Answers) -> Iterator[dict[str, Any]]:
    study = found.study
    for c in found.comparisons:
        yield {
            **_where(found, c.reference),
            "reference": answers.level(study, c.reference),
            "other": answers.level(study, c.other),
            "measure": c.metric,
            **c.difference.difference.row("difference"),
            "cliffs_delta": c.difference.effect,
            "test": "Wilcoxon, paired" if c.difference.paired else "Mann-Whitney",
            "p": c.difference.p,
            "p_holm": c.p,
        }
    for s in found.solving:
        yield {
            **_where(found, s.reference),
            "reference": answers.level(study, s.reference),
            "other": answers.level(study, s.other),
            "measure": "epochs_to_solve",
            "test": "log-rank",
            "p_holm": s.p,
        }


def _level(found: Answers, record: Record) -> str:
    """Returns the compared value of a record; a number with its name, as in ``lr 0.01``."""
    level = answers.level(found.study, record)
    name = f"{configuration.short(found.study.compare)} " if is_number(level) else ""
    return name + word(level)


def _where(found: Answers, record: Record) -> dict[str, Any]:
    names = [name for name in (found.study.panel, found.study.x) if name]
    return {name: record.cell.attributes[name] for name in names}


def _place(found: Answers, record: Record, text: Callable[[Any], str] | None = None) -> str:
    """Returns the panel and position of a record; `text` formats the values (else: Markdown)."""
    text = text or safe
    named = [
        text(value) if name == found.study.panel else f"{configuration.short(name)} {text(value)}"
        for name, value in _where(found, record).items()
    ]
    return ", ".join(named) or "all"


def _cell(cell: Cell, text: Callable[[Any], str] = word) -> str:
    """Returns the labels and settings of a cell; `text` formats the values."""
    named = [f"{configuration.short(key)} {text(value)}" for key, value in cell.settings.items()]
    return ", ".join([*(text(value) for value in cell.labels.values()), *named])


def _mean(record: Record, metric: str) -> str:
    return estimated(statistics.mean(record.scores[metric])) if metric in record.scores else "–"


def _median(record: Record) -> str:
    estimate = answers.survival(record).median
    if math.isinf(estimate.value):
        return f"> {record.epochs:,}"
    high = "∞" if math.isinf(estimate.high) else f"{estimate.high:,.0f}"
    return f"{estimate.value:,.0f} ({estimate.low:,.0f} to {high})"
