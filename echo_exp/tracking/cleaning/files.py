"""Measures the disk space that files use, and deletes files."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Removable:
    """Something that can be removed.

    Attributes:
        path: Its path; a description if it is not a file.
        size: Bytes that its removal frees.
        remove: Removes it. If it is killed halfway, the next survey finds the rest.
    """

    path: Path
    size: int
    remove: Callable[[], None]


@dataclass(frozen=True)
class Scale:
    """Measures files while other processes write and delete them.

    Attributes:
        unreadable: Folders that could not be read.
    """

    unreadable: list[str] = field(default_factory=list)

    def files(self, folder: Path) -> Iterator[tuple[str, int]]:
        """Yields the path and the size in bytes of each file below a folder; follows no links."""
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
        """Returns the bytes of a file, or of all files below a folder; 0 if nothing is there."""
        if path.is_dir() and not path.is_symlink():
            return sum(size for _, size in self.files(path))
        try:
            return path.lstat().st_size
        except OSError:
            return 0


def names(folder: Path) -> list[str]:
    """Returns the sorted names in a folder; an empty list if it cannot be read."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def delete(path: Path) -> None:
    """Deletes a file or a folder, if it exists.

    Raises:
        OSError: It cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        try:
            shutil.rmtree(path)
        except FileNotFoundError:  # another process has deleted something in it
            shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _bytes(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return None
