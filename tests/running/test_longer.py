"""A longer run that continues a shorter one equals the run of all its epochs."""

import copy
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from echo_exp import configuration
from echo_exp.configuration import Settings
from echo_exp.running import longer
from echo_exp.settings import SettingError
from echo_exp.tracking import Run, Store, StoredRun
from echo_exp.training import checkpoints, experiment
from echo_exp.training.checkpoint_names import BEST, LAST
from echo_exp.training.checkpoints import WHOLE
from echo_exp.training.experiment import Parts
from echo_exp.training.interrupts import Interrupts
from echo_exp.training.outcome import Outcome

from ..trainers import make_data, make_module
from ..training.test_replicas import Exploding

SEEDS = (0, 1)
NOWHERE = 10**6


class _Store:
    """A store and a run that record nothing."""

    def history(self, *_: object) -> list[Any]:
        return []

    def log_history(self, *_: object) -> None:
        pass


class _Training:
    """Trainings in a folder, for a number of epochs; one replica may explode at an epoch."""

    def __init__(self, folder: Path, validate: int, exploding: int = NOWHERE) -> None:
        self.folder = folder
        self.exploding = exploding
        with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
            every = f"trainer.validate_every={validate}"
            self.config = compose("config", [every, "trainer.progress=none"])

    def of(self, epochs: int) -> Path:
        return self.folder / str(epochs) / "checkpoints"

    def from_the_start(self, epochs: int, *callbacks: pl.Callback) -> Outcome:
        return self._train(epochs, None, *callbacks)

    def after(self, shorter: int, epochs: int) -> Outcome | None:
        """Continues a shorter run; None if nothing can be taken over."""
        begun = self.beginning(shorter, epochs)
        if begun is None:
            return None
        begun.give(cast("Run", _Store()), self.of(epochs))
        return self._train(epochs, begun.last)

    def beginning(self, shorter: int, epochs: int) -> longer.Beginning | None:
        folder = self.folder / str(shorter)
        run = StoredRun("abc", "1", "a run", "FINISHED", {}, folder, None, {}, 0)
        parts = self._parts(self._settings(epochs), 0)
        return longer.beginning(cast("Store", _Store()), run, "checkpoints", parts)

    def _train(
        self, epochs: int, checkpoint: dict[str, Any] | None, *callbacks: pl.Callback
    ) -> Outcome:
        asked = self._settings(epochs)
        parts = self._parts(asked, checkpoint["echo_epochs"] if checkpoint else 0)
        folder = self.of(epochs)
        return experiment.train(
            parts, asked.trainer, None, folder, Interrupts(), checkpoint, callbacks
        )

    def _settings(self, epochs: int) -> Settings:
        self.config.epochs = epochs
        return configuration.read(self.config.copy())

    def _parts(self, asked: Settings, done: int) -> Parts:
        updates = 2 * (self.exploding - 1 - done) + 1
        module = make_module(SEEDS, representation=Exploding(replica=1, update=updates))
        return Parts(module, make_data(asked.epochs, SEEDS, asked.trainer.block))


def _assert_same(one: Any, other: Any) -> None:
    """Asserts that values are equal bit for bit, with NaN at the same places."""
    if isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            _assert_same(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, others in zip(one, other, strict=True):
            _assert_same(mine, others)
    else:
        np.testing.assert_array_equal(one, other)


def _assert_same_checkpoints(folder: Path, other: Path) -> None:
    for name in (LAST, BEST):
        assert (folder / name).exists() == (other / name).exists()
        if (folder / name).exists():
            _assert_same(_content(folder / name), _content(other / name))
    assert (folder / WHOLE).exists() == (other / WHOLE).exists()
    if (other / WHOLE).exists():
        _assert_same_checkpoints(folder / WHOLE, other / WHOLE)


def _content(path: Path) -> dict[str, Any]:
    """The contents of a checkpoint, except times and Lightning's counts of its own calls."""
    content = checkpoints.load_weights(path)
    content.pop("loops", None)
    content.get("callbacks", {}).get("Recorder", {}).pop("seconds", None)
    return content


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
)
@given(
    shorter=st.integers(1, 24),
    more=st.integers(1, 20),
    validate=st.sampled_from([4, 5, 29, 100]),
    exploding=st.integers(1, 40),
)
@example(shorter=20, more=20, validate=10, exploding=NOWHERE)
@example(shorter=20, more=45, validate=29, exploding=NOWHERE)  # validates after many blocks
@example(shorter=12, more=8, validate=5, exploding=NOWHERE)  # ends within a block
@example(shorter=12, more=8, validate=5, exploding=14)  # explodes in the block that it ends in
@example(shorter=12, more=8, validate=5, exploding=12)
def test_the_result_does_not_depend_on_where_the_shorter_run_ended(
    shorter: int, more: int, validate: int, exploding: int
) -> None:
    epochs = shorter + more
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        alone, further = (_Training(Path(f), validate, exploding) for f in (one, two))
        expected = alone.from_the_start(epochs)
        further.from_the_start(shorter)
        found = further.after(shorter, epochs)
        if found is None:
            assert shorter < min(25, validate)  # not a whole block
            return
        for name in ("scores", "epochs_to_solve", "diverged", "curves", "listing"):
            _assert_same(vars(found)[name], vars(expected)[name])
        _assert_same_checkpoints(further.of(epochs), alone.of(epochs))


@pytest.mark.parametrize("shorter", [3, 10])
def test_looking_for_a_beginning_leaves_the_network_as_it_is(tmp_path: Path, shorter: int) -> None:
    training = _Training(tmp_path, validate=5)
    training.from_the_start(shorter)
    run = StoredRun("abc", "1", "a run", "FINISHED", {}, tmp_path / str(shorter), None, {}, 0)
    parts = training._parts(training._settings(20), 0)
    before = copy.deepcopy(parts.module.state_dict())
    found = longer.beginning(cast("Store", _Store()), run, "checkpoints", parts)
    assert (found is None) == (shorter < 5)  # it had no whole block
    _assert_same(parts.module.state_dict(), before)


def test_a_reopened_checkpoint_equals_one_between_two_blocks(tmp_path: Path) -> None:
    training = _Training(tmp_path, validate=5)
    training.from_the_start(12)  # keeps what it was before its last block, at 10
    training.from_the_start(10)
    between = checkpoints.load(training.of(12) / WHOLE / LAST)
    finished = checkpoints.load(training.of(10) / LAST)
    assert finished["loops"] != between["loops"]
    between["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"] = False
    opened = checkpoints.opened(finished)
    assert (opened["epoch"], opened["loops"]) == (between["epoch"], between["loops"])


def test_the_time_of_both_parts_counts(tmp_path: Path) -> None:
    training = _Training(tmp_path, validate=5)
    training.from_the_start(10)
    begun = training.beginning(10, 20)
    assert begun is not None
    begun.last["callbacks"]["Recorder"]["seconds"] = 1000.0
    begun.give(cast("Run", _Store()), training.of(20))
    assert 1000 < training._train(20, begun.last).seconds < 2000


class _Stopping(pl.Callback):
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if pl_module.epochs == 10:
            trainer.should_stop = True


@pytest.mark.parametrize("epochs", [10, 20])
def test_a_run_ended_by_a_callback_is_not_trained_longer(tmp_path: Path, epochs: int) -> None:
    training = _Training(tmp_path, validate=5)
    training.from_the_start(epochs, _Stopping())
    with pytest.raises(SettingError, match="a callback ended run abc at epoch 10"):
        training.beginning(epochs, 40)


def test_a_run_without_checkpoints_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match="run abc has no last checkpoint, so it cannot be trained longer"
    ):
        _Training(tmp_path, validate=5).beginning(10, 20)
