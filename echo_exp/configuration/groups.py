"""The groups and the root settings of a configuration, and where its files are."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
FOLDER = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())
"""The folder of the configuration: inside an installed package, or beside it in a checkout."""

GROUPS = ("problem", "missing", "model", "representation", "optimizer", "trainer", "tracking")
STUDY, SEARCH = "study", "search"
WHOLE = (STUDY, SEARCH)
"""Groups whose options make many runs."""
WHOLE_PROGRAM = ("config", "report", "pairs")
"""The files of settings that include all settings of a training."""
TARGET = "_target_"
"""The key of a group that names the class to build from its settings."""
LAUNCH = "launch"
"""A group that is not part of a job's configuration."""
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
