"""How the time of an update grows with the window, for each network that reads it.

    python -m benchmarks.windows [--rounds 3]    about two minutes
    python -m benchmarks.windows --from-results  prints and draws the results again

It times networks that answer at every timestep, with their default settings except for the window,
and each way to write them with torch's own layers (`peers`). All run in one process on one core, in
turn in each round. Nothing is validated or logged. The exponent is fitted to the upper half of the
windows.

Prints Markdown and writes `benchmarks/results/windows.csv` and `docs/figures/windows.png`. Run
nothing else at the same time.
"""

import argparse
import logging
import sys
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks.bare_loop import WINDOWS, train
from benchmarks.commands import FIGURES, RESULTS, ratio
from benchmarks.growth import exponent, trained
from benchmarks.peers import PEERS, WAYS, V
from echo_exp import GRU, EchoModule, EchoProblem, MinGRU, OneHot, Seq2Seq, Transformer
from echo_exp.training.figures import GREY

CSV = RESULTS / "windows.csv"
TIMESTEPS = (5, 10, 20, 50, 100, 200)
NETS: dict[str, tuple[Any, dict[str, int]]] = {
    "seq2seq": (Seq2Seq, {"units": 20}),
    "gru": (GRU, {"units": 20}),
    "min_gru": (MinGRU, {"units": 20}),
    "transformer": (Transformer, {"units": 32, "layers": 2, "heads": 2}),
}
BATCH = 7
EPOCHS = 600  # timesteps of a window over epochs: a fraction of a second each


def measure(net: str, timesteps: int) -> dict[str, float]:
    """Measures one round: milliseconds per update of echo_exp and of each peer."""
    problem = EchoProblem(timesteps + WINDOWS - 1, V, timesteps, timesteps)
    make, settings = NETS[net]
    model = make(n_features=V, n_outputs=V, n_in=timesteps, n_out=timesteps, seeds=[0], **settings)
    module = EchoModule(model, problem, OneHot(V), BATCH)
    epochs = max(10, EPOCHS // timesteps)
    updates = WINDOWS // BATCH
    trained(module, [0], 2)
    told = {"echo-exp": 1000 * trained(module, [0], epochs) / updates}
    for name in WAYS[net]:
        peer = PEERS[name](timesteps)
        train(peer, 2, 0, timesteps)
        told[name] = 1000 * train(peer, epochs, 0, timesteps)[0] / epochs / updates
    return told


def report(points: pd.DataFrame) -> None:
    print(f"| ms an update of windows of | {' | '.join(map(str, TIMESTEPS))} | exponent |")
    print("|---" * (len(TIMESTEPS) + 2) + "|")
    for net, part in points.groupby("net", sort=False):
        times = {str(name): rounds for name, rounds in part.groupby("program", sort=False)}
        for name, rounds in times.items():
            medians = rounds.groupby("timesteps")["milliseconds"].median()
            cells = [f"{value:.2f}" for value in medians]
            slope = exponent(medians.index.to_series(), medians)
            label = str(net) if name == "echo-exp" else f"`peers.{name}`"
            print(f"| {label} | {' | '.join(cells)} | {slope:.2f} |")
        ours = times["echo-exp"].set_index(["timesteps", "round"])["milliseconds"]
        bare = part[part["program"] != "echo-exp"]
        fastest = bare.groupby(["timesteps", "round"])["milliseconds"].min()
        ratios = [ratio(ours[t].tolist(), fastest[t].tolist()) for t in TIMESTEPS]
        print(f"| {net} over the fastest of its peers | {' | '.join(ratios)} | |")


def draw(points: pd.DataFrame) -> Figure:
    """Draws medians over the window, a panel per network: echo_exp solid, its peers dashed."""
    figure = Figure(figsize=(3.2 * len(NETS), 3.4), layout="constrained")
    panels = figure.subplots(1, len(NETS), sharey=True)
    for axes, (net, part) in zip(panels, points.groupby("net", sort=False), strict=True):
        for name, rounds in part.groupby("program", sort=False):
            medians = rounds.groupby("timesteps")["milliseconds"].median()
            axes.loglog(medians.index, medians, "o-" if name == "echo-exp" else "s--", label=name)
        axes.set_title(net)
        axes.set_xlabel("timesteps of a window")
        axes.set_xticks(TIMESTEPS, [str(timesteps) for timesteps in TIMESTEPS])
        axes.minorticks_off()
        axes.grid(color=GREY, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel("ms an update")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--from-results", action="store_true")
    arguments = parser.parse_args()
    if not arguments.from_results:
        torch.set_num_threads(1)
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        rows = []
        for round_ in range(arguments.rounds):
            for net in NETS:
                for timesteps in TIMESTEPS:
                    told = measure(net, timesteps)
                    print(net, timesteps, told, file=sys.stderr, flush=True)
                    rows += [(net, timesteps, round_, *point) for point in told.items()]
        columns = ["net", "timesteps", "round", "program", "milliseconds"]
        pd.DataFrame(rows, columns=columns).to_csv(CSV, index=False, float_format="%.4g")
    points = pd.read_csv(CSV)
    report(points)
    draw(points).savefig(FIGURES / "windows.png", dpi=150)


if __name__ == "__main__":
    main()
