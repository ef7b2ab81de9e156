"""Writes measurements to files, as tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd


def save_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    """Writes columns as a Parquet file."""
    pd.DataFrame(columns).to_parquet(path)
