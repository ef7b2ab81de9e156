"""The settings of an inspection; imports nothing heavy."""

from collections.abc import Iterable

from echo_exp.settings import SettingError, integer

INSIDE = ("states", "gates", "probes")
"""Figures of what recurrent layers do."""
LOOKS = ("attention", "gradient")
"""Figures of what a network looks at in the window."""
AROUND = ("confusion", "errors", "skill")
"""Figures of what the network answers."""
FIGURES = (*INSIDE, *LOOKS, *AROUND)
"""All figures, in their order."""
SEQUENCES = 400
LEAST_SEQUENCES, MOST_SEQUENCES = 20, 100_000


def check(sequences: int, figures: Iterable[str]) -> tuple[str, ...]:
    """Returns the figures that are asked for, in their order.

    Raises:
        SettingError: There is no such figure, or the number of sequences is not allowed.
    """
    integer("sequences", sequences, LEAST_SEQUENCES, MOST_SEQUENCES)
    asked = list(figures)
    for name in asked:
        if name not in FIGURES:
            raise SettingError("figures", name, f"there are {', '.join(FIGURES)}")
    if not asked:
        raise SettingError("figures", "[]", f"it must name some of {', '.join(FIGURES)}")
    return tuple(name for name in FIGURES if name in asked)
