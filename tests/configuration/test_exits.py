"""Errors are explained in one message, with the exit code that fits."""

import errno
import os
from pathlib import Path

import pytest
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.initialize import initialize_config_dir

from echo_exp import configuration
from echo_exp.configuration.exits import FAILED, WRONG_SETTING, explain


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The folder of a program whose output goes to the folder ``out`` there."""
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        given = [f"output_dir={tmp_path}/there/out"]
        HydraConfig.instance().set_config(compose("config", given, return_hydra_config=True))
    return tmp_path


def _error(path: Path) -> OSError:
    return OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))


@pytest.mark.parametrize("name", ["there/out", "there/out/runs/a", "there"])
def test_an_output_folder_that_cannot_be_written_is_a_wrong_setting(here: Path, name: str) -> None:
    said, code = explain(_error(here / name))
    reason = "it cannot be written (Permission denied)"
    assert said == f"output_dir={here / name} is not allowed: {reason}"
    assert code == WRONG_SETTING


@pytest.mark.parametrize("name", ["data.csv", "there/data.csv", "there/output"])
def test_another_file_that_cannot_be_used_is_a_failure(here: Path, name: str) -> None:
    said, code = explain(_error(here / name))
    assert said.startswith("PermissionError: ")
    assert "hydra.verbose=true shows the traceback" in said
    assert code == FAILED
