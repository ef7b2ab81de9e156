"""The checkpoints of finished runs: the best is kept, the others only serve to continue the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from echo_exp.tracking.cleaning.files import Removable, delete, names

PARTIAL = ".partial"
"""How a checkpoint ends while it is being written."""


@dataclass(frozen=True)
class Naming:
    """What the files of checkpoints are called.

    Attributes:
        folder: The folder of a run's checkpoints.
        best: The file in it of the best network.
    """

    folder: str
    best: str


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run in one folder.

    Attributes:
        folder: Where they are.
        files: Their paths and bytes.
    """

    folder: Path
    files: Sequence[tuple[str, int]]

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(size for _, size in self.files)

    def but(self, best: str) -> Removable | None:
        """Returns all but the best; None if there is no best, or nothing else."""
        kept = str(self.folder / best)
        others = [size for path, size in self.files if path != kept]
        if not others or len(others) == len(self.files):
            return None
        return Removable(self.folder, sum(others), partial(_delete_but, self.folder, best))

    def torn(self) -> list[Removable]:
        """Returns those that were being written when a process was killed."""
        return [
            Removable(Path(path), size, partial(delete, Path(path)))
            for path, size in self.files
            if path.endswith(PARTIAL)
        ]


def _delete_but(folder: Path, best: str) -> None:
    for name in names(folder):
        if name != best:
            delete(folder / name)
