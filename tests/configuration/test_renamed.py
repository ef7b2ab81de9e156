"""Configurations of an earlier version name classes by their old places."""

import pkgutil

import pytest
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import OmegaConf

import echo_exp
from echo_exp import EchoProblem, configuration
from echo_exp.configuration import trust
from echo_exp.configuration.renamed import ADDED, current, renamed

BEFORE = {
    "problem._target_": "echo_exp.problem.Problem",
    "missing._target_": "echo_exp.missing.Drop",
    "representation._target_": "echo_exp.representation.OneHot",
    "model._target_": "echo_exp.models.Seq2Seq",
    "optimizer._target_": "echo_exp.optimizer.Adam",
    "trainer._target_": "echo_exp.trainer.TrainerSettings",
}


@pytest.mark.parametrize("name", [name for name in BEFORE.values() if "Problem" not in name])
def test_a_class_is_found_under_its_old_name(name: str) -> None:
    assert pkgutil.resolve_name(name) is pkgutil.resolve_name(current(name))


@pytest.mark.parametrize("module", ["problem", "task.problem"])
def test_a_renamed_class_is_found_in_a_configuration(module: str) -> None:
    assert pkgutil.resolve_name(current(f"echo_exp.{module}.Problem")) is EchoProblem


def test_an_old_configuration_is_trusted_and_means_the_same() -> None:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        now = compose("config")
    OmegaConf.resolve(now)
    before = now.copy()
    OmegaConf.set_struct(before, False)
    for key, name in BEFORE.items():
        OmegaConf.update(before, key, name)
    for key in ADDED:
        group, _, name = key.partition(".")
        before[group].pop(name, None)
    trust.check(renamed(before), (), ("run", "last"))
    assert configuration.read(renamed(before)).problem == configuration.read(now).problem
    assert configuration.fingerprint(renamed(before)) == configuration.fingerprint(now)


def test_a_run_of_an_earlier_version_has_the_fingerprint_of_its_settings_today() -> None:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        assert configuration.fingerprint(compose("config")) == "de9cb781a4ad52dd"
        later = compose("config", ["problem.n_out=2", "problem.offset=1"])
        first = compose("config", ["problem.n_out=2"])
    assert configuration.fingerprint(later) != configuration.fingerprint(first)


def test_a_setting_that_a_stored_configuration_lacks_is_not_a_difference() -> None:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        now = compose("config")
    before = now.copy()
    OmegaConf.set_struct(before, False)
    del before["problem"]["offset"]
    asked = ("problem.offset=0", "problem.order=forward")
    assert not configuration.differences(before, now, asked)


@pytest.mark.parametrize("name", ["os.system", "echo_expert.problem.Problem", "problem.Problem"])
def test_other_names_are_unchanged(name: str) -> None:
    assert current(name) == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = echo_exp.nothing
