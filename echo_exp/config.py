"""From a composed configuration to checked settings; imports nothing heavy."""

import dataclasses
import difflib
import hashlib
import inspect
import json
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from echo_exp.missing import Missing
from echo_exp.problem import Problem
from echo_exp.settings import SettingError, choice, integer
from echo_exp.tracking.store import TrackingSettings
from echo_exp.trainer import TrainerSettings

_PACKAGE = Path(__file__).parent
FOLDER = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())
"""The configuration: inside an installed package, beside it in a checkout."""

GROUPS = ("problem", "missing", "model", "representation", "optimizer", "trainer", "tracking")
STUDY, SEARCH = "study", "search"
WHOLE = (STUDY, SEARCH)
"""Groups whose options are many runs."""
WHOLE_PROGRAM = ("config", "report")
"""The files of settings that hold those of a training."""
TARGET = "_target_"
"""The key of a group that names what is made from its settings."""
LAUNCH = "launch"
"""A group that leaves nothing in the configuration of a job."""
CALLBACKS = "callbacks"
ROOT = (
    "seed",
    "replicas",
    "epochs",
    "batch_size",
    "resume",
    "sweep",
    "export",
    "inspect",
    CALLBACKS,
    "output_dir",
)
MOST_REPLICAS = 1_000_000
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
INCIDENTAL = (
    "resume",
    "output_dir",
    "inspect",
    "sweep",
    "export",
    "tracking",
    "trainer.progress",
    "trainer.checkpoint_seconds",
)
"""Settings that change nothing of what is measured."""


@dataclass(frozen=True)
class Settings:
    """The settings that can be checked without torch.

    Attributes:
        problem: The echo problem.
        missing: What is done with missing values.
        trainer: The trainer's settings.
        seeds: One seed a replica (R of them), from ``seed`` on.
        epochs: Tutorial epochs.
        batch_size: Windows in an update.
        output_dir: Where everything is written.
        inspect: Whether to look inside the network after its training.
    """

    problem: Problem
    missing: Missing
    trainer: TrainerSettings
    seeds: range
    epochs: int
    batch_size: int
    output_dir: Path
    inspect: bool


def read(config: DictConfig) -> Settings:
    """Checks a composed configuration as far as that is possible without torch.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    _resolve(config)
    for key in config:
        if key not in GROUPS + ROOT:
            raise unknown(str(key), config[key], GROUPS + ROOT)
    for group in GROUPS:
        if not isinstance(config.get(group), DictConfig):
            raise SettingError(group, config.get(group), "it must name an option of this group")
    choice("export", config.get("export", True), (True, False))  # older runs have none
    callbacks(config)
    missing = build(config.missing, "missing")
    problem = build(config.problem, "problem", incomplete=missing.incomplete)
    if missing.incomplete and problem.n_in == 1:
        raise SettingError("problem.n_in", 1, "no such window is incomplete: use missing=drop")
    choice("inspect", config.get("inspect", False), (True, False))
    replicas = integer("replicas", config.get("replicas"), 1, MOST_REPLICAS)
    seed = integer("seed", config.get("seed"), 0, 2**63 - replicas)
    return Settings(
        problem=problem,
        missing=missing,
        trainer=build(config.trainer, "trainer"),
        seeds=range(seed, seed + replicas),
        epochs=integer("epochs", config.get("epochs"), 1),
        batch_size=problem.check_batch_size(config.get("batch_size")),
        output_dir=Path(str(config.output_dir)),
        inspect=config.get("inspect", False),
    )


def check_keys(config: DictConfig, settings: str) -> None:
    """Checks that a command's composed settings are all in its file.

    Raises:
        SettingError: One is not.
    """
    file = OmegaConf.load(FOLDER / f"{settings}.yaml")
    known = ["tracking", *(str(key) for key in file if key not in ("defaults", "hydra"))]
    for key, value in config.items():
        if key not in known:
            raise unknown(str(key), value, known)


def callbacks(config: DictConfig) -> dict[str, DictConfig]:
    """Returns the settings of each of the user's own callbacks, by its name.

    Raises:
        SettingError: They are no mapping, or one of them is none.
    """
    named = config.get(CALLBACKS, {})  # a run of an earlier version has none
    if not isinstance(named, Mapping | DictConfig):
        reason = "it must be a mapping of a name to a _target_ and its arguments"
        raise SettingError(CALLBACKS, named, reason)
    for name, node in named.items():
        if not isinstance(node, DictConfig):
            reason = "it must be a mapping with a _target_"
            raise SettingError(f"{CALLBACKS}.{name}", node, reason)
    return {str(name): node for name, node in named.items()}


def tracking(config: DictConfig) -> TrackingSettings:
    """Returns the settings of ``tracking``.

    Raises:
        SettingError: One is unknown or has a value that is not allowed.
    """
    settings = {str(key): value for key, value in config.tracking.items()}
    known = [field.name for field in dataclasses.fields(TrackingSettings)]
    for name, value in settings.items():
        if name not in known:
            raise unknown(f"tracking.{name}", value, [f"tracking.{name}" for name in known])
    return TrackingSettings(**settings)


def _resolve(config: DictConfig) -> None:
    for key, value in flat(OmegaConf.to_container(config, resolve=False)).items():
        try:
            OmegaConf.select(config, key)
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            raise SettingError(key, value, f"it cannot be resolved ({reason})") from error
    OmegaConf.resolve(config)


def build(node: DictConfig, key: str, **runtime: Any) -> Any:
    """Makes the object that a group's ``_target_`` names from the settings beside it.

    Args:
        node: The group's configuration.
        key: The group's name, for messages.
        runtime: Arguments that are no settings.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    target = node.get(TARGET)
    try:
        parameters = inspect.signature(pkgutil.resolve_name(target)).parameters
    except Exception as error:
        reason = f"it must name something callable ({error})"
        raise SettingError(f"{key}.{TARGET}", target, reason) from error
    settings = [str(name) for name in node if name not in (TARGET, "_partial_")]
    kinds = {name: parameter.kind for name, parameter in parameters.items()}
    allowed = [name for name in parameters if name not in runtime and kinds[name] not in VARIADIC]
    for name in settings:
        if name not in allowed and inspect.Parameter.VAR_KEYWORD not in kinds.values():
            raise unknown(f"{key}.{name}", node[name], [f"{key}.{name}" for name in allowed])
    for name in allowed:
        required = parameters[name].default is inspect.Parameter.empty
        if required and name not in settings and not node.get("_partial_"):
            raise SettingError(f"{key}.{name}", None, f"{target} needs it")
    try:
        return instantiate(node, **runtime)
    except InstantiationException as error:
        raise error.__cause__ or error from None


@cache
def targets() -> frozenset[tuple[str, str]]:
    """Returns what the options of each group call: pairs of ``<group>._target_`` and a name."""
    found = set()
    for group in GROUPS:
        for path in (FOLDER / group).glob("*.yaml"):
            node = OmegaConf.load(path)
            if isinstance(node, DictConfig):
                node = node.get(group, node)  # an option may set more than its group
            if isinstance(node, DictConfig) and TARGET in node:
                found.add((f"{group}.{TARGET}", str(node[TARGET])))
    return frozenset(found)


def unknown(key: str, value: Any, known: Iterable[str]) -> SettingError:
    """Returns the error for a setting that does not exist, with the nearest that does."""
    known = list(known)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "there are " + ", ".join(sorted(known))
    return SettingError(key, value, f"there is no such setting; {hint}")


def overrides(hydra: Any) -> list[str]:
    """Returns what the user changed on the command line, from Hydra's own settings."""
    return cast("list[str]", OmegaConf.to_container(hydra.overrides.task, resolve=False))


def flags() -> list[str]:
    """Returns the flags that Hydra was given to find the configuration, as on a command line."""
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


def measured(overrides: Iterable[str]) -> list[str]:
    """Returns the overrides of settings that a result may depend on."""
    return [o for o in overrides if not _incidental(o.lstrip("+~").split("=")[0])]


def _incidental(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in (*INCIDENTAL, LAUNCH))


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Returns a nested configuration as one level of dotted keys."""
    if not isinstance(config, Mapping | DictConfig):
        return {prefix: config}
    return {
        key: value
        for name, node in config.items()
        for key, value in flat(node, f"{prefix}.{name}" if prefix else str(name)).items()
    }


def _measured(config: Any) -> dict[str, Any]:
    """Returns the settings that a result may depend on, flat."""
    return {key: value for key, value in flat(config).items() if not _incidental(key)}


def parameters(config: DictConfig) -> dict[str, Any]:
    """Returns what is worth comparing between runs: each group's class and all that it is given."""
    chosen = {
        group: config[group]._target_.rsplit(".", 1)[-1]
        for group in ("model", "representation", "missing", "optimizer")
    }
    rest = {key: value for key, value in _measured(config).items() if "._" not in key}
    return chosen | rest


def fingerprint(config: DictConfig, but: str | None = None) -> str:
    """Returns a hash of everything that a result may depend on, but for one setting if asked."""
    every = _measured(OmegaConf.to_container(config, resolve=True))
    measured = {key: value for key, value in every.items() if key != but}
    text = json.dumps(measured, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(stored: DictConfig, given: DictConfig, overrides: Iterable[str]) -> dict[str, str]:
    """Tells the settings named by ``overrides`` whose value is not that of a stored run.

    Returns:
        What is different, in words, by the setting's name.
    """
    before, now = _measured(stored), _measured(given)
    named = [override.lstrip("+~").split("=")[0].split("@")[0] for override in overrides]
    everything = "experiment" in named
    return {
        key: f"{key} is {now.get(key)} here and {before.get(key)} there"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
        and (everything or any(key == name or key.startswith(f"{name}.") for name in named))
    }
