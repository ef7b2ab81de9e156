"""Checkpoints of finished runs: the best is kept, the others are only needed to resume the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from echo_exp.tracking.cleaning.files import Removable, delete, names

PARTIAL = ".partial"
"""Suffix of a checkpoint that is still being written."""


@dataclass(frozen=True)
class Naming:
    """The names of a run's checkpoints.

    Attributes:
        folder: Name of the folder of checkpoints.
        best: Name of the best network's checkpoint in that folder.
    """

    folder: str
    best: str


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run in one folder.

    Attributes:
        folder: The folder.
        files: The path and the size in bytes of each.
    """

    folder: Path
    files: Sequence[tuple[str, int]]

    @property
    def size(self) -> int:
        """Their total size in bytes."""
        return sum(size for _, size in self.files)

    def but(self, best: str) -> Removable | None:
        """Returns all checkpoints but the best, without unfinished ones.

        Args:
            best: Name of the best one.

        Returns:
            The others; None if there are none, or if the best one is missing.
        """
        kept = str(self.folder / best)
        whole = [(path, size) for path, size in self.files if not path.endswith(PARTIAL)]
        others = [size for path, size in whole if path != kept]
        if not others or len(others) == len(whole):
            return None
        return Removable(self.folder, sum(others), partial(_delete_all_but, self.folder, best))

    def torn(self) -> list[Removable]:
        """Returns the unfinished checkpoints of a killed process."""
        return [
            Removable(Path(path), size, partial(delete, Path(path)))
            for path, size in self.files
            if path.endswith(PARTIAL)
        ]


def _delete_all_but(folder: Path, best: str) -> None:
    for name in names(folder):
        if name != best:
            delete(folder / name)
