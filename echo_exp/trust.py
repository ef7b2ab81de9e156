"""Whoever can write to a store must not get code run by those who read it."""

from collections.abc import Collection

from omegaconf import DictConfig, OmegaConf

from echo_exp import config as configuration
from echo_exp.settings import SettingError

Target = tuple[str, str]
"""A setting ``<group>._target_`` and what it names."""


def check(
    stored: DictConfig, trusted: Collection[Target], asked: tuple[str, str], hint: str = ""
) -> None:
    """Refuses a configuration that would call or look up what no configuration here does.

    Args:
        stored: The configuration, from the store.
        trusted: What it may call beside what the options of each group do.
        asked: The setting that names the run, and its value.
        hint: What the user may do about it.

    Raises:
        SettingError: It would.
    """
    known = configuration.targets() | set(trusted)
    for key, target in configuration.flat(OmegaConf.to_container(stored)).items():
        if isinstance(target, str) and "${" in target:
            raise SettingError(*asked, f"the run's stored configuration would look up {target}")
        if key.endswith(f".{configuration.TARGET}") and (key, target) not in known:
            reason = f"the run's stored configuration would call {target}, which is not ours"
            raise SettingError(*asked, reason + hint)
