"""What networks do at lengths at which they were not trained: a section of a study's report."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echo_exp import configuration
from echo_exp.configuration.swept import word
from echo_exp.metrics import definition
from echo_exp.reports import answers, statistics, style
from echo_exp.reports.answers import Answers
from echo_exp.reports.estimates import Estimate
from echo_exp.reports.records import Record
from echo_exp.reports.rendering import ENVIRONMENT, estimated, safe
from echo_exp.reports.sections import Section


def section(found: Answers) -> Section | None:
    """Returns the section on lengths, where the study asks for it and they were tested."""
    if found.study.lengths is None:
        return None
    lengths = sorted({length for record in found.compared for length in _tested(found, record)})
    if not lengths:
        return None
    text = ENVIRONMENT.get_template("lengths.md.j2").render(
        named=definition(found.study.lengths).title,
        compare=configuration.short(found.study.compare),
        lengths=lengths,
        records=found.compared,
        place=lambda record: safe(_panel(found, record) or "all"),
        level=lambda record: safe(answers.level(found.study, record)),
        at=lambda record, length: _at(found, record, length),
        estimate=estimated,
    )
    table = pd.DataFrame(_rows(found, lengths))
    return Section(_answer(found, lengths), text, {"lengths": _figure(found)}, {"lengths": table})


def _tested(found: Answers, record: Record) -> list[int]:
    """Returns the lengths at which a record has the metric, in their order."""
    name = re.compile(rf"{re.escape(str(found.study.lengths))}_at_(\d+)")
    return sorted(int(m[1]) for m in map(name.fullmatch, record.scores) if m)


def _at(found: Answers, record: Record, length: int) -> Estimate | None:
    values = record.scores.get(f"{found.study.lengths}_at_{length}")
    return None if values is None else statistics.mean(values)


def _panel(found: Answers, record: Record) -> Any:
    return answers.panel(found.study, record)


def _answer(found: Answers, lengths: Sequence[int]) -> str:
    """Returns which arms are best at the greatest length."""
    last, told = lengths[-1], []
    for panel in found.panels():
        at = [
            (word(answers.level(found.study, record)), estimate)
            for record in found.of_panel(panel)
            if (estimate := _at(found, record, last)) is not None
        ]
        if at:
            level, best = max(at, key=lambda pair: pair[1].value)
            where = "" if panel is None else f"{word(panel)}: "
            told.append(f"{where}{level} {estimated(best)}")
    name = definition(str(found.study.lengths)).title
    return f"The highest {name} at length {last}: {'; '.join(told)}."


def _rows(found: Answers, lengths: Sequence[int]) -> Iterator[dict[str, Any]]:
    for record in found.compared:
        for length in lengths:
            estimate = _at(found, record, length)
            if estimate is not None:
                yield {
                    **record.cell.attributes,
                    "length": length,
                    str(found.study.lengths): estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                }


def _figure(found: Answers) -> Figure:
    """Draws the metric over the length of the test, a line for each value of what is compared."""
    panels = found.panels()
    figure, (row,) = style.grid(1, len(panels))
    for axes, panel in zip(row, panels, strict=True):
        for record in found.of_panel(panel):
            _line(axes, found, record)
        axes.set_title("" if panel is None else word(panel), fontsize=10)
        axes.set_xlabel("length in the test")
        style.uncluttered(axes)
    row[0].set_ylabel(definition(str(found.study.lengths)).label)
    style.same_height(row, str(found.study.lengths))
    style.legend(figure, row)
    return figure


def _line(axes: Axes, found: Answers, record: Record) -> None:
    lengths = _tested(found, record)
    estimates = [statistics.mean(record.scores[f"{found.study.lengths}_at_{n}"]) for n in lengths]
    level = answers.level(found.study, record)
    number = found.levels().index(level)
    color = style.color(number)
    axes.plot(
        lengths,
        [estimate.value for estimate in estimates],
        color=color,
        marker=style.marker(number),
        linestyle=style.line_style(number // len(style.COLORS)),
        label=word(level),
    )
    ends = np.array([(estimate.low, estimate.high) for estimate in estimates])
    axes.fill_between(lengths, ends[:, 0], ends[:, 1], color=color, alpha=0.1, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(lengths, [str(length) for length in lengths], minor=False)
    axes.minorticks_off()
