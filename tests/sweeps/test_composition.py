"""Configurations composed together equal those that Hydra composes one by one."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException

from echo_exp import configuration
from echo_exp.sweeps.composition import compose_all

LISTS = [
    ["seed=1", "epochs=5"],
    ["seed=2", "epochs=5"],
    ["model=encoder_decoder", "seed=2", "problem.n_out=2", "model.units=7"],
    ["experiment=encoder_decoder_baseline", "epochs=3"],
    ["model.units=7", "model=encoder_decoder"],
    ["~model.units"],
    ["trainer=debug", "trainer.threads=2", "optimizer.learning_rate=1e-2"],
    ["problem={n_in: 3, n_out: 3}"],
    ["tracking.experiment='it\\'s a, strange name'"],
    [],
]


@pytest.fixture(autouse=True)
def _hydra() -> object:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3") as context:
        yield context


def test_each_configuration_equals_what_hydra_composes() -> None:
    together = list(compose_all(LISTS))
    assert [arguments for arguments, _ in together] == LISTS
    for arguments, config in together:
        assert config == compose("config", arguments), arguments


def test_a_configuration_leaves_nothing_behind_in_the_next() -> None:
    (_, first), (_, second) = compose_all([["model.units=99"], ["seed=2"]])
    assert first.model.units == 99
    assert second.model.units == 20


def test_an_unknown_setting_is_reported_in_hydras_words() -> None:
    with pytest.raises(ConfigCompositionException, match=r"model\.unit"):
        list(compose_all([["seed=1"], ["model.unit=5"]]))
