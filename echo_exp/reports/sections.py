"""A section that the report of a study may have beyond its comparisons."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        answer: What it says in one sentence, with which the report begins.
        text: The section in Markdown; it shows a figure as ``![what](name.png)``.
        figures: Its figures, by name.
        tables: Its tables, by name; each is a CSV file.
    """

    answer: str
    text: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
