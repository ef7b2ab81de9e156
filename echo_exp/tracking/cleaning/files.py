"""Files: how much space they use, and how they are removed."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Removable:
    """Something that can be removed.

    Attributes:
        path: Where it lies, or what it is called where it is no file.
        size: Bytes that are free afterwards.
        remove: Removes it. Killed in the middle, it leaves what the next survey finds again.
    """

    path: Path
    size: int
    remove: Callable[[], None]


@dataclass(frozen=True)
class Scale:
    """Measures files while others write and delete them.

    Attributes:
        unreadable: Folders that could not be read.
    """

    unreadable: list[str] = field(default_factory=list)

    def files(self, folder: Path) -> Iterator[tuple[str, int]]:
        """Yields the path and the bytes of each file below a folder; links are not followed."""
        folders = [str(folder)]
        while folders:
            path = folders.pop()
            try:
                with os.scandir(path) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        elif (size := _bytes(entry)) is not None:
                            yield entry.path, size
            except (FileNotFoundError, NotADirectoryError):  # it has just been deleted
                continue
            except OSError:
                self.unreadable.append(path)

    def size(self, path: Path) -> int:
        """Returns the bytes of a file, or of all below a folder; 0 where there is nothing."""
        if path.is_dir() and not path.is_symlink():
            return sum(size for _, size in self.files(path))
        try:
            return path.lstat().st_size
        except OSError:
            return 0


def names(folder: Path) -> list[str]:
    """Returns the names in a folder; none if it cannot be read."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def delete(path: Path) -> None:
    """Deletes a file or a folder; a missing one is not a failure.

    Raises:
        OSError: It cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        try:
            shutil.rmtree(path)
        except FileNotFoundError:  # of something in it: somebody else deletes too
            shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _bytes(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return None
