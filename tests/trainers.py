"""Small trainings for the tests."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from echo_exp import EchoDataModule, EchoModule, EchoProblem, OneHot, Seq2Seq

PROBLEM = EchoProblem(length=10, n_values=6, n_in=3, n_out=3)  # 8 windows
BATCH = 4  # 2 updates an epoch


def make_module(seeds: Sequence[int] = (0,), **changes: Any) -> EchoModule:
    """A small seq2seq net, one replica a seed."""
    representation = OneHot(PROBLEM.n_values)
    model = Seq2Seq(
        n_features=PROBLEM.n_values,
        n_outputs=PROBLEM.n_values,
        n_in=PROBLEM.n_in,
        n_out=PROBLEM.n_out,
        units=8,
        seeds=seeds,
    )
    arguments: dict[str, Any] = {
        "model": model,
        "problem": PROBLEM,
        "representation": representation,
        "batch_size": BATCH,
    }
    return EchoModule(**arguments | changes)


def make_data(epochs: int, seeds: Sequence[int] = (0,), block: int = 5) -> EchoDataModule:
    """Sequences for it."""
    return EchoDataModule(PROBLEM, epochs, seeds, block, validation_sequences=3, test_sequences=4)


def make_trainer(*callbacks: pl.Callback, validate: int = 1, **changes: Any) -> pl.Trainer:
    """A user's own trainer, which validates after a number of blocks."""
    arguments: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "callbacks": list(callbacks),
        "check_val_every_n_epoch": None,
        "val_check_interval": validate,
        "num_sanity_val_steps": 0,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(**arguments | changes)


class Recorder(pl.Callback):
    """Keeps what the training steps return."""

    def __init__(self) -> None:
        self.losses: list[list[float]] = []
        self.accuracies: list[list[float]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.losses += outputs["loss"].tolist()
        self.accuracies += outputs["accuracy"].tolist()
