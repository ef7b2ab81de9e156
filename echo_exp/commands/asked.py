"""The trained network that a command is asked for, by the settings that these commands share."""

from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig

from echo_exp import configuration
from echo_exp.settings import SettingError

if TYPE_CHECKING:
    from echo_exp.network import TrainedNetwork


def load(config: DictConfig) -> "TrainedNetwork":
    """Loads the network that ``run``, ``seed``, ``checkpoint`` and ``trust`` name.

    Raises:
        SettingError: There is no such network, it cannot be used, or a setting is wrong.
    """
    trusted = names("trust", config.trust)

    from echo_exp import network

    store = configuration.tracking(config)
    return network.load(str(config.run), store, config.seed, config.checkpoint, trusted)


def names(key: str, value: Any) -> list[str]:
    """Returns a list of names.

    Raises:
        SettingError: It is no such list.
    """
    if not (isinstance(value, ListConfig) and all(isinstance(name, str) for name in value)):
        raise SettingError(key, value, f"it must be a list of names, as in {key}=[a,b]")
    return list(value)
