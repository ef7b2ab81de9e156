"""How a network is trained and scored: the settings that do not define the experiment itself."""

import math
from dataclasses import dataclass
from enum import StrEnum

from echo_exp import settings

AUTO = "auto"
LARGEST_BLOCK = 25
"""Epochs in a block at most: Lightning's overhead, paid once per block, is then negligible."""


class Display(StrEnum):
    """What is shown while training: ``auto`` is a bar on a terminal and lines elsewhere."""

    AUTO = "auto"
    BAR = "bar"
    LINES = "lines"
    NONE = "none"


@dataclass(frozen=True)
class TrainerSettings:
    """The trainer's settings.

    Args:
        accelerator: ``cpu``, or ``gpu`` for the first GPU that CUDA sees.
        threads: Threads of torch on the CPU; ``auto`` takes as many as pay for the networks.
        validate_every: Tutorial epochs between two validations.
        validation_sequences: Sequences of the validation set.
        test_sequences: Fresh sequences that the trained network is tested on.
        checkpoint_seconds: Seconds between two checkpoints.
        progress: What is shown while training, a `Display`.
        detect_anomaly: Whether autograd looks for the operation that made a NaN (slow).
        clip_norm: Largest norm of each network's gradient; a larger gradient is scaled down to it.
            None does not clip.

    Raises:
        SettingError: A value is not allowed.
    """

    accelerator: str
    threads: int | str
    validate_every: int
    validation_sequences: int
    test_sequences: int
    checkpoint_seconds: float
    progress: str
    detect_anomaly: bool
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        settings.choice("trainer.accelerator", self.accelerator, ("cpu", "gpu"))
        settings.choice("trainer.progress", self.progress, tuple(Display))
        settings.choice("trainer.detect_anomaly", self.detect_anomaly, (True, False))
        if self.threads != AUTO:
            settings.integer("trainer.threads", self.threads, 1, 1024, or_else=AUTO)
        settings.integer("trainer.validate_every", self.validate_every, 1)
        settings.integer("trainer.validation_sequences", self.validation_sequences, 1)
        settings.integer("trainer.test_sequences", self.test_sequences, 2)
        settings.number("trainer.checkpoint_seconds", self.checkpoint_seconds, above=0)
        if self.clip_norm is not None:
            settings.number("trainer.clip_norm", self.clip_norm, above=0)

    @property
    def block(self) -> int:
        """Epochs in a training step; they divide ``validate_every``, so validations end a block."""
        largest = min(LARGEST_BLOCK, self.validate_every)
        return next(n for n in range(largest, 0, -1) if self.validate_every % n == 0)

    def validates(self, epochs: int) -> bool:
        """Returns whether a training is validated at least once; its last block may be shorter.

        Args:
            epochs: Its tutorial epochs.
        """
        return math.ceil(epochs / self.block) * self.block >= self.validate_every
