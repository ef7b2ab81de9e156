"""Every model with every representation and every policy for missing values."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor

from echo_exp import configuration
from echo_exp.configuration.assembly import assemble
from echo_exp.settings import SettingError
from echo_exp.training import experiment
from echo_exp.training.experiment import Parts
from echo_exp.training.interrupts import Interrupts
from echo_exp.training.module import EchoModule
from echo_exp.training.outcome import Outcome
from echo_exp.training.stack import Member, check_stackable, train_stack

from ..trainers import Recorder, make_trainer

WHOLE = ("gru", "min_gru", "selective_ssm", "seq2seq", "ssm", "stateless", "transformer")
"""Networks that echo the whole window, as they come."""
STATELESS = ("stateless", "transformer")
STATES = {
    "attention": 4,
    "encoder_decoder": 4,
    "gru": 1,
    "min_gru": 1,
    "selective_ssm": 1,
    "ssm": 1,
    "transformer": 0,
}
"""Tensors of the state for each layer, where these are not two."""


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (configuration.FOLDER / group).glob("*.yaml"))


def _config(*overrides: str) -> DictConfig:
    sizes = ["problem.length=12", "problem.n_values=6", "problem.n_in=4", "model.units=16"]
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        return compose("config", [*sizes, "optimizer.learning_rate=0.01", *overrides])


def _parts(*overrides: str, **changes: Any) -> Parts:
    config = _config(*overrides)
    return assemble(config, dataclasses.replace(configuration.read(config), **changes))


class Watch:
    """What the model is given and what it returns while it trains."""

    def __init__(self, module: EchoModule) -> None:
        self.zero: list[bool] = []
        self.shapes: set[tuple[int, ...]] = set()
        model: Any = module.model
        model.register_forward_hook(self)

    def __call__(self, model: Any, inputs: tuple[Any, ...], outputs: tuple[Tensor, Any]) -> None:
        if torch.is_grad_enabled():
            self.zero.append(inputs[1] is None)
            assert inputs[1] is None or any(bool(part.any()) for part in inputs[1])
            self.states = len(outputs[1])
            self.shapes.add(tuple(outputs[0].shape))


@pytest.mark.parametrize("missing", _options("missing"))
@pytest.mark.parametrize("representation", _options("representation"))
@pytest.mark.parametrize("model", _options("model"))
def test_it_trains(model: str, representation: str, missing: str) -> None:
    n_out = 4 if model in WHOLE else 2
    batch, stateful = 1 if model == "stateless" else 3, model not in STATELESS
    parts = _parts(
        f"model={model}",
        f"representation={representation}",
        f"missing={missing}",
        f"problem.n_out={n_out}",
        f"batch_size={batch}",
        "replicas=2",
        "epochs=40",
    )
    watch, recorder = Watch(parts.module), Recorder()
    make_trainer(recorder, limit_val_batches=0).fit(parts.module, parts.data)
    outputs = 6 if representation == "one_hot" else 1
    assert watch.shapes == {(2, batch, n_out, outputs)}
    batches = (9 if missing == "drop" else 12) // batch
    begins = [position % batches == 0 for position in range(40 * batches)]
    assert watch.zero == [begin or not stateful for begin in begins]
    losses = torch.tensor(recorder.losses)
    assert (losses[-10:].mean(0) < losses[:5].mean(0)).all()


@pytest.mark.parametrize("missing", _options("missing"))
@pytest.mark.parametrize("representation", _options("representation"))
@pytest.mark.parametrize("model", _options("model"))
def test_in_a_stack_it_trains_as_alone(
    model: str, representation: str, missing: str, tmp_path: Path
) -> None:
    n_out = 4 if model in WHOLE else 2
    overrides = (
        f"model={model}",
        f"representation={representation}",
        f"missing={missing}",
        f"problem.n_out={n_out}",
        f"batch_size={1 if model == 'stateless' else 3}",
        "epochs=6",
        "trainer.validate_every=2",
        "trainer.progress=none",
    )
    jobs = [("seed=5", "optimizer.learning_rate=0.01"), ("seed=9", "optimizer.learning_rate=0.002")]
    alone = [_parts(*overrides, *job) for job in jobs]
    settings = configuration.read(_config(*overrides)).trainer
    members = [
        Member(parts.data.seeds, 6, parts.module.make_optimizer, None, tmp_path / f"{number}")
        for number, parts in enumerate(alone)
    ]
    together = _parts(*overrides, seeds=[5, 9])
    check_stackable(together.module)
    (ends,) = train_stack(together, members, settings, Interrupts())
    outcomes = [end for _, end in ends]
    for parts, outcome in zip(alone, outcomes, strict=True):
        expected = experiment.train(parts, settings, None, tmp_path / "alone", Interrupts())
        assert isinstance(outcome, Outcome)
        for name, (epochs, values) in expected.curves.items():
            assert outcome.curves[name][0] == epochs
            np.testing.assert_allclose(outcome.curves[name][1], values, rtol=1e-4, atol=1e-5)
        for name, score in expected.scores.items():
            np.testing.assert_allclose(outcome.scores[name], score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.parametrize("model", _options("model"))
def test_layers_and_state_are_settings_of_every_model(
    model: str, stateful: bool, layers: int
) -> None:
    settings = (
        f"model={model}", f"model.stateful={stateful}", f"model.layers={layers}", "batch_size=3",
        "problem.n_out=4", "epochs=2",
    )  # fmt: skip
    if stateful and model == "transformer":
        with pytest.raises(SettingError, match=r"model\.stateful=True .* no state"):
            _parts(*settings)
        return
    parts = _parts(*settings)
    watch = Watch(parts.module)
    make_trainer(limit_val_batches=0).fit(parts.module, parts.data)
    assert watch.zero == [True, not stateful, not stateful] * 2
    assert watch.states == layers * STATES.get(model, 2)
