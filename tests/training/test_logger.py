"""What callbacks log is recorded at the tutorial epoch."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from echo_exp.tracking import Run
from echo_exp.training.logger import RunLogger

Points = list[tuple[list[int], dict[str, list[float]]]]


@pytest.fixture
def points() -> Points:
    return []


@pytest.fixture
def logger(points: Points, tmp_path: Path) -> RunLogger:
    run = SimpleNamespace(log_metrics=lambda steps, values: points.append((steps, values)))
    return RunLogger(cast("Run", run), tmp_path, lambda: 75)


def test_the_step_is_always_the_tutorial_epoch(logger: RunLogger, points: Points) -> None:
    logger.log_metrics({"a": 1.0, "b": torch.tensor(2.0)}, step=3)
    logger.log_metrics({"c": 3})
    assert points == [([75], {"a": [1.0], "b": [2.0]}), ([75], {"c": [3.0]})]


def test_lightnings_own_epoch_is_not_recorded(logger: RunLogger, points: Points) -> None:
    logger.log_metrics({"epoch": 0})
    assert points == []


def test_an_unchanged_value_is_recorded_once(logger: RunLogger, points: Points) -> None:
    for value in (0.1, 0.1, 0.2):
        logger.log_metrics({"rate": value})
    assert [values["rate"] for _, values in points] == [[0.1], [0.2]]


@pytest.mark.parametrize(
    ("name", "recorded"), [("acc@5", "acc_5"), ("a/b.c-d: e_1", "a/b.c-d: e_1"), ("größe", "größe")]
)
def test_characters_that_mlflow_forbids_become_underscores(
    logger: RunLogger, points: Points, name: str, recorded: str
) -> None:
    logger.log_metrics({name: 1})
    assert points == [([75], {recorded: [1.0]})]


@pytest.mark.parametrize("value", ["much", torch.ones(2), None])
def test_a_value_that_is_not_a_number_is_refused(logger: RunLogger, value: Any) -> None:
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        logger.log_metrics({"a": value})


def test_without_a_run_nothing_is_recorded(tmp_path: Path) -> None:
    RunLogger(None, tmp_path, lambda: 1).log_metrics({"a": 1.0})
    assert list(tmp_path.iterdir()) == []
