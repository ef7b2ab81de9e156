"""The command `echo-exp`: composes and checks the settings, trains, prints the result.

Torch, Lightning and MLflow are imported only when a training starts, so that help, a printed
configuration and an error message appear at once.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from echo_exp import configuration, running
from echo_exp.commands import hydra_main as command
from echo_exp.configuration import exits
from echo_exp.settings import SettingError
from echo_exp.sweeps import job
from echo_exp.training.interrupts import Interrupts

if TYPE_CHECKING:
    from echo_exp.training.outcome import Outcome


def main() -> None:
    """Runs `echo-exp`."""
    with Interrupts():
        command.run(_echo, "config", several=True)


def _echo(config: DictConfig) -> None:
    context = HydraConfig.get()
    overrides = configuration.overrides(context)
    if context.mode == RunMode.MULTIRUN and "stack" in config.sweep:
        from echo_exp.sweeps import stacked_jobs

        stacked_jobs.run_stack(config, Path(context.sweep.dir), context.sweeper)
    elif context.mode == RunMode.MULTIRUN:
        job.run_job(config, overrides, Path(context.sweep.dir), context.sweeper)
    else:
        _check_single(context.runtime.choices, config.sweep)
        _run(config, overrides)


def _check_single(choices: Mapping[str, str | None], sweep: Mapping[str, Any]) -> None:
    """Checks that the settings make one run, in this process.

    Raises:
        SettingError: They do not, although ``--run`` or ``hydra.mode=RUN`` asks for one run; or
            see `check_dry_run`.
    """
    for group in (*configuration.WHOLE, configuration.LAUNCH):
        if choices.get(group) not in (None, "null", "basic"):
            reason = "--run and hydra.mode=RUN make one run in this process"
            raise SettingError(group, choices[group], reason)
    check_dry_run(sweep)


def check_dry_run(sweep: Mapping[str, Any]) -> None:
    """Checks that a single run is not asked for the jobs of a sweep.

    Args:
        sweep: The settings of ``sweep``.

    Raises:
        SettingError: ``sweep.dry_run`` is set.
    """
    if sweep["dry_run"]:
        reason = "it lists the jobs of a sweep (-m, study= or search=), but this is a single run"
        raise SettingError("sweep.dry_run", sweep["dry_run"], reason)


def _run(config: DictConfig, overrides: list[str]) -> None:
    try:
        result = running.execute(config, overrides, on_outcome=_show)
        _print_places(result, config, overrides)
        if result.waiting is not None:
            print(f"echo-exp: {running.undelivered(result.waiting, overrides)}", file=sys.stderr)
            sys.exit(exits.FAILED)
    except running.AlreadyFinishedError as done:
        store = running.open_store(config)
        assert store is not None  # the run comes from it
        print(f"{done}\n{running.directions(store, done.stored, overrides)}")


def _show(outcome: "Outcome") -> None:
    whose = f" by the replica of seed {outcome.listed}" if len(outcome.seeds) > 1 else ""
    print(f"\nThe echo of one new sequence{whose} (wrong integers in asterisks):")
    print(f"{outcome.listing}\n\n{outcome}\n", flush=True)


def _print_places(result: running.Result, config: DictConfig, overrides: list[str]) -> None:
    for note in result.notes:
        print(f"echo-exp: not added to the run: {note}", file=sys.stderr)
    inside = result.folder.parent / running.INSPECTION
    if config.inspect and inside.exists():
        print(f"Inside the network: {inside}")
    store = running.open_store(config)
    if store is None or result.stored is None:
        print(f"Its checkpoints: {result.folder}")
        return
    print(running.directions(store, result.stored, overrides))


if __name__ == "__main__":
    main()
