"""A network is trained at several lengths in turn, and tested at others besides."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose
from hydra.initialize import initialize_config_dir
from torch import Tensor, nn

from echo_exp import configuration
from echo_exp.configuration.assembly import assemble
from echo_exp.settings import SettingError
from echo_exp.task.data import EchoDataModule
from echo_exp.task.echo import EchoProblem
from echo_exp.task.problem import TEST_LENGTHS, at_lengths
from echo_exp.training import experiment
from echo_exp.training.experiment import Parts
from echo_exp.training.interrupts import Interrupts
from echo_exp.training.member import Member
from echo_exp.training.stack import train_stack
from echo_exp.training.trainer import lightning_trainer

from .. import matrix

SMALL = ("problem.n_values=5", "problem.length=12", "problem.n_in=4", "problem.n_out=4")
TURNS = ("problem.train_lengths=[3,4,2]", "problem.n_out=2", "model.padding=pre")
SETTINGS = ("model.units=8", "epochs=2", "trainer.test_sequences=3", "trainer.progress=none")


def _parts(*overrides: str, seeds: range | None = None) -> tuple[Parts, configuration.Settings]:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        config = compose("config", [*SMALL, *SETTINGS, "batch_size=9", *overrides])
    settings = configuration.read(config)
    if seeds is not None:
        settings = dataclasses.replace(settings, seeds=seeds)
    return assemble(config, settings), settings


def _train(folder: Path, *overrides: str) -> Any:
    parts, settings = _parts(*overrides)
    return experiment.train(parts, settings.trainer, None, folder, Interrupts())


class Copies(nn.Module):
    """Answers each timestep with the integer it reads, up to a number of timesteps, then with 0."""

    stateful = False

    def __init__(self, values: int, up_to: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 1))
        self.values, self.up_to = values, up_to

    def forward(
        self, x: Tensor, state: None = None, present: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        read = x if x.shape[2] <= self.up_to else torch.zeros_like(x)
        return nn.functional.one_hot(read, self.values) * self.scale.view(-1, 1, 1, 1), ()


def test_each_length_has_its_own_scores(tmp_path: Path) -> None:
    parts, settings = _parts("problem.test_lengths=[6,8]")
    parts.module.model = Copies(5, up_to=6)

    def copies(make: Any) -> Any:
        def made(seeds: Any) -> Parts:
            other: Parts = make(seeds)
            other.module.model = Copies(5, up_to=6)
            return other

        return made

    lengths = {length: copies(make) for length, make in parts.lengths.items()}
    parts = dataclasses.replace(parts, lengths=lengths)
    with experiment.quiet():
        trainer = lightning_trainer(settings.trainer, [])
        trainer.test(parts.module, parts.data, verbose=False)
        experiment.test_lengths(parts, settings.trainer)
    scores = parts.module.scores
    assert scores["test/accuracy"] == scores["test/accuracy_at_6"] == 1
    assert 0 < scores["test/accuracy_at_8"] < 0.5
    assert parts.module.answers["test/accuracy_at_8"] == 9 * 8


def _shapes(*overrides: str) -> list[Any]:
    parts, _ = _parts(*overrides, "epochs=4", "trainer.validate_every=2")
    return [
        tuple(block.shape) if isinstance(block, Tensor) else [tuple(each.shape) for each in block]
        for block in parts.data.train_dataloader()
    ]


def test_lengths_take_turns_from_sequence_to_sequence() -> None:
    first, second, third = ((1, 1, 9, length) for length in (3, 4, 2))
    assert _shapes(*TURNS) == [[first, second], [third, first]]


def test_a_single_length_may_differ_from_that_of_the_tests() -> None:
    single = ("problem.train_lengths=[3]", *TURNS[1:])
    assert _shapes(*single) == [(2, 1, 9, 3)] * 2


def test_the_size_of_a_block_changes_no_bit(tmp_path: Path) -> None:
    one, six = (
        _train(tmp_path / f"{n}", *TURNS, "epochs=6", f"trainer.validate_every={n}") for n in (1, 6)
    )
    assert one.curves["train/loss"][1].tolist() == six.curves["train/loss"][1].tolist()
    assert one.scores == six.scores


def test_a_resumed_training_goes_on_at_the_length_whose_turn_it_is() -> None:
    parts, _ = _parts(*TURNS, "epochs=8", "trainer.validate_every=1")
    every = [block for (block,) in parts.data.train_dataloader()]
    data = parts.data
    later = EchoDataModule(data.problem, 3, data.seeds, block=1, begun=[5])
    for (block,), expected in zip(later.train_dataloader(), every[5:], strict=True):
        assert torch.equal(block, expected)


@pytest.mark.parametrize("model", [m for m in matrix.options("model") if m != "one_to_one"])
def test_a_network_reads_windows_of_any_length(model: str) -> None:
    padding = ("model.padding=pre",) if matrix.unpadded(model) else ()
    settings = (*TURNS[1:2], f"model={model}", *padding)
    module, longer = (
        _parts(*settings, f"problem.length={n + 8}", f"problem.n_in={n}")[0].module for n in (3, 5)
    )
    longer.load_state_dict(module.state_dict())
    for one, other, timesteps in ((module, longer, 5), (longer, module, 3)):
        x = torch.randint(5, (1, 3, timesteps))
        torch.testing.assert_close(one.model(x), other.model(x), rtol=0, atol=0)


def test_lengths_change_neither_the_training_nor_its_test(tmp_path: Path) -> None:
    plain = _train(tmp_path / "plain")
    tested = _train(tmp_path / "tested", "problem.test_lengths=[6]")
    assert {name: tested.scores[name] for name in plain.scores} == plain.scores
    assert set(tested.scores) - set(plain.scores) == {
        f"{name}_at_6" for name in plain.scores if name.startswith("test/")
    }
    assert tested.intervals["test/accuracy_at_6"].low <= tested.scores["test/accuracy_at_6"][0]


def test_the_trained_length_gives_the_scores_of_the_test(tmp_path: Path) -> None:
    scores = _train(tmp_path, "problem.test_lengths=[4]").scores
    assert scores["test/loss_at_4"] == pytest.approx(scores["test/loss"], abs=1e-6)


def test_each_run_of_a_stack_has_the_scores_that_it_has_alone(tmp_path: Path) -> None:
    lengths = (*TURNS, "problem.test_lengths=[6]", "trainer.validate_every=2")
    parts, settings = _parts(*lengths, seeds=range(1, 3))
    make = parts.module.make_optimizer
    members = [Member([s], e, make, None, tmp_path / str(s)) for s, e in ((1, 7), (2, 5))]
    ended = dict(
        pair
        for some in train_stack(parts, members, settings.trainer, Interrupts())
        for pair in some
    )
    for member, epochs in zip(members, (7, 5), strict=True):
        seed = member.seeds[0]
        alone = _train(tmp_path / f"alone{seed}", *lengths, f"seed={seed}", f"epochs={epochs}")
        outcome = ended[member]
        assert not isinstance(outcome, Exception)
        for name, value in alone.scores.items():
            assert outcome.scores[name] == pytest.approx(value, abs=1e-5), name


@pytest.mark.parametrize(
    ("problem", "name", "expected"),
    [
        ("echo_whole", "5→5", "9→9"),
        ("echo_partial", "5→2", "9→2"),
        ("delayed_echo", "5 after 10", "5 after 9"),
        ("selective_echo", "5 among 10", "5 among 9"),
        ("associative_recall", "2 of 4 pairs", "2 of 9 pairs"),
    ],
)
def test_the_meaning_of_length_depends_on_the_problem(
    problem: str, name: str, expected: str
) -> None:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        config = compose("config", [f"problem={problem}", "problem.test_lengths=[9]"])
    task = configuration.problem(config)
    (other,) = at_lengths(task, TEST_LENGTHS).values()
    assert (task.name, other.name) == (name, expected)
    assert other.n_windows == task.n_windows


def test_a_problem_at_another_length_has_no_test_lengths_itself() -> None:
    other = EchoProblem(test_lengths=[9]).of_length(9)
    assert at_lengths(other, TEST_LENGTHS) == {}


LEARNED = ("model=transformer", "model.padding=pre", "model.position=learned")


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("train_lengths", LEARNED),
        ("test_lengths", LEARNED),
        ("test_lengths", ("model=one_to_one", "problem.n_out=4")),
        ("test_lengths", ("model=many_to_one", "problem.n_out=4")),
    ],
)
def test_a_network_whose_weights_do_not_fit_is_refused(
    name: str, overrides: tuple[str, ...]
) -> None:
    with pytest.raises(SettingError, match=rf"problem\.{name}=6 .* other weights"):
        _parts(f"problem.{name}=[6]", "problem.n_out=2", *overrides)
