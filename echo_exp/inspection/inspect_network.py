"""A whole inspection: measures a network, draws the figures, says what was found."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from echo_exp.inspection import attribution, measurements, recording
from echo_exp.inspection.attribution import Attention, Gradient
from echo_exp.inspection.findings import findings
from echo_exp.inspection.measurements import (
    CARRIED,
    ZERO,
    Confusion,
    Errors,
    Gates,
    Probe,
    Skill,
    States,
)
from echo_exp.inspection.settings import FIGURES, INSIDE, SEQUENCES, check
from echo_exp.inspection.traces import affordable, has_gates, trace
from echo_exp.models import WithAttention, WithGates
from echo_exp.settings import SettingError
from echo_exp.training import walks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from echo_exp.network import TrainedNetwork

MEASUREMENTS = "measurements.json"
DIGITS = 6
DPI = 150
MOST_PROBED = 1000
"""Probes of more integers would need more windows than are drawn."""


@dataclass(frozen=True)
class Layer:
    """What was measured of one recurrent layer; None, or empty, if it was not asked for.

    Attributes:
        states: Its states over one window.
        gates: How open its gates are, if it has any.
        probes: How well linear probes read its states, by the state that the windows start with.
    """

    states: States | None
    gates: Gates | None
    probes: Mapping[str, Probe]


@dataclass(frozen=True)
class Inspection:
    """What was measured of a network; None if it was not asked for.

    Attributes:
        sequences: Number of fresh sequences that were drawn.
        layers: The measurements of each recurrent layer, by its name.
        attention: Its attention weights.
        gradient: What its answers depend on.
        confusion: Which integers were answered for which.
        errors: Where the wrong integers are.
        skill: How the share of right integers depends on the state.
        left_out: Figures that could not be made, and why.
    """

    sequences: int
    layers: Mapping[str, Layer]
    attention: Attention | None
    gradient: Gradient | None
    confusion: Confusion | None
    errors: Errors | None
    skill: Skill | None
    left_out: Mapping[str, str]

    def __repr__(self) -> str:
        """Returns it in one line: what was measured."""
        parts = [f.name for f in fields(self) if f.name not in ("sequences", "left_out")]
        made = ", ".join(name for name in parts if getattr(self, name))
        return f"Inspection({self.sequences} sequences: {made or 'nothing'})"


def inspect(
    network: "TrainedNetwork",
    folder: Path | str | None = None,
    sequences: int = SEQUENCES,
    figures: Collection[str] = FIGURES,
) -> Inspection:
    """Looks inside a trained network.

    Args:
        network: The network.
        folder: Where the figures and ``measurements.json`` are written; None writes nothing.
        sequences: Fresh sequences to draw; the probes learn from one half of them.
        figures: Which to make: states, gates, probes, attention, gradient, confusion,
            errors, skill.

    Returns:
        The measurements, and which figures could not be made.

    Raises:
        SettingError: There is no such figure, or the number of sequences is not allowed.
    """
    asked = check(sequences, figures)
    module = network.module
    windows = walks.fresh(module, network.seed, sequences)
    left_out = _left_out(network, asked, windows)
    if left_out and set(asked) <= left_out.keys():
        name = asked[0]
        raise SettingError("figures", name, left_out[name])
    possible = [name for name in asked if name not in left_out]
    echoes = walks.echoes(module, windows)
    inspection = Inspection(
        sequences=sequences,
        layers=_layers(network, windows, possible),
        attention=attribution.attention(module, windows) if "attention" in possible else None,
        gradient=attribution.gradient(module, windows) if "gradient" in possible else None,
        confusion=measurements.confusion(module, windows, echoes) if "confusion" in asked else None,
        errors=measurements.errors(module, windows, echoes) if "errors" in asked else None,
        skill=measurements.skill(module, windows, network.seed) if "skill" in asked else None,
        left_out=left_out,
    )
    if folder is not None:
        _write(inspection, network, Path(folder))
    return inspection


def _left_out(network: "TrainedNetwork", asked: Collection[str], windows: Tensor) -> dict[str, str]:
    """Returns the figures that cannot be made of a network, and why."""
    model, problem = network.module.model, network.problem
    name = type(model).__name__
    why = {}
    if problem.n_values > MOST_PROBED:
        why["probes"] = f"too few windows are drawn for more than {MOST_PROBED:,} integers"
    elif problem.marks:
        why["probes"] = "a probe reads integers, and windows of this problem have marks"
    if not (recording.layers(model) or isinstance(model, WithGates)):
        why |= dict.fromkeys(INSIDE, f"{name} shows no recurrent layer")
    elif "gates" in asked and not has_gates(network.module, windows):
        why["gates"] = f"the layers of {name} have no gates"
    if not isinstance(model, WithAttention):
        why["attention"] = f"{name} shows no attention weights"
    if "gradient" in asked and not attribution.reads_features(network.module, windows):
        why["gradient"] = f"{name} has no gradient with respect to its input"
    return {figure: why[figure] for figure in asked if figure in why}


def _layers(network: "TrainedNetwork", windows: Tensor, asked: Collection[str]) -> dict[str, Layer]:
    if not set(INSIDE) & set(asked):
        return {}
    module = network.module
    windows = windows[: affordable(module, windows)]
    trained = trace(module, windows, walks.as_trained(module))
    zero = trained
    if "probes" in asked and measurements.carries(module):
        zero = trace(module, windows, walks.reset)
    layers = {}
    for name, traced in trained.items():
        probes = {}
        if "probes" in asked:
            probes[ZERO] = measurements.probe(module, windows, zero[name], carried=False)
        if "probes" in asked and measurements.carries(module):
            probes[CARRIED] = measurements.probe(module, windows, traced, carried=True)
        layers[name] = Layer(
            states=measurements.states(module, windows, traced) if "states" in asked else None,
            gates=measurements.gates(traced) if "gates" in asked and traced.names else None,
            probes=probes,
        )
    return layers


def draw(inspection: Inspection) -> "dict[str, Figure]":
    """Draws a figure for each measurement; returns them by their names."""
    from echo_exp.inspection import drawing  # matplotlib

    figures: dict[str, Figure] = {}
    for name, layer in inspection.layers.items():
        suffix = f"_{name.replace(' ', '_')}" if len(inspection.layers) > 1 else ""
        if layer.states is not None:
            figures[f"states{suffix}"] = drawing.states(layer.states, name)
        if layer.gates is not None:
            figures[f"gates{suffix}"] = drawing.gates(layer.gates, name)
        if layer.probes:
            figures[f"probes{suffix}"] = drawing.probes(layer.probes, name)
    if inspection.attention is not None:
        figures["attention"] = drawing.attention(inspection.attention)
    if inspection.gradient is not None:
        figures["gradient"] = drawing.gradient(inspection.gradient)
    if inspection.confusion is not None:
        figures["confusion"] = drawing.confusion(inspection.confusion)
    if inspection.errors is not None:
        figures["errors"] = drawing.errors(inspection.errors)
    if inspection.skill is not None:
        figures["skill"] = drawing.skill(inspection.skill)
    return figures


def _write(inspection: Inspection, network: "TrainedNetwork", folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    about = {"run": network.run_id, "seed": network.seed, "epochs": network.epochs}
    content = about | {"findings": findings(inspection)} | _plain(inspection)
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    (folder / MEASUREMENTS).write_text(text, encoding="utf-8")
    for name, figure in draw(inspection).items():
        figure.savefig(folder / f"{name}.png", dpi=DPI)


def _plain(value: Any) -> Any:
    """Returns measurements as JSON values: lists for arrays, null for NaN and infinity."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(item) for name, item in vars(value).items()}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value
