"""Going on with a run that was interrupted: it keeps its own configuration."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from echo_exp import config as configuration
from echo_exp import trust
from echo_exp.settings import SettingError
from echo_exp.tracking import Store, StoredRun

AUTO = "auto"
"""`resume=auto`: the run of the same settings, if there is one; else a new one."""


def find(
    store: Store, config: DictConfig, overrides: Sequence[str]
) -> tuple[StoredRun, DictConfig]:
    """Finds the run that ``resume`` names and the configuration it began with.

    Args:
        store: Where to look.
        config: The configuration of this call.
        overrides: The settings that the user gave in this call; they must agree with the run's.

    Raises:
        SettingError: There is no such run, it has finished, it had other settings, or its
            configuration is none that this program can have written.
    """
    try:
        run = store.find_run(str(config.resume))
    except LookupError as error:
        raise SettingError("resume", config.resume, str(error)) from None
    if run.status == "FINISHED":
        raise SettingError("resume", config.resume, f"run {run.run_id} has finished")
    if run.config is None:
        raise SettingError("resume", config.resume, f"run {run.run_id} left no configuration")
    stored = OmegaConf.create(run.config)
    assert isinstance(stored, DictConfig)
    trust.check(stored, trust.targets(config), ("resume", config.resume))
    different = configuration.differences(stored, config, overrides)
    if different:
        raise SettingError(
            "resume",
            config.resume,
            "that run has another configuration: " + "; ".join(different),
        )
    for key in configuration.INCIDENTAL:
        OmegaConf.update(stored, key, OmegaConf.select(config, key))
    return run, stored
