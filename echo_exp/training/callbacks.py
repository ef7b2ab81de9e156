"""Refuses those of Lightning's callbacks that would not do here what their documentation says.

Here a training is one Lightning epoch, a block of tutorial epochs is one Lightning batch, and the
module itself makes the updates, inside a block.
"""

from collections.abc import Sequence

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import (
    BaseFinetuning,
    BasePredictionWriter,
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    SpikeDetection,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)

from echo_exp.settings import SettingError
from echo_exp.training.experiment import quiet
from echo_exp.training.settings import TrainerSettings
from echo_exp.training.trainer import lightning_trainer

ONE_EPOCH = "and here a training is a single one"
REFUSED: dict[type[pl.Callback], str] = {
    BaseFinetuning: f"it unfreezes layers at Lightning epochs, {ONE_EPOCH}",
    BasePredictionWriter: "a run predicts nothing; `echo-exp-predict` does",
    BatchSizeFinder: "the batch size changes what is learned; `batch_size=` sets it",
    GradientAccumulationScheduler: "Lightning does not make the updates; `batch_size=` sets their "
    "size",
    LearningRateFinder: "Lightning does not make the updates; a sweep over "
    "`optimizer.learning_rate=` or a search finds the rate",
    ModelPruning: f"it prunes at the end of Lightning epochs, {ONE_EPOCH}",
    SpikeDetection: "it expects one loss per batch, but a block has one for each epoch and replica",
    StochasticWeightAveraging: f"it averages the weights of Lightning epochs, {ONE_EPOCH}",
    WeightAveraging: "`best.ckpt` would not hold the averaged weights that were validated",
}
"""Why a class of callbacks cannot be used, and neither can its subclasses."""


def check(key: str, callback: object) -> None:
    """Checks that a callback does here what its documentation says.

    Args:
        key: The setting that names it, for messages.
        callback: The callback.

    Raises:
        SettingError: It would not, or it is not a callback.
    """
    name = type(callback).__name__
    if not isinstance(callback, pl.Callback):
        raise SettingError(key, name, "it must be a pytorch_lightning.Callback")
    refused = (reason for kind, reason in REFUSED.items() if isinstance(callback, kind))
    reason = next(refused, None) or _without_effect(callback)
    if reason is not None:
        raise SettingError(key, name, reason)


def check_together(key: str, callbacks: Sequence[pl.Callback], settings: TrainerSettings) -> None:
    """Checks that Lightning accepts the callbacks together.

    Args:
        key: The setting that names them, for messages.
        callbacks: All of them.
        settings: The trainer's settings.

    Raises:
        SettingError: It does not; for example, a checkpoint could not tell two of them apart.
    """
    if not callbacks:
        return
    try:
        with quiet():
            lightning_trainer(settings, list(callbacks))
    except (MisconfigurationException, RuntimeError) as error:
        names = ", ".join(type(callback).__name__ for callback in callbacks)
        raise SettingError(key, names, str(error).split(". ")[0]) from error


def _without_effect(callback: pl.Callback) -> str | None:
    """Returns why the settings of a callback would have no effect; None if they have one."""
    if isinstance(callback, ModelCheckpoint):
        if callback._train_time_interval is not None:
            return "Lightning ignores its train_time_interval if a module makes the updates itself"
        if (callback.every_n_epochs or 0) > 1:
            return (
                f"its every_n_epochs counts Lightning epochs, {ONE_EPOCH}; "
                "1 saves after each validation, and every_n_train_steps counts blocks"
            )
    if isinstance(callback, Timer):
        if callback._interval == "epoch":
            return f"its interval=epoch acts at the end of Lightning epochs, {ONE_EPOCH}"
        remaining = callback.time_remaining()
        if remaining is not None and remaining <= 0:
            return "its duration leaves no time to train"
    if isinstance(callback, EarlyStopping) and callback._check_on_train_epoch_end:
        return f"its check_on_train_epoch_end acts at the end of Lightning epochs, {ONE_EPOCH}"
    return None
