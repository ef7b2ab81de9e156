"""The trained network that a command is asked for, by the settings that these commands share."""

import sys
from typing import TYPE_CHECKING

from omegaconf import DictConfig, ListConfig

from echo_exp import configuration
from echo_exp.settings import SettingError
from echo_exp.tracking.settings import LAST, existing

if TYPE_CHECKING:
    from echo_exp.network import TrainedNetwork

NAMED = ("model", "model.units", "optimizer.learning_rate", "seed")
"""The settings that name a network which the command has chosen."""


def load(config: DictConfig) -> "TrainedNetwork":
    """Loads the network that ``run``, ``seed``, ``checkpoint`` and ``trust`` name.

    Raises:
        SettingError: There is no such network, it cannot be used, or a setting is wrong.
    """
    trusted = config.trust
    if not (isinstance(trusted, ListConfig) and all(isinstance(name, str) for name in trusted)):
        reason = "it must be a list of classes, as in trust=[my_models.Elman]"
        raise SettingError("trust", trusted, reason)

    store = configuration.tracking(config)
    existing(store)  # before the imports that follow, which take seconds

    from echo_exp import network

    return network.load(str(config.run), store, config.seed, config.checkpoint, list(trusted))


def tell_newest(config: DictConfig, network: "TrainedNetwork") -> None:
    """Says on standard error which network is the newest, if that was asked for.

    It may be any job of a sweep.
    """
    if config.run == LAST:
        known = configuration.parameters(network.config) | {"seed": network.seed}
        words = configuration.words(known, NAMED, configuration.FEW_DIGITS)
        print(f"echo-exp: run {network.run_id}: {words}", file=sys.stderr)
