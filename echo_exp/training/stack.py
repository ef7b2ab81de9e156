"""Trains several runs as one stack of replicas, each from its own beginning to its own end.

Runs with the same tensor shapes and the same order of operations are laid side by side along the
replica axis. They may differ in their seeds, in their optimizers' numbers and in their epochs. Each
run leaves what it would leave if trained alone: the same curves, the same scores, and checkpoints
from which it resumes alone or in any stack. A run that is complete or has failed leaves the stack;
the others train on.

A stack is trained in phases, each one call of Lightning. A phase ends where a run ends. All runs of
a phase are equally far from their next validation, and all their blocks have the same size: a last
block that is shorter is a phase of its own. So each run has the blocks that it would have alone.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import nn

from echo_exp.task.data import EchoDataModule
from echo_exp.training.checkpoints import CheckpointFile
from echo_exp.training.experiment import Parts, outcomes, quiet, test_lengths
from echo_exp.training.interrupts import Interrupted, Interrupts
from echo_exp.training.member import Member, spans
from echo_exp.training.module import DivergedError, EchoModule
from echo_exp.training.outcome import Outcome
from echo_exp.training.phase import Phase, next_phase
from echo_exp.training.settings import TrainerSettings
from echo_exp.training.slices import cut_optimizer, cut_weights, join_optimizers, join_weights
from echo_exp.training.threads import count_threads
from echo_exp.training.trainer import lightning_trainer


class NotStackableError(Exception):
    """The runs can only be trained one by one."""


def train_stack(
    parts: Parts,
    members: Sequence[Member],
    settings: TrainerSettings,
    interrupts: Interrupts,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[Sequence[tuple[Member, Outcome | Exception]]]:
    """Trains and tests several runs as one stack.

    Args:
        parts: The objects of an experiment with the seeds of all runs, in their order.
        members: The runs.
        settings: The trainer's settings, which all share.
        interrupts: Signals that stop the training.
        progress: Called after each block.

    Yields:
        The runs that end together, each with its outcome or with the error that ended it.

    Raises:
        Interrupted: A signal asked to stop. The last checkpoints hold all that was trained, except
            that a run which waits for its next phase is saved as it was at the last write of its
            phase, at most `TrainerSettings.checkpoint_seconds` before the end of that.
    """
    weights = parts.module.state_dict()
    for member, own in spans(members):
        member.begin(cut_weights(weights, own))
    files = _Files()
    left = list(members)
    while left:
        ended = [m for m in left if m.error is not None or not m.remaining]
        if not ended:
            lengths = len(parts.data.lengths)
            phase = next_phase(left, settings.block, settings.validate_every, lengths)
            _train(parts, phase, settings, interrupts, files, progress)
            continue
        left = [member for member in left if member not in ended]
        failed = [(member, member.error) for member in ended if member.error is not None]
        if failed:
            yield failed
        tested = [member for member in ended if member.error is None]
        if tested:
            yield list(zip(tested, _test(parts, tested, settings), strict=True))


def check_stackable(module: EchoModule) -> None:
    """Checks that a network and its optimizer can be cut and joined along the replica axis.

    Raises:
        NotStackableError: One of them cannot.
    """
    known = {"diverged", *(name for name, _ in module.named_parameters())}
    buffers = [name for name in module.state_dict() if name not in known]
    if buffers:
        raise NotStackableError(f"the network has buffers ({', '.join(buffers)})")
    optimizer = module.make_optimizer(module.parameters())
    if not getattr(optimizer, "per_replica", False):
        reason = f"{type(optimizer).__name__} does not set `per_replica = True`"
        raise NotStackableError(reason)


def _train(
    parts: Parts,
    phase: Phase,
    settings: TrainerSettings,
    interrupts: Interrupts,
    files: "_Files",
    progress: Callable[[], None],
) -> None:
    module = parts.module
    _put(module, phase.members)
    torch.set_num_threads(count_threads(settings, module))
    module.make_optimizer = lambda parameters: _optimizer(phase.members, parameters)
    data = _data(parts.data, phase.members, phase.blocks * phase.block, phase.block)
    module.epochs, module.ahead = 0, torch.tensor(data.begun)
    callback = _Training(phase, settings, interrupts, files, progress)
    with quiet(), contextlib.suppress(DivergedError):  # each run keeps its own error
        trainer = lightning_trainer(settings, [callback], files, phase.validate)
        trainer.fit(module, data)
        weights, optimizer = module.state_dict(), trainer.optimizers[0].state_dict()
        for member, own in spans(phase.members):
            member.weights = cut_weights(weights, own)
            member.optimizer = cut_optimizer(optimizer, own)


def _test(parts: Parts, members: Sequence[Member], settings: TrainerSettings) -> Iterable[Outcome]:
    module = parts.module
    _put(module, members)
    torch.set_num_threads(count_threads(settings, module))
    data = _data(parts.data, members, 0, 1)
    with quiet():
        lightning_trainer(settings, []).test(module, data, verbose=False)
        tested = Parts(module, data, parts.lengths)
        test_lengths(tested, settings)
    return outcomes(tested, [member.recorder for member in members])


def _put(module: EchoModule, members: Sequence[Member]) -> None:
    """Loads the replicas of some runs into the module, in their order."""
    weights = join_weights([member.weights for member in members])
    for name, parameter in module.named_parameters():
        parameter.data, parameter.grad = weights[name], None
    module.diverged = weights["diverged"]


def _optimizer(members: Sequence[Member], parameters: Iterable[nn.Parameter]) -> Any:
    optimizer = members[0].make_optimizer(parameters)
    weights = [member.parameters() for member in members]
    optimizer.load_state_dict(join_optimizers([m.optimizer for m in members], weights))
    return optimizer


def _data(
    data: EchoDataModule, members: Sequence[Member], epochs: int, block: int
) -> EchoDataModule:
    return EchoDataModule(
        data.problem,
        epochs,
        [seed for member in members for seed in member.seeds],
        block=block,
        validation_sequences=data.validation_sequences,
        test_sequences=data.test_sequences,
        begun=[member.trained for member in members for _ in member.seeds],
        side_by_side=data.side_by_side,
    )


class _Files(CheckpointFile):
    """Writes the checkpoint of a stack as one file for each run.

    Attributes:
        written: Time of the last write.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = time.monotonic()
        self._members: Sequence[tuple[Member, slice, int]] = ()

    def write(self, trainer: pl.Trainer, members: Sequence[tuple[Member, slice, int]]) -> None:
        """Writes the checkpoints of some runs.

        Args:
            trainer: Lightning's trainer of the stack.
            members: Each with its replicas, and the blocks it was trained for before this phase.
        """
        self._members = members
        for member, _, _ in members:
            member.recorder.flush()
        members[0][0].recorder.settle()  # waits for the others' metrics too
        trainer.save_checkpoint("a file for each run")
        self.written = time.monotonic()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes the checkpoint of each run to its folder."""
        for member, own, blocks in self._members:
            content = member.checkpoint(checkpoint, own, blocks)
            member.kept.write(lambda file, content=content: torch.save(content, file))  # type: ignore[misc]


class _Training(pl.Callback):
    """Does for each run of a phase what the callbacks do for a run alone."""

    def __init__(
        self,
        phase: Phase,
        settings: TrainerSettings,
        interrupts: Interrupts,
        files: _Files,
        progress: Callable[[], None],
    ) -> None:
        self._phase = phase
        self._settings = settings
        self._interrupts = interrupts
        self._files = files
        self._progress = progress
        self._before = {id(m): math.ceil(m.trained / settings.block) for m in phase.members}

    @property
    def _alive(self) -> list[tuple[Member, slice]]:
        return [(member, own) for member, own in spans(self._phase.members) if member.error is None]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock of each run, and defers signals."""
        self._interrupts.put_off()
        everyone = sum(len(member.seeds) for member in self._phase.members)
        for member in self._phase.members:
            member.recorder.begin(len(member.seeds), len(member.seeds) / everyone)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Writes checkpoints when it is time, or when a signal asks to stop."""
        due = time.monotonic() - self._files.written >= self._settings.checkpoint_seconds
        pending = self._interrupts.pending
        if due or pending is not None:
            self._write(trainer, self._alive)
        if len(batch) < self._settings.block:  # the last block of each run
            begun = [(member, own) for member, own in self._alive if member.trained]
            self._write(trainer, begun)
            for member, _ in begun:
                member.kept.keep_whole_blocks()
        if pending is not None:
            raise Interrupted(pending)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Records loss and accuracy of each epoch of the block."""
        assert isinstance(pl_module, EchoModule)
        assert isinstance(outputs, dict)
        for member, own in self._alive:
            member.trained += len(batch)
            values = {name: value[:, own] for name, value in outputs.items()}
            member.recorder.trained(member.trained, values)
            member.observe(pl_module.diverged[own])
        self._progress()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Records the scores, and ends the phase if a run has ended with an error."""
        assert isinstance(pl_module, EchoModule)
        weights = pl_module.state_dict()
        for member, own in self._alive:
            scores = {
                name: score[own]
                for name, score in pl_module.scores.items()
                if name.startswith("val/")
            }
            member.validate(scores, {name: value[own] for name, value in weights.items()})
        if len(self._alive) < len(self._phase.members):
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the final checkpoints of the runs that are complete."""
        for member in self._phase.members:
            member.recorder.end()
        self._write(trainer, [(m, own) for m, own in self._alive if not m.remaining])

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Lets signals through again."""
        if stage == "fit":
            self._interrupts.raise_at_once()

    def _write(self, trainer: pl.Trainer, members: Sequence[tuple[Member, slice]]) -> None:
        if members:
            told = [(member, own, self._before[id(member)]) for member, own in members]
            self._files.write(trainer, told)
