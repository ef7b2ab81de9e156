"""One experiment: trains and tests a network, and returns the outcome."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar

from echo_exp import terminal
from echo_exp.settings import SettingError
from echo_exp.task.data import EchoDataModule
from echo_exp.tracking import Run
from echo_exp.training.checkpoint_names import LAST
from echo_exp.training.checkpoints import Checkpoints, load
from echo_exp.training.evaluation import Listing, share
from echo_exp.training.interrupts import Interrupts
from echo_exp.training.logger import WRITTEN, RunLogger
from echo_exp.training.module import EchoModule
from echo_exp.training.outcome import Outcome
from echo_exp.training.progress import Progress
from echo_exp.training.recorder import Recorder
from echo_exp.training.replicas import Floats
from echo_exp.training.settings import Display, TrainerSettings
from echo_exp.training.slices import differing
from echo_exp.training.threads import count_threads
from echo_exp.training.trainer import lightning_trainer

LEVELS = {
    "pytorch_lightning": logging.ERROR,
    "pytorch_lightning.callbacks": logging.INFO,
    "lightning_fabric": logging.ERROR,
}
"""Log levels of Lightning's loggers."""


@dataclass(frozen=True)
class Parts:
    """The objects of an experiment.

    Attributes:
        module: The network and its training.
        data: The sequences.
        lengths: For each other length at which the trained network is tested, a function from seeds
            to the objects of that test.
    """

    module: EchoModule
    data: EchoDataModule
    lengths: Mapping[int, Callable[[Sequence[int]], "Parts"]] = field(default_factory=dict)


def last_checkpoint(folder: Path, parts: Parts) -> dict[str, Any] | None:
    """Returns the last checkpoint in a folder, if there is one.

    Args:
        folder: The folder of checkpoints.
        parts: The experiment's objects; they stay as they are.

    Raises:
        SettingError: The checkpoint is truncated or belongs to another network.
    """
    path = folder / LAST
    if not path.exists():
        return None
    try:
        checkpoint = load(path)
    except ValueError as error:
        raise SettingError("resume", path, f"the checkpoint cannot be used: {error}") from error
    differ = differing(parts.module.state_dict(), checkpoint["state_dict"])
    if differ:
        reason = f"the checkpoint cannot be used: other weights ({', '.join(differ)})"
        raise SettingError("resume", path, reason)
    return checkpoint


def train(
    parts: Parts,
    settings: TrainerSettings,
    run: Run | None,
    folder: Path,
    interrupts: Interrupts,
    checkpoint: dict[str, Any] | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> Outcome:
    """Trains a network, or resumes its training, and tests it.

    Args:
        parts: The experiment's objects.
        settings: The trainer's settings.
        run: Where metrics go; None tracks nothing.
        folder: Where checkpoints are written; callbacks write to the folder `WRITTEN` beside it.
        interrupts: Signals that stop the training.
        checkpoint: The content of ``last.ckpt`` in ``folder``, to resume from.
        callbacks: The user's callbacks; each is called after everything is recorded.

    Returns:
        The scores, the curves and a listing of the echo.

    Raises:
        DivergedError: The loss became NaN or infinite.
        Interrupted: A signal asked to stop; the last checkpoint holds all that was trained.
    """
    torch.set_num_threads(count_threads(settings, parts.module))
    recorder = Recorder(run)
    checkpoints = Checkpoints(
        folder,
        settings.checkpoint_seconds,
        settings.block,
        interrupts,
        before=recorder.settle,
    )
    all_callbacks = [
        recorder,
        checkpoints,
        *_progress(settings.progress, parts.data.epochs, callbacks),
        *callbacks,
    ]
    module = parts.module
    logger = RunLogger(run, folder.parent / WRITTEN, lambda: module.step) if callbacks else None
    with quiet():
        trainer = lightning_trainer(settings, all_callbacks, logger=logger)
        if checkpoint is None:
            trainer.fit(parts.module, parts.data)
        elif checkpoint["echo_epochs"] < parts.data.epochs and not checkpoint.get("stopped"):
            trainer.fit(parts.module, parts.data, ckpt_path=folder / LAST, weights_only=True)
        else:  # the run was interrupted after the training
            parts.module.load_state_dict(checkpoint["state_dict"])
            parts.module.on_load_checkpoint(checkpoint)
            recorder.load_state_dict(checkpoint["callbacks"][recorder.state_key])
        trainer.test(parts.module, parts.data, verbose=False)
        test_lengths(parts, settings)
    (outcome,) = outcomes(parts, [recorder])
    return outcome


def test_lengths(parts: Parts, settings: TrainerSettings) -> None:
    """Tests a network at its other lengths too, and adds these scores to those of its test."""
    for length, make in parts.lengths.items():
        other = make(parts.data.seeds)
        other.module.load_state_dict(parts.module.state_dict())
        lightning_trainer(settings, []).test(other.module, other.data, verbose=False)
        parts.module.join_test(other.module, f"at_{length}")


def outcomes(parts: Parts, recorders: Sequence[Recorder]) -> Iterator[Outcome]:
    """Yields the outcome of each run of a tested stack, or of the only run.

    Args:
        parts: The objects of the test.
        recorders: One for each run, in the order of their replicas.
    """
    module, problem, seeds = parts.module, parts.module.problem, parts.data.seeds
    samples = {name: _array(v) for name, v in module.samples.items() if name.startswith("test/")}
    windows = problem.n_windows - problem.n_incomplete
    diverged = _array(module.diverged)
    sequence = parts.data.listing_sequence()  # [R, length]
    shown = problem.windows(sequence[None])  # [1, R, n_windows, n_in]
    with torch.inference_mode():
        predicted = module.predict_step(torch.from_numpy(shown)).numpy()
    complete = slice(problem.n_incomplete, None)
    first = 0
    for recorder in recorders:
        own = slice(first, first + len(recorder.epochs_to_solve))
        first = own.stop
        listed = own.start + int(np.argmin(diverged[own]))  # the first that did not: 0
        yield Outcome(
            seeds=seeds[own],
            scores={name: _array(module.scores[name][own]) for name in samples},
            intervals={
                name: share(samples[name][:, own.start], count)
                for name, count in module.answers.items()
                if own.stop - own.start == 1
            },
            windows=windows * len(samples["test/loss"]),
            seconds=recorder.seconds,
            parameters=sum(p.shape[1:].numel() for p in module.parameters()),
            epochs_to_solve=_array(recorder.epochs_to_solve),
            diverged=np.where(diverged > 0, diverged, np.nan)[own],
            listing=Listing.of(
                problem,
                shown[0, listed, complete],
                problem.targets(shown)[0, listed, complete],
                predicted[0, listed, complete],
            ),
            listed=seeds[listed],
            curves=recorder.curves(),
        )


def _array(values: torch.Tensor) -> Floats:
    return values.cpu().numpy().astype(np.float64)


def _progress(display: str, epochs: int, callbacks: Sequence[pl.Callback]) -> list[pl.Callback]:
    if display == Display.NONE or any(isinstance(each, ProgressBar) for each in callbacks):
        return []
    bar = display == Display.BAR or (display == Display.AUTO and terminal.redraws(sys.stderr))
    return [Progress(epochs, bar)]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences Lightning's own messages, but not its callbacks, which a user has asked for."""
    loggers = {logging.getLogger(name): level for name, level in LEVELS.items()}
    levels = {logger: logger.level for logger in loggers}
    for logger, level in loggers.items():
        logger.setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
