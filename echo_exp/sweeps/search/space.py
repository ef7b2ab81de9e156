"""What a search may vary, in Hydra's grammar of overrides.

Optuna stores a choice as text, so a choice may be anything that can follow the `=` of an override.
What Optuna returns is checked, because others may write to its storage.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from echo_exp.settings import SettingError
from echo_exp.sweeps.composition import repeatable

LOG = "log"


@dataclass(frozen=True)
class Space:
    """The settings of all trials.

    Attributes:
        distributions: The values among which Optuna chooses, by the names of the settings.
        fixed: The overrides that all trials share.
    """

    distributions: Mapping[str, BaseDistribution]
    fixed: Sequence[str]

    @property
    def numbers(self) -> list[str]:
        """The settings whose values are all numbers; a choice has them as words."""
        return [name for name, found in self.distributions.items() if _numeric(found)]

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Returns the overrides of a trial.

        Args:
            params: The values of the varied settings, as Optuna stores them.

        Raises:
            ValueError: A value in Optuna's storage is not in this space.
        """
        for name, distribution in self.distributions.items():
            if not _within(distribution, params.get(name)):
                raise ValueError(f"the trial has a {name} that the search does not allow")
        return [*self.fixed, *(f"{name}={params[name]}" for name in self.distributions)]

    def corners(self) -> list[dict[str, Any]]:
        """Returns settings of trials that together have each choice, and both ends of each range.

        The first has the first choice or the lower end of every setting; each other one differs
        from it in one setting. If one of them cannot be composed, trials of the search cannot
        either.
        """
        first = {name: _ends(space)[0] for name, space in self.distributions.items()}
        return [first] + [
            {**first, name: value}
            for name, space in self.distributions.items()
            for value in _ends(space)[1:]
        ]


def _numeric(found: BaseDistribution) -> bool:
    if isinstance(found, CategoricalDistribution):
        try:
            [float(str(word)) for word in found.choices]
        except ValueError:
            return False
    return True


def read(lines: Iterable[str], loader: ConfigLoader | None = None) -> Space:
    """Reads overrides; if a setting is given twice, the last one counts.

    Args:
        lines: The overrides; those with several values are varied.
        loader: Hydra's loader, which finds the options of groups for `glob`.

    Raises:
        SettingError: The values of a setting are empty or impossible, or no setting is varied.
        HydraException: An override cannot be read.
    """
    with repeatable():
        return _read(lines, loader)


def _read(lines: Iterable[str], loader: ConfigLoader | None) -> Space:
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(lines))
    last = {override.get_key_element().lstrip("+~"): override for override in parsed}
    spaces = {name: o for name, o in last.items() if o.is_sweep_override()}
    if not spaces:
        reason = "a search needs a setting to vary, such as model.units='range(5, 80)'"
        raise SettingError("hydra.sweeper.params", "{}", reason)
    return Space(
        {o.get_key_element(): _distribution(name, o) for name, o in spaces.items()},
        [o.input_line or "" for name, o in last.items() if name not in spaces],
    )


def _distribution(name: str, override: Override) -> BaseDistribution:
    text = (override.input_line or "").partition("=")[2]
    value = override.value()
    if isinstance(value, RangeSweep):
        return _range(name, text, value)
    if isinstance(value, IntervalSweep):
        return _interval(name, text, value)
    choices = list(dict.fromkeys(override.sweep_string_iterator()))
    if not choices:
        raise SettingError(name, text, "there is nothing to choose from")
    return CategoricalDistribution(choices)


def _range(name: str, text: str, given: RangeSweep) -> BaseDistribution:
    """Returns the distribution of a range; as everywhere in Hydra, the stop is excluded."""
    assert given.start is not None
    assert given.stop is not None
    start, stop, step = (Decimal(str(part)) for part in (given.start, given.stop, given.step))
    count = math.ceil((stop - start) / step) if step else 0
    if count < 1:
        raise SettingError(name, text, "the range is empty: range(low, high) with low below high")
    low, high = sorted((start, start + (count - 1) * step))
    log = LOG in given.tags
    if log and (low <= 0 or abs(step) != 1):
        raise SettingError(name, text, "with log it must begin above 0 and have a step of 1")
    if all(isinstance(part, int) for part in (given.start, given.stop, given.step)):
        return IntDistribution(int(low), int(high), log=log, step=int(abs(step)))
    if log:
        raise SettingError(name, text, "with log it must be a range of integers or an interval")
    return FloatDistribution(float(low), float(high), step=float(abs(step)))


def _interval(name: str, text: str, given: IntervalSweep) -> BaseDistribution:
    assert given.start is not None
    assert given.end is not None
    low, high, log = given.start, given.end, LOG in given.tags
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise SettingError(name, text, "it must be interval(low, high) with low not above high")
    if log and low <= 0:
        raise SettingError(name, text, "with log it must begin above 0")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _within(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    kind = int if isinstance(distribution, IntDistribution) else float
    return type(value) is kind and distribution.low <= value <= distribution.high


def _ends(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return [distribution.low, distribution.high]
