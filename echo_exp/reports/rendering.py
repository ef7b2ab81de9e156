"""Writes figures, tables and text of a report as files; the same input gives the same bytes."""

import base64
import io
import math
from pathlib import Path
from typing import Any

import markdown
import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from echo_exp import configuration
from echo_exp.reports.estimates import Estimate
from echo_exp.settings import word
from echo_exp.sweeps.significance import CONFIDENCE
from echo_exp.tracking.ui.markdown import plain

DPI = 150
MOST_PLACES = 6
ENVIRONMENT = Environment(
    loader=PackageLoader("echo_exp.reports", "."),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # the output is Markdown; `safe` escapes values
)
ENVIRONMENT.filters["short"] = configuration.short


def save(figure: Figure, path: Path) -> str:
    """Writes a figure as PNG and SVG.

    Args:
        figure: The figure.
        path: The files, without their suffixes.

    Returns:
        The PNG as base64.
    """
    with mpl.rc_context({"svg.hashsalt": "echo_exp"}):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    path.with_suffix(".png").write_bytes(drawn.getvalue())
    return base64.b64encode(drawn.getvalue()).decode()


def write(text: str, title: str, images: dict[str, str], folder: Path) -> None:
    """Writes a report as Markdown, and as a self-contained HTML page.

    Args:
        text: The Markdown.
        title: The title of the page.
        images: The images, each a PNG as base64, by their names.
        folder: The folder.
    """
    text = f"{text.rstrip()}\n"
    (folder / "report.md").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(_html(text, title, images), encoding="utf-8")


def _html(text: str, title: str, images: dict[str, str]) -> str:
    body = markdown.markdown(text, extensions=["tables", "fenced_code"])
    for name, image in images.items():
        body = body.replace(f'src="{name}.png"', f'src="data:image/png;base64,{image}"')
    return ENVIRONMENT.get_template("report.html.j2").render(title=title, body=body)


def safe(value: Any) -> str:
    """Returns a value as text, escaped for Markdown and HTML.

    Args:
        value: The value.
    """
    return plain(word(value))


def estimated(estimate: Estimate) -> str:
    """Formats a value with its interval, if it has one.

    Args:
        estimate: The value and its interval.
    """
    if math.isnan(estimate.value):
        return "–"
    value = number(estimate.value)
    if math.isnan(estimate.low):
        return value
    return f"{value} ({number(estimate.low)} to {number(estimate.high)})"


def number(value: float) -> str:
    """Formats a number with three decimals; with more if it would otherwise round to 0, 1 or -1.

    From 10 on it has fewer.

    Args:
        value: The number.
    """
    if math.isnan(value):
        return "–"
    if abs(value) >= 999.95:
        return f"{value:,.0f}".replace("-", "−")
    if abs(value) >= 9.9995:
        return f"{value:.1f}".replace("-", "−")
    places = 3
    while places < MOST_PLACES and value not in (0, 1, -1) and abs(round(value, places)) in (0, 1):
        places += 1
    return f"{value + 0.0:.{places}f}".replace("-", "−")


def p_value(value: float) -> str:
    """Formats a p-value.

    Args:
        value: The p-value; NaN if there was no test.
    """
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def verdict(p: float, decidable: bool) -> str:
    """Says in words what a corrected p-value means.

    Args:
        p: The p-value; NaN if there was no test.
        decidable: Whether the samples were large enough to show a difference at all.
    """
    if math.isnan(p):
        return ""
    return told(p < 1 - CONFIDENCE, decidable)


def told(apart: bool, decidable: bool) -> str:
    """Says in words whether two samples differ.

    Args:
        apart: Whether they differ significantly.
        decidable: Whether they were large enough to show a difference at all.
    """
    if apart:
        return "different"
    return "not told apart" if decidable else "too few seeds to tell"
