"""Commands as they are printed for people to type."""

import shutil
import sys
from pathlib import Path


def program(name: str) -> str:
    """Returns how a program of this Python environment is called: its path where it must be."""
    ours = Path(sys.executable).with_name(name)
    return str(ours) if ours.exists() and shutil.which(name) != str(ours) else name
