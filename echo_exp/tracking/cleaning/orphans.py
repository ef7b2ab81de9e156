"""Artifacts of runs and models that are no longer in the store.

Artifacts of another store in the same folder are not orphans. A run's configuration names its
store. Folders without one, such as those of sweeps and models, count as orphans only if no
folder of a missing run names another store.
"""

import re
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import yaml

from echo_exp.tracking.cleaning.files import Removable, Scale, delete, names
from echo_exp.tracking.cleaning.known import Known
from echo_exp.tracking.settings import CONFIG
from echo_exp.tracking.writer.outbox import named

MODELS = "models"
RUN = re.compile(r"[0-9a-f]{32}")
MODEL = re.compile(r"m-[0-9a-f]{32}")
TRACKING = re.compile(r"^tracking:\n((?: +.*\n)+)", re.MULTILINE)


def there(artifacts: Path) -> tuple[list[str], list[str]]:
    """Returns the names of the folders of runs, and of those of models.

    Call it before reading the store: MLflow makes a row before it makes the folder.
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
        uri: The store's URI.
        found: The folders that `there` returned before the store was read.
        known: The runs and models of the store.
        scale: Measures the folders.
    """
    runs, models = found
    lost = [artifacts / name for name in runs if name not in known.runs]
    stores = {folder: _store(folder, artifacts) for folder in lost}
    ours = named(uri, artifacts)
    only_ours = set(stores.values()) <= {ours, None}
    folders = [
        folder for folder in lost if stores[folder] == ours or (only_ours and not stores[folder])
    ]
    if only_ours:
        folders += [artifacts / MODELS / name for name in models if name not in known.models]
    for folder in folders:
        yield Removable(folder, scale.size(folder), partial(delete, folder))


def _store(folder: Path, artifacts: Path) -> str | None:
    """Returns the name of a run's store from its stored configuration; None if it has none.

    The path of an SQLite file is relative to the artifacts, because both may have been moved.
    """
    try:
        text = (folder / "artifacts" / CONFIG).read_text(encoding="utf-8")
        section = TRACKING.search(text)
        settings = yaml.safe_load(section.group(1)) if section else {}
        return named(settings["uri"], Path(settings["artifacts"] or artifacts))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
