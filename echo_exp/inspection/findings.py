"""What an inspection found, in plain sentences."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from echo_exp.inspection import recording
from echo_exp.inspection.measurements import CARRIED, NOISE, SWAPPED, ZERO, Errors, Probe, Skill

if TYPE_CHECKING:
    from echo_exp.inspection.inspect_network import Inspection

MOST_POSITIONS = 5
"""At most this many positions are named: those that the probe reads best."""


def findings(inspection: "Inspection") -> list[str]:
    """Returns what was found, in one sentence each."""
    found = [
        _read(name, list(layer.probes.values())[-1])
        for name, layer in inspection.layers.items()
        if layer.probes and recording.reads(name)
    ]
    if inspection.errors is not None:
        found.append(_wrong(inspection.errors))
    if inspection.skill is not None:
        found.append(_depends(inspection.skill))
    for reason in dict.fromkeys(inspection.left_out.values()):
        names = [name for name, why in inspection.left_out.items() if why == reason]
        found.append(f"Not made: {', '.join(names)} ({reason}).")
    return found


def _read(layer: str, probe: Probe) -> str:
    """Says how well a probe reads each position from a layer after the window."""
    shares, above = probe.accuracy.value[-1, -1], probe.above_chance()[-1, -1]
    order = sorted(range(len(shares)), key=lambda p: -shares[p])
    told = sorted(p for p in order[:MOST_POSITIONS] if above[p])
    of = ["of the integers", *["of those"] * len(told)]
    named = _listed([f"{shares[p]:.2f} {of[n]} at position {p + 1}" for n, p in enumerate(told)])
    shuffled = f"{probe.shuffled[-1, 0]:.3f} if trained on shuffled integers"
    return (
        f"After a window, a linear probe of the states of {layer} reads "
        f"{named or 'none of its integers'} ({shuffled}; "
        f"{probe.windows:,} windows to learn from)."
    )


def _wrong(errors: Errors) -> str:
    """Says how many integers are wrong, and where most are."""
    low, high = float(errors.all.low), float(errors.all.high)
    share = f"{_percent(float(errors.all.value))} of the integers are wrong"
    told = f"{share} (95 % interval {_percent(low)} to {_percent(high)})"
    places = errors.place.value
    if len(places) == 1 or not places.any():
        return f"{told}."
    most, fewest = int(np.argmax(places)), int(np.argmin(places))
    return (
        f"{told}: {_percent(places[most])} at place {most + 1} of the echo, "
        f"{_percent(places[fewest])} at place {fewest + 1}."
    )


def _depends(skill: Skill) -> str:
    """Says how the share of right integers depends on the state before a batch."""
    zero, carried, swapped, noise = (
        f"{float(skill.start[name].value):.4f}" for name in (ZERO, CARRIED, SWAPPED, NOISE)
    )
    return (
        f"After the first batch, the share of right integers is {carried} with the carried state, "
        f"{zero} with a state of zero, {swapped} with another sequence's state and {noise} with "
        "noise."
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
