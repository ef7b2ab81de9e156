"""What each of Lightning's callbacks does here."""

import dataclasses
import logging
import signal
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks as lightning
from pytorch_lightning.callbacks import (
    DeviceStatsMonitor,
    EarlyStopping,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    OnExceptionCheckpoint,
    ProgressBar,
    RichModelSummary,
    RichProgressBar,
    ThroughputMonitor,
    Timer,
    TQDMProgressBar,
)

from echo_exp import EchoModule
from echo_exp.tracking import Run
from echo_exp.tracking.clock import Clock
from echo_exp.training import experiment
from echo_exp.training.callbacks import check
from echo_exp.training.checkpoint_names import BEST, LAST
from echo_exp.training.checkpoints import load
from echo_exp.training.interrupts import Interrupted, Interrupts
from echo_exp.training.outcome import Outcome

from .stacks import SETTINGS, make_parts

EPOCHS = 30
"""Three blocks of ten, each with a validation."""


class _Run:
    """Keeps what is logged, instead of a store."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.points: dict[str, list[tuple[int, float]]] = defaultdict(list)

    def log_metrics(
        self, steps: Sequence[int], values: Mapping[str, Sequence[float]], _: object = None
    ) -> None:
        for name, series in values.items():
            self.points[name] += zip(steps, series, strict=True)

    def steps(self, name: str) -> list[int]:
        return [step for step, _ in self.points[name]]

    def flush(self) -> None:
        pass

    def settle(self) -> None:
        pass


class Trained:
    """Trains a small network in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = _Run()
        self.settings = SETTINGS

    def __call__(
        self, *callbacks: pl.Callback, goes_on: bool = False, interrupts: Interrupts | None = None
    ) -> Outcome:
        for callback in callbacks:
            check("callbacks", callback)
        checkpoint = load(self.folder / "checkpoints" / LAST) if goes_on else None
        return experiment.train(
            make_parts((0,), EPOCHS),
            self.settings,
            cast("Run", self.run),
            self.folder / "checkpoints",
            interrupts or Interrupts(),
            checkpoint,
            callbacks,
        )

    def files(self, folder: str = "callbacks/checkpoints") -> list[str]:
        return sorted(path.name for path in (self.folder / folder).glob("*"))


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    return Trained(tmp_path)


class Mine(pl.Callback):
    """Logs in every way."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        assert isinstance(pl_module, EchoModule)
        pl_module.log("block", float(pl_module.epochs))
        pl_module.log("mean", float(pl_module.epochs), on_step=False, on_epoch=True)
        assert trainer.logger is not None
        trainer.logger.log_metrics({"direct": 1.0}, step=trainer.global_step)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("val/mine", 2.0)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("test/mine", 3.0)


def test_values_logged_by_a_callback_are_recorded_at_their_epoch(trained: Trained) -> None:
    trained(Mine())
    points = trained.run.points
    assert points["block"] == [(10, 10.0), (20, 20.0), (30, 30.0)]
    assert points["mean"] == [(30, 20.0)]  # Lightning's epoch is the training
    assert points["direct"] == [(10, 1.0), (20, 1.0), (30, 1.0)]
    assert points["val/mine"] == [(10, 2.0), (20, 2.0), (30, 2.0)]
    assert points["test/mine"] == [(0, 3.0)]  # beside the final scores


def test_the_modules_own_scores_are_recorded_once_and_nothing_else_is(trained: Trained) -> None:
    trained(pl.Callback())
    with_one = dict(trained.run.points)
    alone = Trained(trained.folder)
    alone()
    assert with_one == alone.run.points
    assert trained.run.steps("train/loss") == list(range(1, EPOCHS + 1))


def test_without_callbacks_there_is_no_logger(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(experiment, "RunLogger", lambda *_: made.append(1))
    trained()
    assert made == []


def test_learning_rate_monitor(trained: Trained) -> None:
    trained(LearningRateMonitor(log_momentum=True))
    assert trained.run.points["lr-Adam"] == [(1, 1e-3), (10, 1e-3), (20, 1e-3)]


def test_device_stats_monitor(trained: Trained) -> None:
    trained(DeviceStatsMonitor())
    assert trained.run.steps("DeviceStatsMonitor.on_train_batch_end/cpu_percent") == [10, 20, 30]


def test_throughput_monitor(trained: Trained) -> None:
    trained(ThroughputMonitor(batch_size_fn=len))
    assert trained.run.points["train/samples"] == [(10, 10.0), (20, 20.0), (30, 30.0)]


@pytest.mark.parametrize("metric", ["val/loss", "train/loss"])
def test_early_stopping(trained: Trained, metric: str) -> None:
    outcome = trained(EarlyStopping(metric, stopping_threshold=100.0))
    assert outcome.curves["train/loss"][0][-1] == 10


def test_timer(trained: Trained) -> None:
    timer = Timer(duration={"days": 1})
    timer.load_state_dict({"time_elapsed": {"train": 24 * 3600 - 1e-9}})
    outcome = trained(timer)
    assert outcome.curves["train/loss"][0][-1] == 10


def test_model_checkpoint_after_each_validation(trained: Trained) -> None:
    kept = ModelCheckpoint(monitor="val/loss", save_top_k=2, save_last=True)
    trained(kept)
    assert trained.files() == ["epoch=0-step=2.ckpt", "epoch=0-step=3.ckpt", "last.ckpt"]
    assert trained.files("checkpoints") == [BEST, LAST]
    content = torch.load(kept.best_model_path, weights_only=True)
    assert content["echo_epochs"] == 30


def test_model_checkpoint_every_few_blocks_in_a_given_folder(
    trained: Trained, tmp_path: Path
) -> None:
    blocks = ModelCheckpoint(tmp_path / "there", monitor="train/loss", every_n_train_steps=2)
    trained(blocks)
    assert trained.files("there") == ["epoch=0-step=2.ckpt"]


class _Stop(pl.Callback):
    """Asks to stop after a block."""

    def __init__(self, interrupts: Interrupts, epochs: int) -> None:
        self.interrupts, self.epochs = interrupts, epochs

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        if pl_module.epochs == self.epochs:
            self.interrupts.pending = signal.SIGTERM


def test_callbacks_do_not_change_a_resumed_training(trained: Trained, tmp_path: Path) -> None:
    def mine() -> list[pl.Callback]:
        return [ModelCheckpoint(monitor="val/loss"), LearningRateMonitor()]

    whole = Trained(tmp_path / "whole")
    expected = whole()
    interrupts = Interrupts()
    with pytest.raises(Interrupted):
        trained(*mine(), _Stop(interrupts, 10), interrupts=interrupts)
    outcome = trained(*mine(), goes_on=True)
    for name, value in load(whole.folder / "checkpoints" / LAST)["state_dict"].items():
        assert torch.equal(load(trained.folder / "checkpoints" / LAST)["state_dict"][name], value)
    assert outcome.scores == expected.scores
    assert trained.files() == ["epoch=0-step=3.ckpt"]  # the first was forgotten for the better
    assert sorted(set(trained.run.steps("lr-Adam"))) == [1, 10, 20]


def test_on_exception_checkpoint(trained: Trained, tmp_path: Path) -> None:
    interrupts = Interrupts()
    kept = OnExceptionCheckpoint(tmp_path / "stopped")
    with pytest.raises(Interrupted):
        trained(kept, _Stop(interrupts, 10), interrupts=interrupts)
    assert torch.load(kept.ckpt_path, weights_only=True)["echo_epochs"] == 10
    trained(kept)
    assert trained.files("stopped") == []


def test_lambda_callback(trained: Trained) -> None:
    seen: list[int] = []
    trained(LambdaCallback(on_validation_end=lambda _, module: seen.append(module.epochs)))
    assert seen == [10, 20, 30]


@pytest.mark.parametrize("bar", [TQDMProgressBar, RichProgressBar])
def test_a_progress_bar_of_lightning_replaces_ours(
    trained: Trained, bar: Callable[[], ProgressBar], capsys: pytest.CaptureFixture[str]
) -> None:
    trained.settings = dataclasses.replace(SETTINGS, progress="lines")
    trained(pl.Callback())
    assert "epoch 30 of 30" in capsys.readouterr().err
    trained(bar())
    shown = capsys.readouterr()
    assert "Epoch 0" in shown.out + shown.err
    assert "epoch 30 of 30" not in shown.err


@pytest.mark.parametrize("base", [lightning.Callback, lightning.Checkpoint, ProgressBar])
def test_a_callback_derived_from_any_base_class_is_called(
    trained: Trained, base: type[pl.Callback]
) -> None:
    seen: list[int] = []

    class Own(base):  # type: ignore[misc,valid-type]
        def on_validation_end(self, _: pl.Trainer, pl_module: pl.LightningModule) -> None:
            assert isinstance(pl_module, EchoModule)
            seen.append(pl_module.epochs)

    trained(Own())
    assert seen == [10, 20, 30]


def test_model_summary(trained: Trained, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("pytorch_lightning")
    logger.addHandler(caplog.handler)
    try:
        trained(ModelSummary(max_depth=2))
    finally:
        logger.removeHandler(caplog.handler)
    assert "model.lstm" in caplog.text
    assert "GPU available" not in caplog.text


def test_rich_model_summary(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    trained(RichModelSummary(max_depth=2))
    assert "model.lstm" in capsys.readouterr().out
