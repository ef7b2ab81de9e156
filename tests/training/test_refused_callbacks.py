"""Which of Lightning's callbacks are refused, and that docs/own_model.md says so."""

import datetime
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
from pytorch_lightning import callbacks as lightning
from pytorch_lightning.callbacks import (
    EarlyStopping,
    ModelCheckpoint,
    Timer,
    TQDMProgressBar,
)

from echo_exp.settings import SettingError
from echo_exp.training.callbacks import check, check_together

from .stacks import SETTINGS

PAGE = Path(__file__).parents[2] / "docs" / "own_model.md"


ROW = re.compile(r"\| (?P<names>`.*?) \| (?P<says>.*) \|")


class _Finetuning(lightning.BaseFinetuning):
    pass


class _Writer(lightning.BasePredictionWriter):
    pass


REFUSED: dict[str, tuple[Callable[[], pl.Callback], str]] = {
    "BackboneFinetuning": (lightning.BackboneFinetuning, "at Lightning epochs"),
    "BaseFinetuning": (_Finetuning, "at Lightning epochs"),
    "BasePredictionWriter": (lambda: _Writer("batch"), "echo-exp-predict"),
    "BatchSizeFinder": (lightning.BatchSizeFinder, "`batch_size=` sets it"),
    "EMAWeightAveraging": (lightning.EMAWeightAveraging, "best.ckpt"),
    "GradientAccumulationScheduler": (
        lambda: lightning.GradientAccumulationScheduler({0: 2}),
        "`batch_size=` sets their size",
    ),
    "LearningRateFinder": (lightning.LearningRateFinder, "a search finds the rate"),
    "ModelPruning": (lambda: lightning.ModelPruning("l1_unstructured"), "Lightning epochs"),
    "SpikeDetection": (lightning.SpikeDetection, "one loss per batch"),
    "StochasticWeightAveraging": (
        lambda: lightning.StochasticWeightAveraging(0.1),
        "Lightning epochs",
    ),
    "WeightAveraging": (lightning.WeightAveraging, "best.ckpt"),
}


NEVER: dict[str, tuple[Callable[[], pl.Callback], str]] = {
    "epochs between checkpoints": (lambda: ModelCheckpoint(every_n_epochs=5), "every_n_epochs"),
    "time between checkpoints": (
        lambda: ModelCheckpoint(train_time_interval=datetime.timedelta(minutes=1)),
        "train_time_interval",
    ),
    "timer of epochs": (lambda: Timer({"seconds": 3}, interval="epoch"), "interval=epoch"),
    "no time": (lambda: Timer({"seconds": 0}), "no time to train"),
    "stopping after epochs": (
        lambda: EarlyStopping("val/loss", check_on_train_epoch_end=True),
        "check_on_train_epoch_end",
    ),
}


@pytest.mark.parametrize("name", [*REFUSED, *NEVER])
@pytest.mark.filterwarnings("ignore")
def test_callbacks_without_effect_here_are_refused_by_name(name: str) -> None:
    make, reason = (REFUSED | NEVER)[name]
    callback = make()
    message = rf"^callbacks.x={type(callback).__name__} is not allowed: .*{re.escape(reason)}"
    with pytest.raises(SettingError, match=message):
        check("callbacks.x", callback)


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        ((Timer(), Timer()), "more than one stateful callback of type `Timer`"),
        ((TQDMProgressBar(), TQDMProgressBar()), "multiple progress bar callbacks"),
    ],
)
def test_callbacks_that_lightning_does_not_combine_are_refused(
    pair: tuple[pl.Callback, ...], reason: str
) -> None:
    with pytest.raises(SettingError, match=f"^callbacks=.*{reason}"):
        check_together("callbacks", pair, SETTINGS)


def _page() -> dict[str, str]:
    """Returns what the page says of each callback."""
    text = PAGE.read_text(encoding="utf-8").partition("### Lightning's own")[2]
    rows = [match for match in map(ROW.fullmatch, text.splitlines()) if match]
    return {name: row["says"] for row in rows for name in re.findall(r"`(\w+)`", row["names"])}


def test_the_page_describes_every_callback_of_lightning() -> None:
    says = _page()
    assert sorted(says) == sorted(lightning.__all__)
    refused = {name for name, text in says.items() if text.startswith("refused")}
    assert refused == set(REFUSED)
