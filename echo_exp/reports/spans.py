"""The section of a study's report on the longest span that each arm learns.

An arm is a value of what is compared, in a panel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from echo_exp import configuration
from echo_exp.reports import answers, style
from echo_exp.reports.answers import Answers
from echo_exp.reports.estimates import Estimate
from echo_exp.reports.records import Record
from echo_exp.reports.rendering import ENVIRONMENT, estimated, number, safe
from echo_exp.reports.sections import Section
from echo_exp.settings import word
from echo_exp.sweeps.significance import CONFIDENCE
from echo_exp.training.evaluation import SOLVED
from echo_exp.training.figures import uncluttered
from echo_exp.training.replicas import Floats

Learnt = NDArray[np.bool_]

DRAWS = 4999
LEARNT = 0.5
"""An arm learns a span if at least this share of its seeds do."""
LAW_AT = 0.9
"""The validation accuracy for which the growth of the epochs with the span is fitted."""


@dataclass(frozen=True)
class Span:
    """The spans that an arm was trained on, and those that it has learnt.

    Attributes:
        panel: The panel of the study.
        level: The value of what is compared.
        spans: The spans that were tried, in ascending order, [n].
        learnt: For each span, which seeds learnt it, [R] booleans.
        shares: The share of seeds that learnt each span, with its interval (Wilson 1927).
        longest: The longest span that was learnt, with its interval; 0 if it is below the shortest.
        power: The power of the span with which the epochs until `LAW_AT` grow; None if the seeds do
            not determine it.
        mixed: The settings of which the selected values differ between these spans, so that the
            power is not that of the span alone.
    """

    panel: Any
    level: Any
    spans: Sequence[float]
    learnt: Sequence[Learnt]
    shares: Sequence[Estimate]
    longest: Estimate
    power: Estimate | None
    mixed: Sequence[str]

    @property
    def bound(self) -> bool:
        """Whether the longest span that was tried was learnt, so that longer ones may be too."""
        return self.longest.value == self.spans[-1]

    def __str__(self) -> str:
        value = f"{'at least ' * self.bound}{self._named(self.longest.value)}"
        if self.longest.low == self.longest.high:
            return value
        return f"{value} ({self._named(self.longest.low)} to {self._named(self.longest.high)})"

    def _named(self, value: float) -> str:
        return _whole(value) if value else f"below {_whole(self.spans[0])}"


def section(found: Answers) -> Section | None:
    """Returns the section on spans.

    Args:
        found: What the study's runs say.

    Returns:
        The section; None if the study does not ask for spans or no cell has finished.
    """
    if found.study.span is None or not found.compared:
        return None
    spans = list(_spans(found))
    name = configuration.short(found.study.span)
    text = ENVIRONMENT.get_template("spans.md.j2").render(
        name=name,
        compare=configuration.short(found.study.compare),
        spans=spans,
        mixed=dict.fromkeys(key for each in spans if each.power for key in each.mixed),
        tried=sorted({span for each in spans for span in each.spans}),
        solved=SOLVED,
        law_at=LAW_AT,
        safe=safe,
        estimate=estimated,
        whole=_whole,
    )
    figures = {"spans": _figure(found, spans)}
    return Section(_answer(name, spans), text, figures, {"spans": pd.DataFrame(_rows(spans))})


def _spans(found: Answers) -> Iterator[Span]:
    for panel in found.panels():
        for level in found.levels():
            arm = [r for r in found.of_panel(panel) if answers.level(found.study, r) == level]
            if arm:
                yield _span(found, panel, level, arm)


def _span(found: Answers, panel: Any, level: Any, records: Sequence[Record]) -> Span:
    name = str(found.study.span)
    ordered = sorted(records, key=lambda record: float(record.cell.attributes[name]))
    spans = [float(record.cell.attributes[name]) for record in ordered]
    learnt = [answers.reached(record.scores[found.study.metric], SOLVED) for record in ordered]
    power = answers.law([name], ordered, LAW_AT).exponents if len(spans) > 1 else None
    selected = {key: {r.cell.attributes[key] for r in ordered} for key in found.study.select}
    return Span(
        panel=panel,
        level=level,
        spans=spans,
        learnt=learnt,
        shares=[_share(each) for each in learnt],
        longest=_longest(spans, learnt),
        power=power[name] if power else None,
        mixed=[key for key, values in selected.items() if len(values) > 1],
    )


def _share(learnt: Learnt) -> Estimate:
    """Estimates the share of seeds that learn a span (Wilson 1927)."""
    low, high = proportion_confint(learnt.sum(), len(learnt), 1 - CONFIDENCE, method="wilson")
    return Estimate(float(learnt.mean()), float(low), float(high))


def _longest(spans: Sequence[float], learnt: Sequence[Learnt]) -> Estimate:
    """Estimates the longest span such that it and all shorter ones are learnt; 0 if none is.

    The interval follows from the posteriors of the shares under Jeffreys' prior (Brown, Cai &
    DasGupta 2001). Unlike that of a bootstrap, it has a width even if all seeds, or none, have
    learnt a span.
    """
    random = np.random.default_rng(0)
    counts = np.array([(each.sum(), len(each)) for each in learnt])
    right, wrong = counts[:, 0] + 0.5, counts[:, 1] - counts[:, 0] + 0.5
    drawn = [_reached(spans, shares) for shares in random.beta(right, wrong, (DRAWS, len(counts)))]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail], method="nearest")
    value = _reached(spans, np.array([each.mean() for each in learnt]))
    return Estimate(value, float(low), float(high))


def _reached(spans: Sequence[float], shares: Floats) -> float:
    missed = shares < LEARNT
    first = int(missed.argmax()) if missed.any() else len(spans)
    return spans[first - 1] if first else 0.0


def _answer(name: str, spans: Sequence[Span]) -> str:
    parts = []
    for panel in dict.fromkeys(each.panel for each in spans):
        longest_first = sorted(
            (each for each in spans if each.panel == panel), key=lambda s: -s.longest.value
        )
        where = "" if panel is None else f"{word(panel)}: "
        parts.append(where + ", ".join(f"{word(each.level)} {each}" for each in longest_first))
    return f"Longest {name} that at least half of the seeds learn: {'; '.join(parts)}."


def _rows(spans: Sequence[Span]) -> Iterator[dict[str, Any]]:
    for each in spans:
        for span, learnt, share in zip(each.spans, each.learnt, each.shares, strict=True):
            yield {
                "panel": each.panel,
                "level": each.level,
                "span": span,
                "seeds": len(learnt),
                "learnt": int(learnt.sum()),
                **share.row("share"),
                **each.longest.row("longest"),
            }


def _figure(found: Answers, spans: Sequence[Span]) -> Figure:
    """Draws the share of seeds that learn a span over the spans, one panel per study panel."""
    panels = found.panels()
    figure, (row,) = style.grid(1, len(panels))
    for axes, panel in zip(row, panels, strict=True):
        _panel(axes, found.levels(), [each for each in spans if each.panel == panel])
        axes.set_title("" if panel is None else word(panel), fontsize=10)
        axes.set_xlabel(configuration.short(str(found.study.span)))
        uncluttered(axes)
    row[0].set_ylabel(f"seeds with accuracy ≥ {SOLVED}\n(share, 95 % interval)")
    style.legend(figure, row)
    return figure


def _panel(axes: Axes, levels: Sequence[Any], spans: Sequence[Span]) -> None:
    tried = sorted({x for each in spans for x in each.spans})
    gaps = np.diff(tried)
    step = 0.7 * gaps.min() / max(len(spans) - 1, 1) if len(gaps) else 0.0  # spans stay apart
    for place, each in enumerate(spans):
        number, label = levels.index(each.level), word(each.level)
        shift = style.shift(place, len(spans), step)
        style.dodged(axes, number, label, each.spans, each.shares, shift)
    axes.set_xticks(tried)
    axes.set_ylim(-0.03, 1.03)


def _whole(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else number(value)
