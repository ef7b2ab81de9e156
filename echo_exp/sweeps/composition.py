"""Composes many configurations that differ in a few settings, reading each file once.

Hydra reads every file again for each configuration, which takes longer than a short training. Only
the options of groups decide which files are read; other settings change values afterwards.
"""

import contextlib
import copy
import random
from collections.abc import Iterable, Iterator, Sequence

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration
from echo_exp.configuration import WHOLE_PROGRAM
from echo_exp.settings import SettingError

CONFIG = "config"


def compose_all(
    overrides: Iterable[Sequence[str]],
) -> Iterator[tuple[list[str], DictConfig]]:
    """Composes a configuration for each of many lists of overrides.

    Args:
        overrides: The lists.

    Yields:
        The overrides and their configuration.

    Raises:
        Exception: Hydra's, if a configuration cannot be composed.
    """
    parser = OverridesParser.create()
    groups = set(_groups(""))
    read: dict[tuple[str, ...], DictConfig] = {}
    for arguments in overrides:
        parsed = parser.parse_overrides(list(arguments))
        plain = [override for override in parsed if _plain(override, groups)]
        files = tuple(o.input_line or "" for o in parsed if o not in plain)
        if files not in read:
            read[files] = compose(primary(), list(files))
        config = copy.deepcopy(read[files])
        try:
            for override in plain:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except Exception:  # Hydra's own error says better what is wrong
            config = compose(primary(), list(arguments))
        yield list(arguments), config


def check_file(config: DictConfig, group: str, arguments: Sequence[str], where: str) -> None:
    """Checks that the file of a study or a search sets nothing that its jobs would not get.

    Args:
        config: The configuration composed with the file.
        group: The group of the file: ``study`` or ``search``.
        arguments: The overrides of the command line, without those that name the file.
        where: Where the file can name settings of its jobs, for the message.

    Raises:
        SettingError: It does.
    """
    parsed = OverridesParser.create().parse_overrides(list(arguments))
    single = [each.input_line or "" for each in parsed if not each.is_sweep_override()]
    names = configuration.set_apart(config, compose(primary(), single))
    if names:
        chosen = config.hydra.runtime.choices.get(group)
        reason = f"its file sets {', '.join(names)}, which has no effect there: set it in {where}"
        raise SettingError(group, chosen, f"{reason} or on the command line")


def primary() -> str:
    """Returns the name of the primary configuration: a user's own, or that of `echo-exp`.

    The configurations of other commands have settings that a training does not have.
    """
    if not HydraConfig.initialized():
        return CONFIG
    name = str(HydraConfig.get().job.config_name)
    return CONFIG if name in WHOLE_PROGRAM else name


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """Makes Hydra shuffle the values of overrides alike at each start, until the block ends.

    A sweep is identified by its jobs, and processes that share it must number them alike.
    """
    before = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(before)


def _plain(override: Override, groups: set[str]) -> bool:
    """Returns whether an override only changes a value."""
    changes = not override.is_add() and not override.is_delete()
    return changes and override.package is None and override.key_or_group not in groups


def _groups(parent: str) -> Iterator[str]:
    """Yields the names of all groups of the configuration."""
    loader = GlobalHydra.instance().config_loader()
    for name in loader.list_groups(parent):
        group = f"{parent}/{name}" if parent else name
        yield group
        yield from _groups(group)
