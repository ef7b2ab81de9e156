"""What is written beside the code: the pages of the documentation, and what the project is."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
