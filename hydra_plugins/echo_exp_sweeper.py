"""The sweeper of `echo-exp -m` and `study=...`: which jobs there are, and their launch."""

import dataclasses
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from echo_exp import config as configuration
from echo_exp import descriptions, mistakes, study
from echo_exp.launch import make_launcher
from echo_exp.settings import SettingError
from echo_exp.sweep import Job, Sweep, make_jobs, run_sweep, settings
from echo_exp.tracking.view import NOTE_TAG, view

ONCE = {
    configuration.STUDY: "a study is a sweep",
    configuration.SEARCH: "a search is a sweep",
    configuration.LAUNCH: "all jobs of a sweep run in the same way",
}
"""Groups of which a sweep has one option."""


class EchoSweeper(BasicSweeper):
    """Runs a job for each combination of the values given, or for each cell of a study."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Takes what the jobs need."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Runs the sweep.

        Args:
            arguments: The overrides of the command line.
        """
        config, context = self.config, self.hydra_context
        assert config is not None
        assert context is not None
        with mistakes.explained():
            if config.get(configuration.STUDY) is None:
                asked = self._sweep(config, arguments)
            else:
                asked = self._study(config, arguments)
            launcher = make_launcher(config, context, self.task_function, asked.folder)
            run_sweep(asked, config, lambda jobs: launcher.launch(jobs, initial_job_idx=0))

    def _sweep(self, config: DictConfig, arguments: list[str]) -> Sweep:
        lines = [*self._parse_config(), *arguments]
        parsed = OverridesParser.create().parse_overrides(lines)
        for override in parsed:
            key = override.get_key_element()
            if key in ONCE and override.is_sweep_override():
                named = (override.input_line or "").partition("=")[2]
                raise SettingError(key, named, f"it must be one value: {ONCE[key]}")
        (combinations,) = self.split_arguments(parsed, None)
        jobs = make_jobs(combinations)
        name = f"sweep of {len(jobs)}: {' '.join(arguments)}"
        return _asked(config, ["-m", *arguments], jobs, name)

    def _study(self, config: DictConfig, arguments: list[str]) -> Sweep:
        asked = study.read(config, arguments)
        for cell in asked.cells:
            study.compose_cell(cell)
        here = f"tracking.experiment={config.tracking.experiment}"
        jobs = make_jobs([here, *cell.overrides] for cell in asked.cells)
        name = f"study {asked.name}, {asked.scale}: {' '.join(arguments)}"
        made = _asked(config, arguments, jobs, name)
        cells = descriptions.varied(cell.overrides for cell in asked.cells)
        return dataclasses.replace(
            made,
            about=f"{asked.question}\n\nScale `{asked.scale}`: {cells}",
            tags={"study": asked.name, "scale": asked.scale},
            experiment={NOTE_TAG: descriptions.study(asked), **view(*asked.columns)},
            told=(f"export={config.export}",),
        )


# A name that Hydra takes by itself: what config.yaml chooses, no option of a group could replace.
ConfigStore.instance().store(
    group="hydra/sweeper",
    name="basic",
    node={
        "_target_": f"{__name__}.{EchoSweeper.__name__}",
        "max_batch_size": None,
        "params": None,
    },
)


def _asked(config: DictConfig, command: list[str], jobs: list[Job], name: str) -> Sweep:
    folder = Path(config.hydra.sweep.dir).absolute()
    asked = Sweep(name, command, jobs, settings(config), folder)
    return dataclasses.replace(asked, folder=folder / asked.identity)
