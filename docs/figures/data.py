"""Draws the way of the data through the program, as SVG: `python -m docs.figures.data`."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

FILE = Path(__file__).with_name("data.svg")
WIDTH, BOX, HEIGHT, GAP = 1000, 124, 46, 22
INK, FAINT, FILL = "#1f2933", "#66727f", "#eaf1f8"

ROWS = (
    (
        "a batch",
        (
            ("integers", "task/problem"),
            ("windows", "problem, missing"),
            ("encode", "task/representation"),
            ("model", "models/"),
            ("loss, decode", "representation"),
            ("integers", "training/evaluation"),
        ),
    ),
    (
        "a run",
        (
            ("settings", "configuration/"),
            ("training", "training/"),
            ("recorder", "training/recorder"),
            ("outbox", "a file of the run"),
            ("courier", "writer process"),
            ("store", "MLflow"),
        ),
    ),
    (
        "many runs",
        (
            ("study, search", "a question"),
            ("sweep", "jobs, claims"),
            ("launcher", "joblib, Ray, Slurm"),
            ("job", "a run, as above"),
        ),
    ),
    (
        "a network",
        (
            ("store", "MLflow"),
            ("reader", "tracking/access"),
            ("network", "network"),
            ("answers", "commands/predict"),
        ),
    ),
    (
        "a report",
        (
            ("store", "MLflow"),
            ("records", "reports/records"),
            ("answers", "reports/answers"),
            ("page", "reports/study_page"),
        ),
    ),
)
"""What follows what: the name of a row, and its boxes with what does them."""


def drawing() -> Iterator[str]:
    """Yields the lines of the SVG."""
    height = 18 + len(ROWS) * (HEIGHT + 2 * GAP)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">'
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
        f' markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="{FAINT}"/></marker></defs>'
    )
    yield f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
    yield '<g font-family="Helvetica, Arial, sans-serif" text-anchor="middle">'
    for row, (name, boxes) in enumerate(ROWS):
        y = 30 + row * (HEIGHT + 2 * GAP)
        yield _text(52, y + HEIGHT / 2 + 4, name, FAINT, 14, "italic")
        for place, (what, who) in enumerate(boxes):
            x = 112 + place * (BOX + GAP)
            if place:
                yield (
                    f'<path d="M{x - GAP} {y + HEIGHT / 2}H{x - 2}" stroke="{FAINT}"'
                    ' marker-end="url(#tip)"/>'
                )
            yield (
                f'<rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="5" fill="{FILL}"'
                f' stroke="{INK}"/>'
            )
            yield _text(x + BOX / 2, y + 20, what, INK, 15)
            yield _text(x + BOX / 2, y + 37, who, FAINT, 11.5)
    yield "</g></svg>"


def _text(x: float, y: float, text: str, colour: str, size: float, style: str = "normal") -> str:
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}" font-style="{style}">'
        f"{escape(text)}</text>"
    )


if __name__ == "__main__":
    FILE.write_text("\n".join(drawing()) + "\n", encoding="utf-8")
