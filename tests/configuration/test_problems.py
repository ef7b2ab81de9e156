"""Every problem of independent windows with every network and every representation."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig

import echo_exp
from echo_exp import configuration, running
from echo_exp.configuration.assembly import assemble
from echo_exp.export import echo_network, forms
from echo_exp.export.arrays import write_arrays
from echo_exp.network import TrainedNetwork
from echo_exp.settings import SettingError
from echo_exp.training import experiment
from echo_exp.training.interrupts import Interrupts
from echo_exp.training.outcome import Outcome
from echo_exp.training.stack import Member, train_stack

from ..networks import untrained
from ..trainers import Recorder, make_trainer

PROBLEMS = {
    "delayed_echo": ("problem.n_items=2", "problem.delay=2"),
    "selective_echo": ("problem.n_items=2", "problem.n_noise=2"),
    "associative_recall": ("problem.n_pairs=2", "problem.n_queries=1"),
}
"""Each with sizes that are soon learnt."""
MODELS = ("seq2seq_last", "encoder_decoder", "many_to_one", "one_to_one")
REPRESENTATIONS = ("one_hot", "scaled")
SMALL = (
    "model.stateful=false",
    "model.units=16",
    "problem.n_values=6",
    "problem.n_windows=6",
    "batch_size=3",
    "optimizer.learning_rate=0.01",
    "trainer.progress=none",
)


def _overrides(problem: str, *more: str) -> list[str]:
    return [f"problem={problem}", *PROBLEMS[problem], *SMALL, *more]


def _config(problem: str, *more: str) -> DictConfig:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        return compose("config", _overrides(problem, *more))


def test_each_problem_is_tried() -> None:
    named = {path.stem for path in (configuration.FOLDER / "problem").glob("*.yaml")}
    assert named == {*PROBLEMS, "echo_whole", "echo_partial"}


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_it_trains(problem: str, model: str, representation: str) -> None:
    config = _config(
        problem, f"model={model}", f"representation={representation}", "epochs=60", "replicas=2"
    )
    parts = assemble(config, configuration.read(config))
    recorder, shapes = Recorder(), set()
    network: Any = parts.module.model
    network.register_forward_hook(lambda *given: shapes.add(tuple(given[2][0].shape)))
    make_trainer(recorder, limit_val_batches=0).fit(parts.module, parts.data)
    outputs = 6 if representation == "one_hot" else 1
    assert shapes == {(2, 3, parts.module.problem.n_out, outputs)}
    losses = torch.tensor(recorder.losses)
    assert (losses[-10:].mean(0) < losses[:5].mean(0)).all()


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_in_a_stack_it_trains_as_alone(problem: str, representation: str, tmp_path: Path) -> None:
    common = ("model=seq2seq_last", f"representation={representation}", "epochs=4")
    jobs = [("seed=5", "optimizer.learning_rate=0.01"), ("seed=9", "optimizer.learning_rate=0.002")]
    configs = [_config(problem, *common, *job) for job in jobs]
    alone = [assemble(config, configuration.read(config)) for config in configs]
    settings = configuration.read(configs[0]).trainer
    members = [
        Member(parts.data.seeds, 4, parts.module.make_optimizer, None, tmp_path / f"{number}")
        for number, parts in enumerate(alone)
    ]
    both = dataclasses.replace(configuration.read(configs[0]), seeds=[5, 9])
    together = assemble(configs[0], both)
    (ends,) = train_stack(together, members, settings, Interrupts())
    for parts, (_, outcome) in zip(alone, ends, strict=True):
        expected = experiment.train(parts, settings, None, tmp_path / "alone", Interrupts())
        assert isinstance(outcome, Outcome)
        for name, score in expected.scores.items():
            np.testing.assert_allclose(outcome.scores[name], score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_its_network_answers_in_other_forms(
    problem: str, model: str, representation: str, tmp_path: Path
) -> None:
    network = _untrained(problem, f"model={model}", f"representation={representation}")
    write_arrays(network, tmp_path)
    predict = echo_network.load(tmp_path).predict
    difference = forms.compare(network, lambda windows: predict(windows, forms.ASKED))
    assert difference < 1e-6
    assert forms.write(network, "pt2", tmp_path).difference < 1e-6


def _untrained(problem: str, *more: str) -> TrainedNetwork:
    return untrained(*_overrides(problem, *more))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_its_network_can_be_looked_into(problem: str, tmp_path: Path) -> None:
    network = _untrained(problem, "model=seq2seq_last")
    found = echo_exp.inspect(network, tmp_path, sequences=20)
    assert bool(network.problem.marks) == ("probes" in found.left_out)
    assert (tmp_path / "states.png").exists()


@pytest.mark.parametrize("problem", PROBLEMS)
def test_its_listing_shows_windows_that_can_be_asked(problem: str, tmp_path: Path) -> None:
    short = ("model=many_to_one", "epochs=1", "tracking=none", f"output_dir={tmp_path}")
    outcome = running.execute(_config(problem, *short)).outcome
    network = _untrained(problem, "model=many_to_one")
    for window in outcome.listing.windows:
        assert len(network.predict(window).expected) == 1


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.stateful=true", "model.stateful=true .* must be false"),
        ("missing=mask", "missing=Mask .* use missing=drop"),
        ("missing=sentinel", "missing=Sentinel .* use missing=drop"),
        ("model=seq2seq", "model.padding=null .* use model=seq2seq_last"),
        ("model=seq2seq_padded", "model.padding=post .* use model=seq2seq_last"),
        ("batch_size=4", "batch_size=4 .* 1, 2, 3 or 6"),
        ("problem.n_windows=0", "problem.n_windows=0 .* from 1"),
    ],
)
def test_what_makes_no_sense_is_refused(problem: str, override: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        configuration.read(_config(problem, *("model=seq2seq_last", override)))
