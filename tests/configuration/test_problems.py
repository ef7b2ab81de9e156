"""The rest of the program works with every problem of independent windows.

That each is learnt by every network is in `test_matrix`.
"""

from pathlib import Path

import pytest
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig

import echo_exp
from echo_exp import configuration, running
from echo_exp.network import TrainedNetwork
from echo_exp.settings import SettingError

from .. import matrix
from ..networks import untrained

PROBLEMS = [name for name in matrix.options("problem") if matrix.independent(name)]
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
    sizes = [f"problem.{name}={size}" for name, size in matrix.sizes(problem).items()]
    return [f"problem={problem}", *sizes, *SMALL, *more]


def _config(problem: str, *more: str) -> DictConfig:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        return compose("config", _overrides(problem, *more))


def _untrained(problem: str, *more: str) -> TrainedNetwork:
    return untrained(*_overrides(problem, *more))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_network_of_every_problem_can_be_inspected(problem: str, tmp_path: Path) -> None:
    network = _untrained(problem, "model=seq2seq_last")
    found = echo_exp.inspect(network, tmp_path, sequences=20)
    assert bool(network.problem.marks) == ("probes" in found.left_out)
    assert (tmp_path / "states.png").exists()


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_listing_shows_windows_that_can_be_predicted(problem: str, tmp_path: Path) -> None:
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
def test_meaningless_combinations_are_refused(problem: str, override: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        configuration.read(_config(problem, *("model=seq2seq_last", override)))
