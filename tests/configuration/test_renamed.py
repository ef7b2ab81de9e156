"""Configurations of an earlier version name classes where they were."""

import pkgutil

import pytest
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import OmegaConf

import echo_exp
from echo_exp import configuration
from echo_exp.configuration import trust
from echo_exp.configuration.renamed import current, renamed

BEFORE = {
    "problem._target_": "echo_exp.problem.Problem",
    "missing._target_": "echo_exp.missing.Drop",
    "representation._target_": "echo_exp.representation.OneHot",
    "model._target_": "echo_exp.models.Seq2Seq",
    "optimizer._target_": "echo_exp.optimizer.Adam",
    "trainer._target_": "echo_exp.trainer.TrainerSettings",
}


@pytest.mark.parametrize("name", BEFORE.values())
def test_a_class_is_found_under_its_old_name(name: str) -> None:
    assert pkgutil.resolve_name(name) is pkgutil.resolve_name(current(name))


def test_an_old_configuration_is_trusted_and_means_the_same() -> None:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        now = compose("config")
    OmegaConf.resolve(now)
    before = now.copy()
    for key, name in BEFORE.items():
        OmegaConf.update(before, key, name)
    trust.check(renamed(before), (), ("run", "last"))
    assert configuration.fingerprint(renamed(before)) == configuration.fingerprint(now)


@pytest.mark.parametrize("name", ["os.system", "echo_expert.problem.Problem", "problem.Problem"])
def test_other_names_stay(name: str) -> None:
    assert current(name) == name


def test_what_is_nowhere_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = echo_exp.nothing
