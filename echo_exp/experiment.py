"""One experiment: builds the parts from the settings, trains, tests and tells what came out."""

import contextlib
import functools
import logging
import math
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from echo_exp.checkpoints import LAST, Checkpoints, load
from echo_exp.config import Settings, build
from echo_exp.data import EchoDataModule
from echo_exp.evaluation import Listing, share
from echo_exp.interrupts import Interrupts
from echo_exp.module import EchoModule
from echo_exp.outcome import Outcome
from echo_exp.progress import Progress
from echo_exp.recorder import Recorder
from echo_exp.replicas import Floats
from echo_exp.settings import SettingError
from echo_exp.tracking import Run
from echo_exp.trainer import Display

BYTES_A_PARAMETER = 40
"""The weight, its gradient, Adam's two moments, the copy that a diverging replica gets back and
that of the best network, 4 each; the rest is for what operations make besides (33 measured)."""

CONTAINER = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""What the kernel's control groups allow, of version 2 and 1."""


@dataclass(frozen=True)
class Parts:
    """The objects of an experiment."""

    module: EchoModule
    data: EchoDataModule


def assemble(config: DictConfig, settings: Settings) -> Parts:
    """Builds the experiment's objects from its configuration.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    problem, seeds = settings.problem, settings.seeds
    settings.trainer.check_device()
    sentinel = settings.missing.sentinel
    representation = build(config.representation, "representation", sentinel=sentinel)
    make_model = functools.partial(
        build,
        config.model,
        "model",
        n_features=representation.n_features,
        n_outputs=representation.n_outputs,
        n_in=problem.n_in,
        n_out=problem.n_out,
    )
    _check_memory(config, make_model(seeds=()), len(seeds))
    model = make_model(seeds=seeds)
    optimizer = build(config.optimizer, "optimizer")
    module = EchoModule(
        model, problem, representation, settings.batch_size, optimizer, settings.missing
    )
    module.configure_optimizers()  # a bad value shows now, before anything is written
    data = EchoDataModule(
        problem,
        settings.epochs,
        seeds,
        block=settings.trainer.block,
        validation_sequences=settings.trainer.validation_sequences,
        test_sequences=settings.trainer.test_sequences,
    )
    return Parts(module, data)


def last_checkpoint(folder: Path, parts: Parts) -> dict[str, Any] | None:
    """Returns the last checkpoint in a folder, if there is one.

    Raises:
        SettingError: It is truncated, or of another network.
    """
    path = folder / LAST
    if not path.exists():
        return None
    try:
        checkpoint = load(path)
        parts.module.load_state_dict(checkpoint["state_dict"])
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise SettingError("resume", path, f"the checkpoint cannot be used: {reason}") from error
    return checkpoint


def train(
    parts: Parts,
    settings: Settings,
    run: Run | None,
    folder: Path,
    interrupts: Interrupts,
    checkpoint: dict[str, Any] | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> Outcome:
    """Trains, or goes on training, and tests.

    Args:
        parts: The experiment's objects.
        settings: Its settings.
        run: Where metrics go; None tracks nothing.
        folder: Where checkpoints are written.
        interrupts: Signals that stop the training.
        checkpoint: The content of ``last.ckpt`` in ``folder``, to go on from.
        callbacks: What else looks at the training, after everything is recorded.

    Raises:
        DivergedError: The loss became NaN or infinite.
        Interrupted: A signal asked to stop; the last checkpoint holds all that was trained.
    """
    torch.set_num_threads(settings.trainer.threads)
    recorder = Recorder(run)
    checkpoints = Checkpoints(
        folder,
        settings.trainer.checkpoint_seconds,
        settings.trainer.block,
        interrupts,
        before=recorder.settle,
    )
    all_callbacks = [recorder, checkpoints, *_progress(settings), *callbacks]
    with _quiet():
        trainer = settings.trainer.trainer(all_callbacks)
        if checkpoint is None:
            trainer.fit(parts.module, parts.data)
        elif checkpoint["echo_epochs"] < settings.epochs and not checkpoint.get("stopped"):
            trainer.fit(parts.module, parts.data, ckpt_path=folder / LAST, weights_only=True)
        else:  # it was interrupted after the training
            parts.module.on_load_checkpoint(checkpoint)
            recorder.load_state_dict(checkpoint["callbacks"][recorder.state_key])
        trainer.test(parts.module, parts.data, verbose=False)
    return _outcome(parts, recorder)


def _outcome(parts: Parts, recorder: Recorder) -> Outcome:
    module, problem, seeds = parts.module, parts.module.problem, parts.data.seeds
    samples = {name: _array(v) for name, v in module.samples.items() if name.startswith("test/")}
    windows = problem.n_windows - problem.n_incomplete
    answers = {"test/accuracy": windows * problem.n_out, "test/sequence_accuracy": windows}
    diverged = _array(module.diverged)
    listed = int(np.argmin(diverged))  # the first that did not: its epoch is 0
    sequence = parts.data.listing_sequence()  # [R, length]
    shown = problem.windows(sequence[None])  # [1, R, n_windows, n_in]
    with torch.inference_mode():
        predicted = module.predict_step(torch.from_numpy(shown)).numpy()
    complete = slice(problem.n_incomplete, None)
    return Outcome(
        seeds=seeds,
        scores={name: _array(module.scores[name]) for name in samples},
        intervals={
            name: share(samples[name][:, 0], count)
            for name, count in answers.items()
            if len(seeds) == 1
        },
        windows=windows * len(samples["test/loss"]),
        seconds=recorder.seconds,
        parameters=sum(p.shape[1:].numel() for p in module.parameters()),
        epochs_to_solve=_array(recorder.epochs_to_solve),
        diverged=np.where(diverged > 0, diverged, np.nan),
        listing=Listing.of(
            shown[0, listed, complete],
            problem.targets(shown)[0, listed, complete],
            predicted[0, listed, complete],
        ),
        listed=seeds[listed],
        curves=recorder.curves(),
    )


def _array(values: torch.Tensor) -> Floats:
    return values.cpu().numpy().astype(np.float64)


def _progress(settings: Settings) -> list[pl.Callback]:
    display = settings.trainer.progress
    if display == Display.NONE:
        return []
    bar = display == Display.BAR or (display == Display.AUTO and sys.stderr.isatty())
    return [Progress(settings.epochs, bar)]


def _check_memory(config: DictConfig, empty: torch.nn.Module, replicas: int) -> None:
    """Refuses networks that could not be trained here, judged by one of no replicas."""
    network = BYTES_A_PARAMETER * sum(p.shape[1:].numel() for p in empty.parameters())
    needed = network * replicas
    available = _memory()
    if network > available:
        raise SettingError(
            "model.units",
            config.model.get("units"),
            f"with problem.n_values={config.problem.n_values} it takes {needed / 2**30:,.0f} GiB "
            f"to train the weights, and this machine has {available / 2**30:,.0f}",
        )
    if needed > available:
        raise SettingError(
            "replicas",
            replicas,
            f"it takes {needed / 2**30:,.0f} GiB to train the weights of so many networks, and "
            f"this machine has {available / 2**30:,.0f}; it may be at most "
            f"{int(available / network):,} for these",
        )


def _memory() -> float:
    """Returns the bytes that this process may take: the machine's, or its container's."""
    limits = [math.inf]
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not every system tells
        limits.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    for file in CONTAINER:
        with contextlib.suppress(ValueError, OSError):  # "max" is no number
            limits.append(float(int(file.read_text(encoding="ascii"))))
    with contextlib.suppress(ImportError):  # Windows has none
        import resource

        address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
        if address_space != resource.RLIM_INFINITY:
            limits.append(float(address_space))
    return min(limits)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences what Lightning says by itself: nothing of it is for the user of this program."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
