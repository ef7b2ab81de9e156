"""How time and memory grow with the integers, the window, the units and the replicas.

    python -m benchmarks.growth                  about ten minutes
    python -m benchmarks.growth --from-results   prints and draws again

One setting of a baseline grows, the others stay. Each point has a process of its own: time per
update (without validation), the memory that training adds to the bare process, and the memory after
a validation of ten sequences. The exponent is fitted to the upper half of the points, where the
constant cost of a call no longer matters.

Prints Markdown and writes `benchmarks/results/growth.csv` and `docs/figures/growth.png`.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks.commands import BASELINES, FIGURES, HERE, RESULTS, execute
from echo_exp import EchoDataModule, EchoModule, EchoProblem, EncoderDecoder, OneHot, Seq2Seq
from echo_exp.training.figures import BLUE, GREY, ORANGE
from tests.trainers import make_trainer

CSV = RESULTS / "growth.csv"
COLOURS = {"seq2seq": BLUE, "encoder_decoder": ORANGE}
POINTS = {
    "n_values": [10, 100, 1_000, 10_000, 30_000, 100_000],
    "n_in": [5, 10, 20, 40, 80, 160, 320],
    "units": [10, 20, 40, 80, 160, 320, 640],
    "replicas": [1, 2, 4, 8, 16, 32, 64, 128],
}
LABELS = {
    "n_values": "integers (n_values)",
    "n_in": "timesteps (n_in)",
    "units": "units of each layer (units)",
    "replicas": "replicas trained at once (R)",
}
QUANTITIES = {
    "milliseconds": "ms an update",
    "training_mb": "memory of the training, MB",
    "validated_mb": "and of a validation, MB",
}
SECONDS = 1.0


def point(net: str, n_values: int, n_in: int, units: int, replicas: int) -> dict[str, float]:
    """Measures one point in this process."""
    torch.set_num_threads(1)
    before = _megabytes()
    whole = net == "seq2seq"
    problem = EchoProblem(n_in + 20, n_values, n_in, n_in if whole else max(1, 2 * n_in // 5))
    make: Any = Seq2Seq if whole else EncoderDecoder
    seeds = range(replicas)
    model = make(
        n_features=n_values,
        n_outputs=n_values,
        n_in=n_in,
        n_out=problem.n_out,
        units=units,
        seeds=seeds,
    )
    module = EchoModule(model, problem, OneHot(n_values), 7 if whole else 21)

    def fit(epochs: int) -> float:
        return trained(module, seeds, epochs)

    fit(2)
    epochs = round(SECONDS / fit(2))
    seconds = fit(min(max(epochs, 3), 300))
    training = _megabytes() - before
    data = EchoDataModule(problem, 1, seeds, validation_sequences=10)
    make_trainer().validate(module, data, verbose=False)
    return {
        "milliseconds": 1000 * seconds / (3 if whole else 1),
        "training_mb": training,
        "validated_mb": _megabytes() - before,
        "weights_mb": sum(p.numel() for p in module.parameters()) * 4 / 2**20,
    }


def trained(module: EchoModule, seeds: Sequence[int], epochs: int) -> float:
    """Trains that many further epochs without validation; returns the seconds of each."""
    data = EchoDataModule(module.problem, module.epochs + epochs, seeds, 5)
    began = time.perf_counter()
    make_trainer(limit_val_batches=0).fit(module, data)
    return (time.perf_counter() - began) / epochs


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(net: str) -> list[dict[str, Any]]:
    start = {"n_values": 100, "n_in": 5, "units": 20 if net == "seq2seq" else 150, "replicas": 1}
    rows = []
    for setting, values in POINTS.items():
        for value in values:
            sizes = [str(size) for size in (start | {setting: value}).values()]
            command = [sys.executable, "-m", "benchmarks.growth", "--point", net, *sizes]
            printed, _, _ = execute(command, HERE.parent)
            told = json.loads(printed.splitlines()[-1])
            rows.append({"net": net, "setting": setting, "value": value} | told)
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def exponent(values: pd.Series, quantity: pd.Series) -> float:
    """Returns the slope of the logarithms over the upper half of the points."""
    half = len(values) // 2
    x, y = np.log(values.to_numpy()[half:]), np.log(quantity.to_numpy()[half:])
    return float(np.polyfit(x, y, 1)[0])


def report(points: pd.DataFrame) -> None:
    print("| | grows with | from | to | " + " | ".join(QUANTITIES.values()) + " |")
    print("|---|---|---|---|---|---|---|")
    for (net, setting), part in points.groupby(["net", "setting"], sort=False):
        cells = [
            f"{part[name].iloc[0]:.3g} to {part[name].iloc[-1]:.3g}, "
            f"exponent {exponent(part['value'], part[name]):.2f}"
            for name in QUANTITIES
        ]
        first, last = part["value"].iloc[0], part["value"].iloc[-1]
        print(f"| {net} | {setting} | {first:,} | {last:,} | {' | '.join(cells)} |")


def draw(points: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(13, 6), layout="constrained")
    panels = figure.subplots(2, len(POINTS))
    for column, setting in enumerate(POINTS):
        for row, name in enumerate(("milliseconds", "training_mb")):
            axes = panels[row][column]
            for net in BASELINES:
                part = points[(points["net"] == net) & (points["setting"] == setting)]
                slope = exponent(part["value"], part[name])
                label = f"{net.replace('_', '-')}: exponent {slope:.2f}"
                axes.loglog(part["value"], part[name], "o-", color=COLOURS[net], label=label)
            axes.set_xlabel(LABELS[setting])
            axes.set_ylabel(QUANTITIES[name])
            axes.grid(color=GREY, alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from-results", action="store_true")
    parser.add_argument("--point", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.point:
        net, *sizes = arguments.point
        print(json.dumps(point(net, *(int(size) for size in sizes))))
        return
    if not arguments.from_results:
        rows = [row for net in BASELINES for row in measure(net)]
        pd.DataFrame(rows).to_csv(CSV, index=False, float_format="%.4g")
    points = pd.read_csv(CSV)
    report(points)
    draw(points).savefig(FIGURES / "growth.png", dpi=150)


if __name__ == "__main__":
    main()
