"""`echo_exp.train`: the command `echo-exp` from Python."""

import dataclasses
import functools
import shlex
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from hydra import compose
from hydra.errors import HydraException
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from echo_exp import configuration, running
from echo_exp import network as trained
from echo_exp.commands.train import check_dry_run
from echo_exp.configuration import exits, trust
from echo_exp.settings import SettingError
from echo_exp.training.checkpoint_names import LAST
from echo_exp.training.figures import learning_curve_png


def _composed(overrides: Sequence[Any]) -> DictConfig:
    for override in overrides:
        if not isinstance(override, str):
            reason = 'settings are texts, as on the command line: "epochs=25"'
            raise SettingError("overrides", override, reason)
        if override.startswith("-"):
            reason = "it is a flag of the command; here hydra.searchpath=[folder] adds your folder"
            raise SettingError("overrides", override, reason)
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        try:
            return compose("config", list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            reason = f"it cannot be composed ({str(error).splitlines()[0]})"
            unread = SettingError("overrides", shlex.join(overrides), reason)
            raise exits.wrong_setting(error) or unread from error


def train(
    *overrides: str, callbacks: pl.Callback | Sequence[pl.Callback] = ()
) -> trained.TrainedNetwork:
    """Trains, tests and records a network, as `echo-exp` with the same settings does.

    Args:
        overrides: Settings as on the command line, such as ``"model.units=40"``.
        callbacks: Lightning callbacks for the training. They may change its result, so a run with
            them is the same as no other: it is neither reused nor continued without them.

    Returns:
        The network; with several replicas, the first that did not diverge. If a finished run has
        done what ``resume`` asks for, the network of that run.

    Raises:
        SettingError: A setting is wrong; nothing was recorded.
        DivergedError: The loss became NaN or infinite; the run is FAILED.
        TrackingError: Something could not be recorded; the run is FAILED.
    """
    config = _composed(overrides)
    for group in configuration.WHOLE:
        if config.get(group) is not None:
            reason = "it makes many runs; use the command `echo-exp`"
            raise SettingError(group, config[group].get("name"), reason)
    check_dry_run(config.sweep)
    for override in overrides:
        key, _, value = override.partition("=")
        if key.lstrip("+") == configuration.LAUNCH:
            raise SettingError(key, value, "a single run is trained in this process")
    every = list(callbacks) if isinstance(callbacks, Sequence) else [callbacks]
    names = [type(callback).__name__ for callback in every]
    try:
        result = running.execute(config, overrides, callbacks=lambda: every, given=names)
    except running.AlreadyFinishedError as done:
        named = {str(name) for _, name in trust.targets(config)}
        return trained.load(done.stored.run_id, configuration.tracking(config), trusted=named)
    run_id = result.stored.run_id if result.stored else None
    metrics = result.outcome.metrics()
    network = trained.build(result.config, result.folder / LAST, run_id=run_id, metrics=metrics)
    loss_name = network.module.representation.loss_name
    curve = functools.partial(learning_curve_png, result.outcome.curves, loss_name)
    return dataclasses.replace(network, curve=curve)
