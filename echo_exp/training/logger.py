"""A Lightning logger that sends what callbacks log to the run, beside the recorder's metrics."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from echo_exp.tracking import Run

WRITTEN = "callbacks"
"""Folder of a run's artifacts for what callbacks write."""
NOT_IN_NAMES = re.compile(r"[^\w./: -]")
"""Characters that MLflow does not allow in the name of a metric."""


class RunLogger(Logger):
    """Records what callbacks log by ``pl_module.log`` or ``trainer.logger.log_metrics``.

    Lightning's steps count blocks. Here the step of a metric is the tutorial epoch, whatever step
    is given.

    Args:
        run: Where the metrics go; None discards them.
        folder: Where callbacks write; Lightning puts their checkpoints into its ``checkpoints``.
        epoch: Returns the step of what is measured now.
    """

    def __init__(self, run: Run | None, folder: Path, epoch: Callable[[], int]) -> None:
        super().__init__()
        self._run = run
        self._folder = folder
        self._epoch = epoch
        self._last: dict[str, tuple[int, float]] = {}

    @property
    def name(self) -> str:
        """Empty, because Lightning would make a folder of it."""
        return ""

    @property
    def version(self) -> str:
        """Empty, because Lightning would make a folder of it."""
        return ""

    @property
    def save_dir(self) -> str:
        """Where callbacks write; also Lightning's ``trainer.log_dir``."""
        return str(self._folder)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Records numbers, or tensors of one element; a repeated point is recorded once."""
        epoch = self._epoch()
        points = {
            NOT_IN_NAMES.sub("_", name): (epoch, float(value))
            for name, value in metrics.items()
            if name != "epoch"  # Lightning adds its own, which never changes
        }
        new = {name: [point[1]] for name, point in points.items() if self._last.get(name) != point}
        self._last |= points
        if self._run is not None and new:
            self._run.log_metrics([epoch], new)

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Does nothing: the parameters of a run are its settings."""
