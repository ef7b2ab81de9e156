"""Searches without any training."""

import functools
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration
from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.search import settings, space
from echo_exp.sweeps.search.settings import SearchSettings
from echo_exp.sweeps.search.trials import Trials


def search_node(**changes: Any) -> DictConfig:
    node = OmegaConf.create(_composed())
    node.storage = "sqlite:///optuna.db"
    node.update(changes)
    return node


@functools.cache
def _composed() -> dict[str, Any]:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        composed = compose("config", ["hydra/sweeper=optuna"], return_hydra_config=True)
    node = OmegaConf.to_container(composed.hydra.sweeper, resolve=False)
    assert isinstance(node, dict)
    return {str(key): value for key, value in node.items()}


def settings_for(**changes: Any) -> SearchSettings:
    return settings.read(search_node(**changes))


MEDIAN = {"_target_": "optuna.pruners.MedianPruner"}


def begun(folder: Path, *lines: str, **changes: Any) -> Trials:
    changes.setdefault("storage", f"journal:///{folder}/trials")  # faster than SQLite
    found = space.read(lines or ["model.units=range(5, 99)"])
    return Trials(settings_for(**changes), found, "code", seed=1, store=None, folder=folder)


def result_of(**metrics: float) -> JobResult:
    return JobResult(
        Status.FINISHED, metrics={k.replace("_", "/", 1): v for k, v in metrics.items()}
    )


def close(trials: Trials) -> None:
    assert trials._only is not None
    trials._only.release()
