"""The sweeper of `echo-exp -m` and `study=...`: lists the jobs and launches them."""

import copy
import dataclasses
import itertools
import random
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import FloatRange, Override, RangeSweep
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration
from echo_exp.configuration import exits
from echo_exp.settings import SettingError, integer
from echo_exp.sweeps import descriptions, significance, study
from echo_exp.sweeps.composition import check_file, repeatable
from echo_exp.sweeps.launch import make_launcher, ready, workers
from echo_exp.sweeps.plan import Job, Sweep, axes, make_jobs, parameters, settings
from echo_exp.tracking.ui.view import NOTE_TAG, view

ONCE = {
    configuration.STUDY: "a study is a sweep",
    configuration.SEARCH: "a search is a sweep",
    configuration.LAUNCH: "all jobs of a sweep run in the same way",
}
"""Groups of which a sweep can have only one option, and why."""
PARAMS = "hydra.sweeper.params"


class EchoSweeper(BasicSweeper):
    """Runs a job for each combination of the values given, or for each cell of a study."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keeps what the jobs need."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Runs the sweep.

        Args:
            arguments: The overrides of the command line.
        """
        config, context = self.config, self.hydra_context
        assert config is not None
        assert context is not None
        with exits.explained():
            HydraConfig.instance().set_config(copy.deepcopy(config))
            if config.get(configuration.STUDY) is None:
                asked = _sweep(config, context, arguments)
            else:
                asked = _study(config, arguments)
            ready(config)
            at_once = config.hydra.sweeper.max_batch_size
            if at_once is not None:
                integer("hydra.sweeper.max_batch_size", at_once, 1)
            if asked.settings.dry_run:
                from echo_exp.sweeps import forecast

                forecast.tell(asked, config)
            else:
                from echo_exp.sweeps.run_sweep import run_sweep

                make = partial(make_launcher, config, context, self.task_function)
                run_sweep(asked, config, lambda folder: partial(_launch, make(folder), at_once))


def _sweep(config: DictConfig, context: HydraContext, arguments: list[str]) -> Sweep:
    lines = [*study.lines(_params(config)), *arguments]
    jobs = make_jobs(combinations(lines, context.config_loader))
    errors = [job.error for job in jobs if job.error is not None]
    if len(errors) == len(jobs):  # probably a setting that they share
        raise errors[0]
    name = f"sweep of {len(jobs)}: {' '.join(arguments)}"
    return _asked(config, ["-m", *arguments], jobs, name)


def _study(config: DictConfig, arguments: list[str]) -> Sweep:
    if _params(config):
        raise SettingError(PARAMS, _params(config), "a study defines its own cells")
    asked = study.read(config, arguments)
    check_file(config, configuration.STUDY, asked.arguments, "the grids of study.scales")
    here = f"tracking.experiment={config.tracking.experiment}"
    jobs = make_jobs(([here, *cell.overrides] for cell in asked.cells), study.check)
    for error in (job.error for job in jobs):
        if error is not None:  # a study with a cell missing would answer another question
            raise error
    _warn(asked, jobs)
    name = f"study {asked.name}, {asked.scale}: {' '.join(arguments)}"
    made = _asked(config, arguments, jobs, name)
    cells = descriptions.varied(cell.overrides for cell in asked.cells)
    return dataclasses.replace(
        made,
        known_as=made.identity,
        about=f"{asked.question}\n\nScale `{asked.scale}`: {cells}",
        tags={
            "study": asked.name,
            "scale": asked.scale,
            study.CELLS: study.cells_mark(job.fingerprint for job in jobs),
        },
        experiment={NOTE_TAG: descriptions.study(asked), **view(*asked.columns)},
        told=(f"export={config.export}",),
    )


def _warn(asked: study.Study, jobs: Sequence[Job]) -> None:
    """Says on the screen if the study has too few seeds for its comparisons."""
    seeds = [int(job.varied["replicas"]) for job in jobs]
    warning = significance.too_few([(seeds[a], seeds[b]) for a, b in asked.comparisons])
    if warning is not None:
        print(f"echo-exp: {warning}", file=sys.stderr)


def combinations(lines: Sequence[str], loader: ConfigLoader) -> list[list[str]]:
    """Returns the overrides of each job of a sweep; if a setting is given twice, the last counts.

    Args:
        lines: Overrides in Hydra's grammar.
        loader: Knows the options of groups, for `glob`.

    Raises:
        SettingError: A setting has no values, or more than it may have in a sweep.
        HydraException: An override cannot be read.
    """
    with repeatable():
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(lines))
        values = {override.get_key_element(): _lines(override) for override in parsed}
    return [list(each) for each in itertools.product(*values.values())]


def _lines(override: Override) -> list[str]:
    """Returns an override for each value of a setting."""
    line, key = override.input_line or "", override.get_key_element()
    if override.is_delete():
        return [line]
    if not override.is_sweep_override():
        return [f"{key}={study.quoted(override.value())}"]
    text = line.partition("=")[2]
    name = key.lstrip("+~")
    if name in ONCE:
        raise SettingError(name, text, f"it must be a single value: {ONCE[name]}")
    if not override.is_discrete_sweep():
        reason = "a search draws from it (hydra/sweeper=optuna); a sweep needs values, or a range"
        raise SettingError(name, text, reason)
    try:
        values = [Override._convert_value(value) for value in _listed(override)]
    except (HydraException, ValueError) as error:
        raise SettingError(name, text, f"its values cannot be listed ({error})") from error
    if not values:
        raise SettingError(name, text, "there is nothing to choose from")
    return [f"{key}={study.quoted(value)}" for value in values]


def _listed(override: Override) -> Iterable[Any]:
    """Returns the values of a sweep; a range is computed with decimals, as it was written."""
    given = override.value()
    if isinstance(given, RangeSweep):
        parts = {name: Decimal(str(getattr(given, name))) for name in ("start", "stop", "step")}
        if not all(isinstance(getattr(given, name), int) for name in parts):
            values = list(FloatRange(**parts))
            return random.sample(values, len(values)) if given.shuffle else values
    return override.sweep_iterator()


def _params(config: DictConfig) -> dict[str, Any]:
    """Returns the settings that the configuration itself varies.

    Raises:
        SettingError: They are not a mapping.
    """
    node = config.hydra.sweeper.params
    if node is None:
        return {}
    if not isinstance(node, DictConfig):
        raise SettingError(PARAMS, node, "it must be a mapping of settings to values")
    return cast("dict[str, Any]", OmegaConf.to_container(node, resolve=True))


def _launch(launcher: Launcher, at_once: int | None, jobs: list[list[str]]) -> list[JobReturn]:
    """Launches jobs, ``at_once`` of them at a time; None launches all together."""
    size = at_once or len(jobs)
    batches = [
        launcher.launch(jobs[first : first + size], initial_job_idx=first)
        for first in range(0, len(jobs), size)
    ]
    return [returned for batch in batches for returned in batch]


# Under Hydra's default name: one that config.yaml chose, no option of a group could replace.
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
    command = [*configuration.flags(), *command]
    apart = axes(jobs)
    asked = Sweep(
        name=name,
        command=command,
        jobs=jobs,
        settings=settings(config),
        folder=folder,
        axes=apart,
        parameters=parameters(jobs, apart),
        workers=workers(config),
    )
    return dataclasses.replace(asked, folder=folder / asked.identity)
