"""Artifacts that belong to no run: their rows are no longer in the store.

What another store has beside ours in the same folder is none. A run's configuration names its
store; a folder without one, such as that of a sweep, counts only where no other store is named.
"""

import re
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import yaml

from echo_exp.tracking.cleaning.files import Removable, Scale, delete, names
from echo_exp.tracking.cleaning.known import Known
from echo_exp.tracking.writer.outbox import named

CONFIG = "config.yaml"
MODELS = "models"
RUN = re.compile(r"[0-9a-f]{32}")
MODEL = re.compile(r"m-[0-9a-f]{32}")
TRACKING = re.compile(r"^tracking:\n((?: +.*\n)+)", re.MULTILINE)


def there(artifacts: Path) -> tuple[list[str], list[str]]:
    """Returns the names of the folders of runs and of models.

    They are to be read before the store: MLflow makes a row before it makes the folder.
    """
    models = [name for name in names(artifacts / MODELS) if MODEL.fullmatch(name)]
    return [name for name in names(artifacts) if RUN.fullmatch(name)], models


def orphans(
    artifacts: Path,
    uri: str,
    found: tuple[Collection[str], Collection[str]],
    known: Known,
    scale: Scale,
) -> Iterator[Removable]:
    """Yields artifacts of a store that belong to none of its runs and models.

    Args:
        artifacts: The folder of the artifacts.
        uri: The store.
        found: What was there before the store was read, see `there`.
        known: What the store has.
        scale: Measures.
    """
    runs, models = found
    lost = [artifacts / name for name in runs if name not in known.runs]
    stores = {folder: _store(folder, artifacts) for folder in lost}
    ours = named(uri, artifacts)
    alone = set(stores.values()) <= {ours, None}
    folders = [
        folder for folder in lost if stores[folder] == ours or (alone and not stores[folder])
    ]
    if alone:
        folders += [artifacts / MODELS / name for name in models if name not in known.models]
    for folder in folders:
        yield Removable(folder, scale.size(folder), partial(delete, folder))


def _store(folder: Path, artifacts: Path) -> str | None:
    """Returns what the store of a run is called, as its configuration has it; None without one.

    The path of an SQLite file is told from the artifacts on, since both may have been moved.
    """
    try:
        text = (folder / "artifacts" / CONFIG).read_text(encoding="utf-8")
        section = TRACKING.search(text)
        settings = yaml.safe_load(section.group(1)) if section else {}
        return named(settings["uri"], Path(settings["artifacts"] or artifacts))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
