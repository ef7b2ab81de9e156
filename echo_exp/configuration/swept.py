"""What distinguishes the runs of a sweep: the settings that differ, with abbreviated values."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from echo_exp.configuration.groups import GROUPS
from echo_exp.settings import word

SEED = "seed"
REPETITIONS = (SEED, "replicas")
"""Settings that only repeat the same experiment."""
SHORT = {"learning_rate": "lr"}
FEW_DIGITS = 4
"""Digits that suffice to show people a value that a search drew from an interval."""


def swept(
    runs: Sequence[Mapping[str, Any]], named: Collection[str] | None = None
) -> tuple[str, ...]:
    """Returns the parameters that differ between runs; `seed` and `replicas` come last.

    Args:
        runs: The parameters of each run.
        named: The parameters that were varied on purpose, if known. Others are left out if their
            values follow from these, as the units may follow from the network. The settings of a
            varied group come before others: two options of it may have the same class.
    """
    keys = dict.fromkeys(key for run in runs for key in run)
    differing = [key for key in keys if len({str(run.get(key)) for run in runs}) > 1]
    if named is not None:
        meant = [key for key in differing if key in named]
        others = [key for key in differing if key not in named]
        for key in sorted(others, key=lambda key: key.partition(".")[0] not in named):
            if key not in REPETITIONS and not _follows(key, meant, runs):
                meant.append(key)
        differing = meant
    return tuple(sorted(differing, key=lambda key: key in REPETITIONS))


def _follows(key: str, others: Sequence[str], runs: Sequence[Mapping[str, Any]]) -> bool:
    """Returns whether the values of some parameters determine that of another."""
    known = [key for key in others if key not in REPETITIONS]
    places = {tuple(str(run.get(other)) for other in known) for run in runs}
    finer = {tuple(str(run.get(other)) for other in (*known, key)) for run in runs}
    return len(places) == len(finer)


def varied(overrides: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    """Returns the settings that the overrides of some runs set differently, with their values."""
    every: dict[str, dict[str, None]] = {}
    for arguments in overrides:
        for override in arguments:
            key, _, value = override.partition("=")
            every.setdefault(setting(key), {})[value] = None
    return {key: list(values) for key, values in every.items() if len(values) > 1}


def setting(key: str) -> str:
    """Returns the name of a setting without the prefix of an override, as in ``++seed``."""
    return key.lstrip("+~").partition("@")[0]


def short(key: str, keys: Iterable[str] = ()) -> str:
    """Returns a setting's short name, or its whole name if the short one is ambiguous.

    Args:
        key: The setting's whole name.
        keys: The settings among which it must be unambiguous.
    """
    last = key.rpartition(".")[2]
    alike = [other for other in keys if other.rpartition(".")[2] == last]
    return key if len(alike) > 1 else SHORT.get(last, last)


def words(run: Mapping[str, Any], keys: Sequence[str], digits: int | None = None) -> str:
    """Returns a run's values of some parameters, as in ``units 40, lr 0.003, seed 1``.

    Args:
        run: The parameters.
        keys: The parameters to show.
        digits: The significant digits of a fraction; by default as many as identify it.
    """
    return ", ".join(_word(key, run[key], keys, digits) for key in keys if key in run)


def _word(key: str, value: Any, keys: Sequence[str], digits: int | None) -> str:
    if key in GROUPS and isinstance(value, str):  # its option says what it is
        return value
    return f"{short(key, keys)} {shown(value, digits)}"


def shown(value: Any, digits: int | None = None) -> str:
    """Returns a value as it is written in YAML.

    Args:
        value: The value.
        digits: The significant digits of a fraction; by default as many as identify it.
    """
    if not isinstance(value, float):
        return word(value)
    if digits is not None:
        return f"{value:.{digits}g}"
    few = f"{value:g}"
    return few if float(few) == value else repr(value)
