"""What a configuration consists of: its groups and root settings, and where its files lie."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
FOLDER = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())
"""The configuration: inside an installed package, beside it in a checkout."""

GROUPS = ("problem", "missing", "model", "representation", "optimizer", "trainer", "tracking")
STUDY, SEARCH = "study", "search"
WHOLE = (STUDY, SEARCH)
"""Groups whose options are many runs."""
WHOLE_PROGRAM = ("config", "report", "pairs")
"""The files of settings that hold those of a training."""
TARGET = "_target_"
"""The key of a group that names what is made from its settings."""
LAUNCH = "launch"
"""A group that leaves nothing in the configuration of a job."""
CALLBACKS = "callbacks"
ROOT = (
    "seed",
    "replicas",
    "epochs",
    "batch_size",
    "resume",
    "sweep",
    "export",
    "inspect",
    CALLBACKS,
    "output_dir",
)
