"""When a difference is significant, and how many seeds a study needs so that one can be."""

import math
from collections.abc import Sequence

CONFIDENCE = 0.95
"""The level of all intervals; a p-value below 1 minus it is significant."""


def smallest_p(first: int, second: int, paired: bool) -> float:
    """Returns the smallest p-value that a two-sided comparison of two samples can have.

    Args:
        first: The number of seeds of the first sample.
        second: The number of seeds of the second.
        paired: Whether both have the same seeds, so that Wilcoxon's signed-rank test (1945)
            compares them. Mann and Whitney's test (1947) compares others.
    """
    return min(1.0, 2 / 2**first if paired else 2 / math.comb(first + second, first))


def threshold(comparisons: int) -> float:
    """Returns what the smallest of several p-values must be below, by Holm's correction (1979).

    Bonferroni's correction uses it for all of them.

    Args:
        comparisons: The number of comparisons.
    """
    return (1 - CONFIDENCE) / max(comparisons, 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for their number (Holm 1979).

    Args:
        p_values: The p-values; NaN, where nothing was tested, stays NaN and does not count.
    """
    tested = [place for place, p in enumerate(p_values) if not math.isnan(p)]
    order = sorted(tested, key=lambda place: p_values[place])
    corrected, least = list(p_values), 0.0
    for done, place in enumerate(order):
        least = max(least, min(1.0, p_values[place] * (len(order) - done)))
        corrected[place] = least
    return corrected


def decidable(smallest: Sequence[float]) -> list[bool]:
    """Returns which of several comparisons can be significant, after Holm's correction of them all.

    A comparison that cannot be the first to be significant may still be so after others.

    Args:
        smallest: The smallest p-value that each comparison can have; NaN where nothing is tested.
    """
    return [p < 1 - CONFIDENCE for p in holm(smallest)]


def seeds_needed(comparisons: int) -> int:
    """Returns the smallest number of seeds with which a comparison can be significant.

    Args:
        comparisons: How many comparisons are made, each of samples with the same seeds.
    """
    return math.floor(1 - math.log2(threshold(comparisons))) + 1


def too_few(pairs: Sequence[tuple[int, int]]) -> str | None:
    """Says how many of several comparisons cannot be significant, and how many seeds are needed.

    Args:
        pairs: The numbers of seeds of the two samples of each comparison. Samples of the same size
            have the same seeds.

    Returns:
        The message; None if each comparison can be significant.
    """
    few = decidable([smallest_p(a, b, a == b) for a, b in pairs]).count(False)
    if not few:
        return None
    return (
        f"{few} of {len(pairs)} comparisons have too few seeds to be significant after Holm's "
        f"correction; {seeds_needed(len(pairs))} seeds are enough (replicas)"
    )
