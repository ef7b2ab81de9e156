"""Networks that a study matches have equally many parameters or as much arithmetic."""

from collections.abc import Iterator

import pytest
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig

from benchmarks import matched
from echo_exp import configuration
from echo_exp.sweeps import study
from echo_exp.sweeps.study import Cell

from ..quick import begins

TOLERANCE = 0.05


@pytest.fixture(scope="module", params=["quick", "full"])
def cells(request: pytest.FixtureRequest) -> list[tuple[Cell, DictConfig]]:
    """The cells of the study, each network on each task once."""
    if request.param == "full":
        begins("hundreds of configurations")
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        arguments = ["study=architectures", f"study.scale={request.param}"]
        asked = study.read(compose("config", arguments))
        once = {tuple(cell.labels.items()): cell for cell in asked.cells}.values()
        return list(zip(once, study.composed(once), strict=True))


def _sized(cells: list[tuple[Cell, DictConfig]], what: str) -> Iterator[tuple[str, str, int, int]]:
    """Yields the task, network, size and target size of each cell that is matched in this way."""
    which = matched.MATCHED.index(what)
    sizes = {
        (cell.labels["task"], cell.labels["network"]): matched.sizes(config, config.model.units)
        for cell, config in cells
        if cell.labels["matched"] == what
    }
    for (task, network), size in sizes.items():
        yield task, network, size[which], sizes[task, matched.REFERENCE][which]


@pytest.mark.parametrize("what", matched.MATCHED)
def test_matched_networks_have_equal_sizes(cells: list[tuple[Cell, DictConfig]], what: str) -> None:
    for task, network, size, target in _sized(cells, what):
        assert size == pytest.approx(target, rel=TOLERANCE), (task, network)


def test_the_study_has_every_network_on_every_problem() -> None:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        asked = study.read(compose("config", ["study=architectures"]))
    names = {tuple(cell.labels.values()) for cell in asked.cells}
    assert names == {
        (task, what, network)
        for task in matched.PROBLEMS
        for what in matched.MATCHED
        for network in matched.NETWORKS
    }


def test_an_lstm_multiplies_as_often_as_counted_by_hand() -> None:
    units, values, timesteps = 20, 100, 5
    config = matched.configured("echo 5 of 5", "LSTM")
    recurrent = timesteps * 4 * units * units  # the input is looked up
    gates = timesteps * 3 * units  # f * c, i * g, o * tanh(c)
    dense = timesteps * units * values
    weights = 4 * units * (values + units + 1) + (units + 1) * values
    assert matched.sizes(config, units) == (weights, recurrent + gates + dense)


def test_a_transformer_multiplies_as_often_as_counted_by_hand() -> None:
    u, values, t, layers = 20, 100, 5, 2
    config = matched.configured("echo 5 of 5", "transformer")
    kernels = t * 12 * u * u  # four of the attention, and two four times as wide
    attention = 2 * t * t * u  # scores and what they weigh
    turned = 2 * 4 * t * u // 2  # two products for each number of queries and keys
    norms = 2 * 3 * t * u
    block = kernels + attention + turned + norms
    ends = t * u + 3 * t * u + t * u * values  # the input's scale, the last norm, the dense layer
    _, counted = matched.sizes(config, u)
    assert counted == layers * block + ends


@pytest.mark.parametrize(("target", "units"), [(100, 10), (110, 10), (119, 11), (1, 1)])
def test_the_nearest_size_is_found(target: int, units: int) -> None:
    assert matched.nearest(lambda u: u * u, target) == units
