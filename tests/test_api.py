"""The public names all exist, are documented, and import nothing before they are used."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import echo_exp

REFERENCE = Path(__file__).parents[1] / "docs" / "api.md"


@pytest.mark.parametrize("name", echo_exp.__all__)
def test_every_public_name_exists_and_is_in_the_reference(name: str) -> None:
    assert getattr(echo_exp, name).__doc__
    assert f":: echo_exp.{name}\n" in REFERENCE.read_text(encoding="utf-8")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        echo_exp.trian  # noqa: B018


def test_importing_the_package_imports_no_heavy_library() -> None:
    probe = "import sys, echo_exp; print({'torch', 'mlflow', 'hydra', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_study_is_refused_as_a_training() -> None:
    with pytest.raises(
        echo_exp.SettingError, match=r"study=ignore_state .* the command `echo-exp`"
    ):
        echo_exp.train("study=ignore_state")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epoch=3", "epoch=3 .* did you mean epochs"),
        ("seed=1,2", "seed=1,2 .* a single value"),
        ("model=foo", "model=foo .* it must be attention or"),
        ("model.units=[1", r"overrides='model.units=\[1' .* it cannot be composed"),
        ("-m", "overrides=-m .* it is a flag of the command"),
        ("--config-dir=mine", r"hydra.searchpath=\[folder\] adds your folder"),
        ({"epochs": 25}, 'settings are texts, as on the command line: "epochs=25"'),
    ],
)
def test_a_setting_that_cannot_be_composed_is_named(setting: Any, said: str) -> None:
    with pytest.raises(echo_exp.SettingError, match=said):
        echo_exp.train(setting)


def test_what_is_no_callback_is_named() -> None:
    with pytest.raises(echo_exp.SettingError, match=r"callbacks=object .* must be a pyto"):
        echo_exp.train("tracking=none", callbacks=object())  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", ["sweep.dry_run=true", "launch=joblib"])
def test_a_setting_of_sweeps_is_refused_as_a_training(setting: str) -> None:
    with pytest.raises(echo_exp.SettingError, match="single run"):
        echo_exp.train(setting)
