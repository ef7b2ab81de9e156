"""What every command does around its own work: composes its settings, explains what is wrong."""

import io
import os
import sys
from collections.abc import Callable

import hydra
from omegaconf import DictConfig

from echo_exp import config as configuration
from echo_exp import mistakes
from echo_exp.tracking.store import QUIET

CONFIG = "config"


def run(body: Callable[[DictConfig], None], settings: str, several: bool = False) -> None:
    """Runs a command and exits: 0 done, 1 failed, 2 a setting is wrong, 128 + n a signal.

    Args:
        body: The command's own work on its composed settings.
        settings: Name of the file in ``conf`` that has them; of `CONFIG` each body checks its own.
        several: Whether one call may be many runs.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may have no ± or →
        sys.stdout.reconfigure(errors="replace")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not several:
        sys.argv.append("hydra.mode=RUN")

    @hydra.main(version_base="1.3", config_path=str(configuration.FOLDER), config_name=settings)
    def composed(config: DictConfig) -> None:
        with mistakes.explained(settings):  # here too: Hydra prints its own line for what leaves it
            if settings != CONFIG:
                configuration.check_keys(config, settings)
            body(config)

    with mistakes.explained(settings):
        composed()
