"""Checkpoints are whole or absent, and nothing else is taken for one."""

import itertools
import math
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from echo_exp.training.checkpoint_names import BEST, LAST
from echo_exp.training.checkpoints import (
    CheckpointFile,
    Checkpoints,
    Kept,
    _whole,
    load,
    load_weights,
)
from echo_exp.training.interrupts import Interrupted, Interrupts
from echo_exp.training.module import EchoModule

from ..trainers import make_data, make_module, make_trainer


def test_an_interrupted_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), _whole(path) as partial:
        partial.write_text("ne", encoding="utf-8")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == "old"


def test_a_finished_write_replaces_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_text("old", encoding="utf-8")
    with _whole(path) as partial:
        partial.write_text("new", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"last\.ckpt is truncated or is not a checkpoint"):
        load(path)


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"state_dict": _Code()}, [1, 2]])
def test_foreign_content_is_refused_and_never_run(tmp_path: Path, content: object) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(content, path)
    with pytest.raises(ValueError, match="is not a checkpoint of echo_exp"):
        load(path)


class _Scored(pl.Callback):
    """Gives the result of each validation in turn, one after each block of 5 epochs."""

    def __init__(self, *scores: tuple[float, float]) -> None:
        self.scores = list(scores)
        self.weights: dict[int, dict[str, Tensor]] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, EchoModule)
        accuracy, loss = torch.tensor(self.scores.pop(0)).split(1)
        pl_module.scores = {"val/accuracy": accuracy, "val/loss": loss}
        state = {name: value.clone() for name, value in pl_module.state_dict().items()}
        self.weights[pl_module.epochs] = state


def _checkpoints(
    folder: Path,
    seconds: float = math.inf,
    interrupts: Interrupts | None = None,
    before: Callable[[], None] = lambda: None,
) -> Checkpoints:
    return Checkpoints(folder, seconds, 5, interrupts or Interrupts(), before)


def _train(checkpoints: Checkpoints, *scores: tuple[float, float]) -> _Scored:
    scored = _Scored(*scores)
    trainer = make_trainer(scored, checkpoints, plugins=[CheckpointFile()])
    trainer.fit(make_module(), make_data(5 * len(scores)))
    return scored


def test_the_best_is_the_first_with_the_highest_accuracy_then_the_lowest_loss(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "of" / "a run"
    scored = _train(
        _checkpoints(folder), (0.5, 1.0), (0.7, 3.0), (0.7, 2.0), (0.7, 2.0), (0.6, 1.0)
    )
    best, last = load_weights(folder / BEST), load(folder / LAST)
    assert (best["echo_epochs"], last["echo_epochs"]) == (15, 25)
    for name, value in scored.weights[15].items():
        assert torch.equal(best["state_dict"][name], value)
        assert name == "diverged" or not torch.equal(last["state_dict"][name], value)


def test_after_a_resume_only_a_better_score_replaces_the_best(tmp_path: Path) -> None:
    _train(_checkpoints(tmp_path), (0.7, 2.0))
    state = load(tmp_path / LAST)["callbacks"]["Checkpoints"]
    for score, epochs in (((0.6, 1.0), 5), ((0.8, 3.0), 10)):
        resumed = _checkpoints(tmp_path)
        resumed.load_state_dict(state)
        _train(resumed, (0.1, 9.0), score)
        assert load_weights(tmp_path / BEST)["echo_epochs"] == epochs


def test_checkpoints_are_written_at_intervals_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second passes between any two readings of the clock."""
    clock = SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr("echo_exp.training.checkpoints.time", clock)
    written: list[int | None] = []  # the epoch of the checkpoint that was there before

    def note() -> None:
        there = (tmp_path / LAST).exists()
        written.append(load(tmp_path / LAST)["echo_epochs"] if there else None)

    _train(_checkpoints(tmp_path, 3, before=note), *[(0.5, 1.0)] * 6)
    assert written == [None, 10, 25]


def test_a_signal_stops_between_blocks_after_a_last_checkpoint(tmp_path: Path) -> None:
    interrupts = Interrupts()

    class Stop(_Scored):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            super().on_validation_end(trainer, pl_module)
            if max(self.weights) == 10:
                signal.raise_signal(signal.SIGTERM)

    trainer = make_trainer(Stop(*[(0.5, 1.0)] * 4), _checkpoints(tmp_path, interrupts=interrupts))
    with interrupts, pytest.raises(Interrupted, match="SIGTERM"):
        trainer.fit(make_module(), make_data(20))
    assert load(tmp_path / LAST)["echo_epochs"] == 10


def test_after_the_training_signals_are_passed_on(tmp_path: Path) -> None:
    with Interrupts() as interrupts:
        _train(_checkpoints(tmp_path, interrupts=interrupts), (0.5, 1.0))
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("stop", [5, 15, 20])
def test_a_resumed_training_validates_where_it_would_have(tmp_path: Path, stop: int) -> None:
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
            if pl_module.epochs == stop:
                interrupts.pending = signal.SIGTERM

    interrupts = Interrupts()
    first = make_trainer(Stop(), _checkpoints(tmp_path, interrupts=interrupts), validate=3)
    with pytest.raises(Interrupted):
        first.fit(make_module(), make_data(45))
    scored = _Scored(*[(0.5, 1.0)] * 3)
    trainer = make_trainer(scored, _checkpoints(tmp_path), validate=3)
    trainer.fit(make_module(), make_data(45), ckpt_path=tmp_path / LAST, weights_only=True)
    assert list(scored.weights) == [epoch for epoch in (15, 30, 45) if epoch > stop]


def test_a_folder_deleted_while_a_checkpoint_is_written_is_created_again(
    tmp_path: Path,
) -> None:
    kept = Kept(tmp_path / "checkpoints")
    scores = {"val/accuracy": torch.tensor([0.5]), "val/loss": torch.tensor([1.0])}
    kept.judge(scores, {"weight": torch.ones(1)}, 5)
    deleted: list[Path] = []

    def save(path: Path) -> None:
        if not deleted:
            shutil.rmtree(kept.folder)
            deleted.append(kept.folder)
        path.write_bytes(b"weights")

    kept.write(save)
    assert (kept.folder / LAST).read_bytes() == b"weights"
    assert load_weights(kept.folder / BEST)["echo_epochs"] == 5
