"""The arguments that the user gave on the command line, as Hydra records them."""

from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from echo_exp.configuration.groups import FOLDER, WHOLE_PROGRAM


def overrides(hydra: Any) -> list[str]:
    """Returns what the user changed on the command line.

    Args:
        hydra: Hydra's own settings.
    """
    return cast("list[str]", OmegaConf.to_container(hydra.overrides.task, resolve=False))


def flags() -> list[str]:
    """Returns the flags that told Hydra where the configuration is, as on a command line."""
    if not HydraConfig.initialized():
        return []
    hydra = HydraConfig.get()
    places = {source.provider: source.path for source in hydra.runtime.config_sources}
    found = {"--config-dir": places.get("command-line")}
    if places.get("main") != str(FOLDER):
        found["--config-path"] = places.get("main")
    if hydra.job.config_name not in WHOLE_PROGRAM:
        found["--config-name"] = hydra.job.config_name
    return [f"{flag}={value}" for flag, value in found.items() if value is not None]
