"""Lightning's trainer and its device."""

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from pytorch_lightning.plugins.io import TorchCheckpointIO

from echo_exp.settings import SettingError
from echo_exp.training.checkpoints import CheckpointFile
from echo_exp.training.logger import RunLogger
from echo_exp.training.settings import TrainerSettings


def check_device(accelerator: str) -> None:
    """Checks that PyTorch can use the device.

    Args:
        accelerator: ``cpu`` or ``gpu``.

    Raises:
        SettingError: PyTorch cannot use it.
    """
    if accelerator == "cpu" or torch.cuda.is_available():
        return
    if torch.version.cuda is None:
        reason = (
            f"this PyTorch ({torch.__version__}) was built without CUDA; in a checkout, "
            "`make setup TORCH_BACKEND=cu126` installs one that was built with it"
        )
    else:
        reason = (
            f"PyTorch {torch.__version__} finds no GPU through CUDA {torch.version.cuda}; "
            "`nvidia-smi` shows whether there is one with a driver"
        )
    raise SettingError("trainer.accelerator", accelerator, reason)


def lightning_trainer(
    settings: TrainerSettings,
    callbacks: list[pl.Callback],
    checkpoints: TorchCheckpointIO | None = None,
    validate_blocks: int | None = None,
    logger: RunLogger | None = None,
) -> pl.Trainer:
    """Returns a Lightning trainer whose one epoch holds all tutorial epochs.

    Args:
        settings: The trainer's settings.
        callbacks: All callbacks.
        checkpoints: Writes checkpoints; `CheckpointFile` by default.
        validate_blocks: Blocks between two validations; by default as the settings have it.
        logger: Records what callbacks log.
    """
    blocks = settings.validate_every // settings.block
    return pl.Trainer(
        accelerator="cuda" if settings.accelerator == "gpu" else "cpu",
        devices=1,
        max_epochs=1,
        callbacks=callbacks,
        plugins=[
            checkpoints or CheckpointFile(),
            LightningEnvironment(),
        ],  # one process, even under Slurm
        check_val_every_n_epoch=None,
        val_check_interval=validate_blocks or blocks,
        num_sanity_val_steps=0,
        detect_anomaly=settings.detect_anomaly,
        logger=logger or False,
        log_every_n_steps=1,
        enable_checkpointing=any(isinstance(each, Checkpoint) for each in callbacks),
        enable_progress_bar=any(isinstance(each, ProgressBar) for each in callbacks),
        enable_model_summary=False,
    )
