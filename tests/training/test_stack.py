"""Runs in a stack: each leaves the same as a run alone."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from echo_exp.training import experiment
from echo_exp.training.checkpoint_names import LAST
from echo_exp.training.checkpoints import load, opened, write
from echo_exp.training.interrupts import Interrupted, Interrupts
from echo_exp.training.member import Member
from echo_exp.training.module import DivergedError
from echo_exp.training.optimizer import SCHEDULED
from echo_exp.training.outcome import Outcome
from echo_exp.training.phase import next_phase
from echo_exp.training.stack import NotStackableError, check_stackable

from ..trainers import make_module
from .stacks import (
    SETTINGS,
    Job,
    alone,
    assert_same,
    assert_same_files,
    cosine,
    make_parts,
    member,
    stacked,
)

DIFFERENT = [
    pytest.param([Job(), Job(seeds=(5,)), Job(seeds=(3, 4))], id="seeds"),
    pytest.param([Job(rate=rate) for rate in (1e-3, 1e-2, 1e-2, 3e-2)], id="rates"),
    pytest.param([Job(epochs=epochs) for epochs in (7, 20, 30, 33, 34, 50)], id="epochs"),
    pytest.param([Job(warmup=epochs) for epochs in (0, 0, 7, 30)], id="warm-ups"),
    pytest.param(
        [cosine(epochs=20), cosine(rate=3e-2), cosine(warmup=0), cosine(epochs=33)], id="cosines"
    ),
]


@pytest.mark.parametrize("jobs", DIFFERENT)
def test_a_run_in_a_stack_leaves_the_same_as_a_run_alone(jobs: list[Job], tmp_path: Path) -> None:
    together = stacked([member(job, tmp_path / f"{n}") for n, job in enumerate(jobs)])
    for number, (job, outcome) in enumerate(zip(jobs, together, strict=True)):
        expected = alone(job, tmp_path / "alone" / f"{number}")
        assert_same(outcome, expected)
        assert_same_files(tmp_path / f"{number}", tmp_path / "alone" / f"{number}")


def test_each_run_of_a_stack_is_clipped_separately(tmp_path: Path) -> None:
    jobs = [Job(seeds=(1, 2), epochs=20), Job(seeds=(3,), rate=1e-1)]
    members = [member(job, tmp_path / f"{n}") for n, job in enumerate(jobs)]
    together = stacked(members, clip_norm=0.02)
    for number, (job, outcome) in enumerate(zip(jobs, together, strict=True)):
        assert_same(outcome, alone(job, tmp_path / "alone" / f"{number}", clip_norm=0.02))
        assert_same_files(tmp_path / f"{number}", tmp_path / "alone" / f"{number}")


@pytest.mark.parametrize(
    "kind", [Job, functools.partial(Job, warmup=10)], ids=["constant", "warm-up"]
)
def test_runs_stopped_at_different_epochs_continue_in_one_stack(kind: Any, tmp_path: Path) -> None:
    jobs = [kind(seeds=(1,)), kind(seeds=(2,), rate=1e-3, epochs=40), kind(seeds=(3,))]
    alone(dataclasses.replace(jobs[0], epochs=10), tmp_path / "0")
    _as_if_interrupted(tmp_path / "0")
    together = stacked(
        [member(jobs[0], tmp_path / "0", goes_on=True)]
        + [member(job, tmp_path / f"{n}") for n, job in enumerate(jobs[1:], start=1)]
    )
    for number, (job, outcome) in enumerate(zip(jobs, together, strict=True)):
        assert_same(outcome, alone(job, tmp_path / "alone" / f"{number}"))


@pytest.mark.parametrize("kind", [Job, cosine], ids=["constant", "cosine"])
def test_a_run_stopped_in_a_stack_can_continue_alone(kind: Any, tmp_path: Path) -> None:
    jobs = [kind(seeds=(1,)), kind(seeds=(2,), rate=1e-3)]
    with pytest.raises(Interrupted):
        _stopped([member(job, tmp_path / f"{n}") for n, job in enumerate(jobs)], after=20)
    for number, job in enumerate(jobs):
        checkpoint = load(tmp_path / f"{number}" / LAST)
        assert checkpoint["echo_epochs"] == 20
        resumed = alone(job, tmp_path / f"{number}", checkpoint)
        assert_same(resumed, alone(job, tmp_path / "alone" / f"{number}"))
        assert_same_files(tmp_path / f"{number}", tmp_path / "alone" / f"{number}")


@pytest.mark.parametrize("kind", [Job, cosine], ids=["constant", "cosine"])
def test_a_stopped_stack_continues_bit_for_bit(kind: Any, tmp_path: Path) -> None:
    jobs = [kind(seeds=(1,)), kind(seeds=(2,), rate=1e-3, epochs=40)]
    folders = [tmp_path / f"{n}" for n in range(2)]
    expected = stacked([member(job, tmp_path / "whole" / f"{n}") for n, job in enumerate(jobs)])
    with pytest.raises(Interrupted):
        _stopped(list(map(member, jobs, folders)), after=10)
    resumed = stacked([member(*pair, goes_on=True) for pair in zip(jobs, folders, strict=True)])
    for before, after in zip(expected, resumed, strict=True):
        assert isinstance(before, Outcome)
        assert isinstance(after, Outcome)
        for name, (_, values) in before.curves.items():
            np.testing.assert_array_equal(after.curves[name][1], values)


def test_a_stopped_run_with_a_schedule_continues_bit_for_bit(tmp_path: Path) -> None:
    job = cosine(seeds=(1, 2))
    expected = alone(job, tmp_path / "whole")
    interrupts = Interrupts()
    watching = _StopsAlone(interrupts, after=20)
    parts = make_parts(job.seeds, job.epochs, job.optimizer)
    with pytest.raises(Interrupted):
        experiment.train(parts, SETTINGS, None, tmp_path / "cut", interrupts, None, [watching])
    checkpoint = load(tmp_path / "cut" / LAST)
    assert checkpoint["echo_epochs"] == 20
    resumed = alone(job, tmp_path / "cut", checkpoint)
    for name, (_, values) in expected.curves.items():
        np.testing.assert_array_equal(resumed.curves[name][1], values)


def test_a_run_of_a_version_without_schedules_continues_in_a_stack(tmp_path: Path) -> None:
    job, other = Job(seeds=(1,)), Job(seeds=(2,), warmup=5)
    alone(dataclasses.replace(job, epochs=10), tmp_path / "0")
    old = opened(load(tmp_path / "0" / LAST))
    for name in SCHEDULED:
        del old["optimizer_states"][0]["param_groups"][0][name]
    write(old, tmp_path / "0" / LAST)
    members = [member(job, tmp_path / "0", goes_on=True), member(other, tmp_path / "1")]
    for number, outcome in enumerate(stacked(members)):
        assert_same(outcome, alone((job, other)[number], tmp_path / "alone" / f"{number}"))


def test_a_diverging_run_fails_without_affecting_the_others(tmp_path: Path) -> None:
    jobs = [Job(seeds=(1,)), Job(seeds=(2,), rate=1e38), Job(seeds=(3,))]
    first, diverged, last = stacked([member(j, tmp_path / f"{n}") for n, j in enumerate(jobs)])
    assert_same(first, alone(jobs[0], tmp_path / "alone" / "0"))
    assert_same(last, alone(jobs[2], tmp_path / "alone" / "2"))
    assert isinstance(diverged, DivergedError)
    with pytest.raises(DivergedError) as expected:
        alone(jobs[1], tmp_path / "alone" / "1")
    assert diverged.epoch == expected.value.epoch


def test_all_runs_of_a_stack_may_diverge(tmp_path: Path) -> None:
    jobs = [Job(seeds=(1,), rate=1e38), Job(seeds=(2,), rate=1e38)]
    ends = stacked([member(job, tmp_path / f"{n}") for n, job in enumerate(jobs)])
    assert [type(end) for end in ends] == [DivergedError, DivergedError]


class GivesUp:
    """Ends a run at its second validation."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def validated(self, epochs: int, scores: Mapping[str, Tensor]) -> None:
        self.seen.append(epochs)
        if len(self.seen) == 2:
            raise LookupError(f"given up at {epochs}")


def test_a_watcher_ends_only_its_own_run(tmp_path: Path) -> None:
    watcher = GivesUp()
    given_up = member(Job(seeds=(1,)), tmp_path / "0", watchers=[watcher])
    ended, other = stacked([given_up, member(Job(seeds=(2,)), tmp_path / "1")])
    assert str(ended) == "given up at 20"
    assert watcher.seen == [10, 20]
    assert_same(other, alone(Job(seeds=(2,)), tmp_path / "alone"))


def test_the_time_of_a_run_is_its_share_of_the_stacks_time(tmp_path: Path) -> None:
    members = [member(Job(seeds=(n,)), tmp_path / f"{n}") for n in range(4)]
    first = stacked(members)[0]
    assert isinstance(first, Outcome)
    assert first.seconds > 0
    assert [m.recorder.seconds for m in members] == pytest.approx([first.seconds] * 4, rel=0.2)


def test_an_optimizer_must_declare_that_it_takes_vectors() -> None:
    module = make_module(optimizer=functools.partial(torch.optim.SGD, lr=0.1))
    with pytest.raises(NotStackableError, match=r"SGD does not set `per_replica = True`"):
        check_stackable(module)


def test_a_network_with_buffers_is_refused_in_a_stack() -> None:
    module = make_module()
    module.register_buffer("model_table", torch.zeros(3))
    with pytest.raises(NotStackableError, match=r"the network has buffers \(model_table\)"):
        check_stackable(module)


@pytest.mark.parametrize(
    ("trained", "epochs", "expected"),
    [
        ([0, 0], [40, 40], ([0, 1], 4, 10, 2)),
        ([0, 0], [40, 25], ([0, 1], 2, 10, 2)),
        ([20, 20], [40, 25], ([1], 1, 5, 2)),
        ([10, 20], [40, 40], ([0], 1, 10, 1)),
        ([30, 20], [45, 40], ([0], 1, 10, 1)),
    ],
)
def test_the_runs_of_a_phase_have_their_blocks_at_the_same_epochs(
    trained: list[int], epochs: list[int], expected: tuple[list[int], int, int, int]
) -> None:
    members = [member(Job(epochs=number), Path()) for number in epochs]
    for each, done in zip(members, trained, strict=True):
        each.trained = done
    phase = next_phase(members, block=10, validate_every=20)
    found = [members.index(each) for each in phase.members]
    assert (found, phase.blocks, phase.block, phase.validate) == expected


def test_the_runs_of_a_phase_are_at_the_same_length() -> None:
    members = [member(Job(epochs=40), Path()) for _ in range(3)]
    for each, done in zip(members, (20, 0, 20), strict=True):
        each.trained = done
    phase = next_phase(members, block=10, validate_every=20, lengths=3)
    assert phase.members == [members[0], members[2]]


def _as_if_interrupted(folder: Path) -> None:
    """Gives a finished run the checkpoint that it would have had in the middle of a longer one."""
    write(opened(load(folder / LAST)), folder / LAST)


class _StopsAlone(pl.Callback):
    """Stops a single run after a number of epochs, as a signal does."""

    def __init__(self, interrupts: Interrupts, after: int) -> None:
        self._interrupts, self._after = interrupts, after

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        if pl_module.epochs == self._after:
            self._interrupts.pending = 15


def _stopped(members: Sequence[Member], after: int) -> None:
    """Trains a stack and stops it after a number of epochs, as a signal does."""
    interrupts = Interrupts()

    class Stops:
        def validated(self, epochs: int, scores: Mapping[str, Tensor]) -> None:
            if epochs == after:
                interrupts.pending = 15

    members[0].watchers = (Stops(),)
    stacked(members, interrupts=interrupts)
