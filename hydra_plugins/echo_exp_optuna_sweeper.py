"""The sweeper of `hydra/sweeper=optuna` and `search=...`: a search with Optuna.

Hydra imports this module at every start, so Optuna is imported only for a search.
"""

import copy
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from echo_exp import configuration
from echo_exp.configuration import exits
from echo_exp.settings import SettingError, not_installed
from echo_exp.sweeps import study
from echo_exp.sweeps.launch import make_launcher, ready

OURS = re.compile(r"[+~]*hydra[./](sweeper\b|mode=)")
"""Overrides that are for the sweeper and not for its jobs."""


class OptunaSweeper(Sweeper):
    """Runs jobs whose settings Optuna proposes; `conf/hydra/sweeper/optuna.yaml` has its settings.

    Args:
        settings: Ignored: they are read from the configuration, where they are not yet resolved.
    """

    def __init__(self, **settings: Any) -> None:
        self.config: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keeps what the jobs need."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Runs the search.

        Args:
            arguments: The overrides of the command line.
        """
        config, context = self.config, self.hydra_context
        assert config is not None
        assert context is not None
        with exits.explained():
            if find_spec("optuna") is None:
                raise not_installed("hydra/sweeper", "optuna", "Optuna", extra="optuna")
            HydraConfig.instance().set_config(copy.deepcopy(config))
            folder = Path(config.hydra.sweep.dir).absolute()
            ready(config)
            launcher = make_launcher(_of_jobs(config), context, self.task_function, folder)
            self._search(config, context, launcher, arguments)

    def _search(
        self,
        config: DictConfig,
        context: HydraContext,
        launcher: Launcher,
        arguments: list[str],
    ) -> None:
        from echo_exp.sweeps.composition import check_file
        from echo_exp.sweeps.search import run_search, settings, space

        if config.get(configuration.STUDY) is not None:
            reason = "a study defines its own jobs, so it cannot be a search"
            raise SettingError(configuration.STUDY, config.study.get("name"), reason)
        node = config.hydra.sweeper
        read = settings.read(node)
        given = [a for a in arguments if not re.match(rf"[+~]*{configuration.SEARCH}=", a)]
        check_file(config, configuration.SEARCH, given, "hydra.sweeper.params")
        params = study.lines(read.params)
        spaces = space.read([*params, *given], context.config_loader)
        hydra = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
        assert isinstance(hydra, list)
        chosen = config.hydra.runtime.choices.get(configuration.SEARCH)
        own = [override for override in hydra if not override.startswith("hydra.mode=")]
        asked = run_search.Search(
            name=" ".join([f"search {chosen or ''}".strip() + ":", *arguments]),
            command=[*configuration.flags(), "-m", *own, *arguments],
            settings=read,
            space=spaces,
            raw_storage=str(OmegaConf.to_container(node, resolve=False)["storage"]),  # type: ignore[call-overload,index]
            at_once=read.at_once(config.hydra.launcher),
        )
        run_search.run_search(asked, config, lambda jobs: launcher.launch(jobs, initial_job_idx=0))


def _of_jobs(config: DictConfig) -> DictConfig:
    """Returns the configuration without the overrides that are for the sweeper."""
    found = copy.deepcopy(config)
    OmegaConf.set_readonly(found.hydra, False)
    with open_dict(found):
        given = found.hydra.overrides.hydra
        found.hydra.overrides.hydra = [o for o in given if not OURS.match(o)]
    return found
