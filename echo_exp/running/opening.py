"""Opens the tracking store of a configuration."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path

from omegaconf import DictConfig

from echo_exp import configuration
from echo_exp.settings import SettingError
from echo_exp.tracking import DeletedError, Store, TrackingError, TrackingSettings


def open_store(config: DictConfig) -> Store | None:
    """Opens the tracking store of a configuration, once per process.

    Returns:
        The store; None if nothing is tracked.

    Raises:
        SettingError: A setting of ``tracking`` is unknown or has a value that is not allowed.
    """
    settings = configuration.tracking(config)
    return None if settings.uri is None else _store(settings, Path.cwd())


@cache
def _store(settings: TrackingSettings, _folder: Path) -> Store:
    """Opens a store; relative paths in its settings are relative to the folder."""
    return Store(**asdict(settings))


@contextlib.contextmanager
def reached(config: DictConfig) -> Iterator[None]:
    """Names the setting of a tracking store that cannot be used when a run starts.

    Raises:
        SettingError: The store cannot be used.
    """
    try:
        yield
    except DeletedError as error:
        reason = f"{error}, or tracking.experiment=another chooses another"
        raise SettingError("tracking.experiment", config.tracking.experiment, reason) from error
    except TrackingError as error:
        reason = f"it cannot be used ({error})"
        raise SettingError("tracking.uri", config.tracking.uri, reason) from error
