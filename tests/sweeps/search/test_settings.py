"""The settings and the name of a search, and how many trials are launched together."""

from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration
from echo_exp.settings import SettingError
from echo_exp.sweeps.plan import Sweep, SweepSettings
from echo_exp.sweeps.search import space
from echo_exp.sweeps.search.goals import Constraint
from echo_exp.sweeps.search.run_search import Search, together
from echo_exp.sweeps.search.trials import study_name

from .searches import MEDIAN, settings_for


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objectives": []}, "at least one"),
        ({"objectives": "maximize val/accuracy"}, "it must be a list"),
        ({"objectives": ["val/accuracy"]}, "maximize or minimize, and a metric"),
        ({"objectives": ["maximise val/accuracy"]}, "maximize or minimize, and a metric"),
        ({"objectives": ["maximize test/accuracy"]}, "selects by validation"),
        ({"constraints": ["test/accuracy at least 0.9"]}, "selects by validation"),
        ({"constraints": ["val/accuracy >= 0.9"]}, "at least 0.99"),
        ({"constraints": ["val/accuracy at least much"]}, "at least 0.99"),
        ({"trials": 0}, "at least 1"),
        ({"n_jobs": 0}, "at least 1"),
        ({"trails": 5}, "did you mean hydra.sweeper.trials"),
        ({"sampler": {"_target_": "os.system", "command": "true"}}, "a class of optuna.samplers"),
        ({"sampler": {"_target_": "optuna.samplers.Nothing"}}, "callable"),
        (
            {"sampler": {"_target_": "optuna.samplers.CmaEsSampler"}},
            "executes code from the storage",
        ),
        ({"sampler": {"_target_": "optuna.samplers.RandomSampler", "seed": 1}}, "`seed` seeds it"),
        ({"sampler": None}, "a class of optuna.samplers"),
        ({"pruner": "median"}, "a class of optuna.pruners"),
        ({"pruner": MEDIAN | {"n_startup": 5}}, "did you mean"),
        ({"pruner": MEDIAN | {"n_startup_trials": -1}}, "n_startup_trials|Number of"),
        ({"pruner": MEDIAN, "objectives": ["minimize parameters"]}, "a metric of val/"),
        (
            {"pruner": MEDIAN, "objectives": ["maximize val/accuracy", "minimize parameters"]},
            "by a single objective",
        ),
    ],
)
def test_a_wrong_setting_is_explained(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        settings_for(**changes)


def test_the_name_of_a_study_depends_on_the_question_and_not_on_the_method() -> None:
    def name(*lines: str, **changes: Any) -> str:
        return study_name(settings_for(**changes), space.read(lines), "code")

    asked = ("model.units=range(5, 9)", "epochs=5")
    first = name(*asked)
    assert name(*reversed(asked)) == first
    assert name(*asked, "output_dir=elsewhere", trials=7, storage="sqlite:///x.db") == first
    others = {
        name("model.units=range(5, 10)", "epochs=5"),
        name("model.units=range(5, 9)", "epochs=6"),
        name(*asked, objectives=["minimize val/loss"]),
        name(*asked, constraints=["parameters at most 5000"]),
    }
    assert len(others | {first}) == 5
    assert name(*asked, name="mine") == "mine"


def test_a_constraint_says_how_far_a_value_is_off() -> None:
    assert Constraint("val/accuracy", False, 0.99).violation(0.9) == pytest.approx(0.09)
    assert Constraint("val/accuracy", False, 0.99).violation(0.99) == 0
    assert Constraint("parameters", True, 100).violation(90) == -10


class Derived(BasicLauncher):
    """A user's own launcher that runs jobs in this process."""


@pytest.mark.parametrize("launcher", [BasicLauncher, Derived])
def test_as_many_trials_are_launched_as_the_launcher_runs(launcher: type[Launcher]) -> None:
    basic = _of(launcher)
    assert settings_for().at_once(basic) == 1
    assert (
        settings_for().at_once(OmegaConf.create({"_target_": "x.JoblibLauncher", "n_jobs": 3})) == 3
    )
    assert settings_for(n_jobs=4).at_once(basic) == 4


def _of(launcher: type[Launcher]) -> DictConfig:
    return OmegaConf.create({"_target_": f"{launcher.__module__}.{launcher.__name__}"})


STACKABLE = ("optimizer.learning_rate=interval(0.001, 0.1)", "seed=range(9)")


@pytest.mark.parametrize(
    ("lines", "changes", "fused", "expected"),
    [
        (STACKABLE, {"trials": 50}, True, 10),
        (STACKABLE, {"trials": 5000}, True, 64),
        ((*STACKABLE, "replicas=16"), {"trials": 50}, True, 4),
        ((*STACKABLE, "model.units=range(5, 9)"), {"trials": 50}, True, 1),
        (STACKABLE, {"trials": 50, "n_jobs": 3}, True, 3),
        (STACKABLE, {"trials": 50}, False, 1),
    ],
)
def test_trials_that_can_be_one_stack_are_launched_together(
    lines: tuple[str, ...], changes: dict[str, Any], fused: bool, expected: int
) -> None:
    asked = settings_for(**changes)
    one = asked.at_once(_of(BasicLauncher))
    search = Search("a search", (), asked, space.read(lines), "", one)
    settings = SweepSettings("unfinished", 1, fused, report=False, dry_run=False)
    sweep = Sweep("a search", (), (), settings, Path())
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        assert together(search, sweep) == expected
