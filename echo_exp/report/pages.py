"""Writes a report: Markdown, one HTML file with everything in it, figures, tables.

The same runs give the same bytes: nothing here knows the time or a random name.
"""

import base64
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import markdown
import matplotlib as mpl
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from echo_exp.report import answers, figures, statistics
from echo_exp.report.answers import Answers
from echo_exp.report.records import Record
from echo_exp.report.statistics import Estimate
from echo_exp.study import Cell, word

DPI = 150
_ENVIRONMENT = Environment(
    loader=PackageLoader("echo_exp.report", "."),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # Markdown; what is no text of ours is escaped by `_safe`
)


def write(found: Answers, folder: Path) -> str:
    """Writes a report into a folder and returns its comparisons as lines for the screen."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    for name, frame in _tables(found).items():
        frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    images = {}
    for draw in (figures.scores, figures.solving, figures.curves):
        images[draw.__name__] = _save(draw(found), folder / draw.__name__)
    text = _ENVIRONMENT.get_template("report.md.j2").render(
        found=found,
        study=found.study,
        missing=[record for record in found.records if not record.finished],
        finished=[record for record in found.records if record.finished],
        metrics=found.metrics,
        compared_metrics={comparison.metric for comparison in found.comparisons},
        named=lambda metric: figures.named(metric).replace("\n", " "),
        plain=figures.plain,
        safe=_safe,
        cell=_safe_cell,
        place=lambda record: _place(found, record),
        level=lambda record: _safe(answers.level(found.study, record)),
        mean=lambda values: _estimate(statistics.mean(values)),
        estimate=_estimate,
        median=_median,
        p=_p,
        number=_number,
        command=lambda cell: " ".join(["echo-exp", *map(_quoted, cell.overrides)]),
        verdict=_verdict,
    )
    (folder / "report.md").write_text(text)
    (folder / "report.html").write_text(_html(text, found.study.name, images))
    return "\n".join(_lines(found))


def _lines(found: Answers) -> Iterator[str]:
    done = [record for record in found.records if record.finished]
    seeds = sum(len(record.seeds) for record in done)
    yield f"{found.study.question}\n"
    yield f"{len(done)} of {len(found.records)} cells finished, {seeds} seeds"
    for metric in found.metrics[:1]:
        yield f"\n{metric}, mean and 95 % interval; p corrected for their number (Holm)"
        for c in found.comparisons:
            if c.metric == metric:
                a, b = (word(answers.level(found.study, r)) for r in (c.reference, c.other))
                means = [
                    _estimate(statistics.mean(r.scores[metric])) for r in (c.reference, c.other)
                ]
                where = _place(found, c.reference)
                yield f"  {where}: {a} {means[0]}, {b} {means[1]}, p = {_p(c.p)}"


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
        row |= {"run": record.run_id, "seeds": len(record.seeds)}
        if record.finished:
            row |= {"parameters": record.parameters, "seconds": record.seconds}
            row["diverged"] = record.diverged
            row["solved"] = float((record.epochs_to_solve > 0).mean())
            row |= _flat("epochs_to_solve_median", answers.survival(record).median)
            for metric in found.metrics:
                if metric in record.scores:
                    row |= _flat(metric, statistics.mean(record.scores[metric]))
        yield row


def _comparison_rows(found: Answers) -> Iterator[dict[str, Any]]:
    study = found.study
    for c in found.comparisons:
        yield {
            **_where(found, c.reference),
            "reference": answers.level(study, c.reference),
            "other": answers.level(study, c.other),
            "measure": c.metric,
            **_flat("difference", c.difference.difference),
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


def _where(found: Answers, record: Record) -> dict[str, Any]:
    names = [name for name in (found.study.panel, found.study.x) if name]
    return {name: record.cell.attributes[name] for name in names}


def _flat(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _save(figure: Figure, path: Path) -> str:
    """Writes PNG and SVG; returns the PNG as base64."""
    with mpl.rc_context({"svg.hashsalt": "echo_exp"}):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    path.with_suffix(".png").write_bytes(drawn.getvalue())
    return base64.b64encode(drawn.getvalue()).decode()


def _html(text: str, title: str, images: dict[str, str]) -> str:
    body = markdown.markdown(text, extensions=["tables", "fenced_code"])
    for name, image in images.items():
        body = body.replace(f'src="{name}.png"', f'src="data:image/png;base64,{image}"')
    return _ENVIRONMENT.get_template("report.html.j2").render(title=title, body=body)


def _place(found: Answers, record: Record) -> str:
    return (
        ", ".join(
            _safe(value) if name == found.study.panel else f"{figures.plain(name)} {_safe(value)}"
            for name, value in _where(found, record).items()
        )
        or "all"
    )


def _safe_cell(cell: Cell) -> str:
    named = [f"{figures.plain(key)} {_safe(value)}" for key, value in cell.settings.items()]
    return ", ".join([*(_safe(value) for value in cell.labels.values()), *named])


def _safe(value: Any) -> str:
    """Returns a value as text that neither Markdown nor HTML takes for its own."""
    text = word(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", text).replace("\n", " ")


def _quoted(override: str) -> str:
    return (
        override
        if override.replace("=", "").replace(".", "").replace("_", "").isalnum()
        else (f"'{override}'")
    )


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "–"
    value = _number(estimate.value)
    if math.isnan(estimate.low):
        return value
    return f"{value} ({_number(estimate.low)} to {_number(estimate.high)})"


def _median(record: Record) -> str:
    estimate = answers.survival(record).median
    if math.isinf(estimate.value):
        return f"> {record.epochs:,}"
    high = "∞" if math.isinf(estimate.high) else f"{estimate.high:,.0f}"
    return f"{estimate.value:,.0f} ({estimate.low:,.0f} to {high})"


def _number(value: float) -> str:
    """Returns four digits of a value, or three places of one between 0 and 1."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _verdict(p: float) -> str:
    if math.isnan(p):
        return ""
    return "different" if p < 1 - statistics.CONFIDENCE else "not told apart"
