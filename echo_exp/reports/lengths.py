"""The section of a study's report on lengths at which networks were not trained."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from echo_exp import configuration
from echo_exp.metrics import Better, definition
from echo_exp.reports import answers, statistics, style
from echo_exp.reports.answers import Answers
from echo_exp.reports.estimates import Estimate
from echo_exp.reports.records import Record
from echo_exp.reports.rendering import ENVIRONMENT, estimated, safe
from echo_exp.reports.sections import Section
from echo_exp.settings import word
from echo_exp.training.figures import uncluttered


@dataclass(frozen=True)
class Arm:
    """A record with the mean of the metric at each length of its test."""

    record: Record
    at: Mapping[int, Estimate]


def section(found: Answers) -> Section | None:
    """Returns the section on lengths.

    Args:
        found: What the study's runs say.

    Returns:
        The section; None if the study does not ask for it, or no lengths were tested.
    """
    metric = found.study.lengths
    if metric is None:
        return None
    arms = [Arm(record, _tested(metric, record)) for record in found.compared]
    lengths = sorted({length for arm in arms for length in arm.at})
    if not lengths:
        return None
    text = ENVIRONMENT.get_template("lengths.md.j2").render(
        named=definition(metric).title,
        compare=configuration.short(found.study.compare),
        lengths=lengths,
        arms=arms,
        place=lambda arm: safe(answers.panel(found.study, arm.record) or "all"),
        level=lambda arm: safe(answers.level(found.study, arm.record)),
        estimate=estimated,
    )
    answer = _answer(found, metric, arms, lengths[-1])
    table = pd.DataFrame(_rows(metric, arms))
    return Section(answer, text, {"lengths": _figure(found, metric, arms)}, {"lengths": table})


def _tested(metric: str, record: Record) -> dict[int, Estimate]:
    """Returns the mean of a metric at each length at which it was tested, in ascending order."""
    name = re.compile(rf"{re.escape(metric)}_at_(\d+)")
    found = {int(m[1]): record.scores[m[0]] for m in map(name.fullmatch, record.scores) if m}
    return {length: statistics.mean(found[length]) for length in sorted(found)}


def _answer(found: Answers, metric: str, arms: Sequence[Arm], length: int) -> str:
    """Says which arm is best at a length, in each panel."""
    parts = []
    known = definition(metric)
    best_of, word_for = (min, "lowest") if known.better is Better.LOWER else (max, "highest")
    for panel in found.panels():
        there = [
            arm
            for arm in _of_panel(found, arms, panel)
            if length in arm.at and math.isfinite(arm.at[length].value)
        ]
        if there:
            best = best_of(there, key=lambda arm: arm.at[length].value)
            where = "" if panel is None else f"{word(panel)}: "
            level = word(answers.level(found.study, best.record))
            parts.append(f"{where}{level} {estimated(best.at[length])}")
    return f"The {word_for} {known.title} at length {length}: {'; '.join(parts)}."


def _of_panel(found: Answers, arms: Sequence[Arm], panel: Any) -> list[Arm]:
    return [arm for arm in arms if answers.panel(found.study, arm.record) == panel]


def _rows(metric: str, arms: Sequence[Arm]) -> Iterator[dict[str, Any]]:
    for arm in arms:
        for length, estimate in arm.at.items():
            yield {
                **arm.record.cell.attributes,
                "length": length,
                metric: estimate.value,
                "low": estimate.low,
                "high": estimate.high,
            }


def _figure(found: Answers, metric: str, arms: Sequence[Arm]) -> Figure:
    """Draws the metric over the length of the test, a line per compared value."""
    panels, levels = found.panels(), found.levels()
    figure, (row,) = style.grid(1, len(panels))
    for axes, panel in zip(row, panels, strict=True):
        for arm in _of_panel(found, arms, panel):
            level, lengths = answers.level(found.study, arm.record), list(arm.at)
            style.banded(axes, levels.index(level), word(level), lengths, list(arm.at.values()))
            axes.set_xscale("log")
            axes.set_xticks(lengths, [str(length) for length in lengths], minor=False)
            axes.minorticks_off()
        axes.set_title("" if panel is None else word(panel), fontsize=10)
        axes.set_xlabel("length in the test")
        uncluttered(axes)
    row[0].set_ylabel(definition(metric).label)
    style.same_height(row, metric)
    style.legend(figure, row)
    return figure
