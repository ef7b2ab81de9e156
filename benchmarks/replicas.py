"""Times what a seed costs when many are trained as one program.

    python -m benchmarks.replicas [--rounds 3]        about half an hour
    python -m benchmarks.replicas --only seq2seq      one network; --replicas 16 64: only these
    python -m benchmarks.replicas --from-results      prints and draws the results again

For each baseline and each number of replicas R it runs in turn: `echo-exp replicas=R` (which
validates, logs and tracks everything), one seed of the bare PyTorch loop (`bare_loop`), and all R
seeds as one vmapped, jitted scan in JAX (`jax_peer`), which neither validates nor logs and whose
compilation is not counted. Each computes on one core. Then it runs two `echo-exp` at once, on two
cores.

Prints Markdown and writes `benchmarks/results/replicas.json` and `docs/figures/replicas.png`. Run
nothing else at the same time.
"""

import argparse
import json
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.commands import BASELINES, FIGURES, ONE_CORE, RESULTS, ours, peer, ratio
from echo_exp.training.figures import BLUE, GREY, ORANGE

JSON = RESULTS / "replicas.json"
REPLICAS = (1, 4, 16, 64, 256)
EPOCHS = {  # enough for seconds, few enough for minutes
    "seq2seq": dict.fromkeys(REPLICAS, 500),
    "encoder_decoder": {1: 1000, 4: 1000, 16: 400, 64: 100, 256: 100},
}
BARE_EPOCHS = {"seq2seq": 500, "encoder_decoder": 1000}
TWO = {"seq2seq": 64, "encoder_decoder": 16}  # replicas of each of two processes

Row = dict[str, Any]


def measure(net: str, replicas: int, round_: int) -> Row:
    """Measures one round: each peer's milliseconds per epoch and replica, and what it reports."""
    epochs = EPOCHS[net][replicas]
    with tempfile.TemporaryDirectory() as folder:
        own = ours(net, Path(folder), f"replicas={replicas}", f"epochs={epochs}", ONE_CORE)
    bare, told = peer("bare_loop", net, f"--epochs={BARE_EPOCHS[net]}")
    row = {
        "net": net,
        "replicas": replicas,
        "round": round_,
        "echo-exp": 1000 * own.fit / epochs / replicas,
        "bare": 1000 * bare.fit / told["epochs"],
        "megabytes": own.megabytes,
    }
    jax, compiled = peer("jax_peer", net, f"--replicas={replicas}", f"--epochs={epochs}")
    row["jax"] = 1000 * jax.fit / epochs / replicas
    row["jax_compile_seconds"] = compiled["compile_seconds"]
    row["jax_megabytes"] = jax.megabytes
    return row


def two_at_once(net: str) -> float:
    """Returns the time of two processes at once over that of one alone, with equal replicas."""
    overrides = (f"replicas={TWO[net]}", f"epochs={EPOCHS[net][TWO[net]]}", ONE_CORE)

    def fit(seed: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return ours(net, Path(folder), f"seed={seed}", *overrides).fit

    alone = fit(1)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(fit, (1, 1001)))
    return max(together) / alone


def report(net: str, rows: list[Row]) -> None:
    print(f"\n**{net}**: medians; ratios round by round: median (range)\n")
    print("| R | echo-exp, ms an epoch and seed | bare | ours / bare | our memory, MB ", end="")
    print("| JAX | ours / JAX | JAX compiles, s | JAX's memory |\n" + "|---" * 9 + "|")
    for replicas in sorted({row["replicas"] for row in rows}):
        chosen = [row for row in rows if row["replicas"] == replicas]
        columns = {name: [row[name] for row in chosen] for name in chosen[0]}
        median = {name: statistics.median(columns[name]) for name in columns if name != "net"}
        cells = [
            f"{replicas}", f"{median['echo-exp']:.3f}", f"{median['bare']:.3f}",
            ratio(columns["echo-exp"], columns["bare"]), f"{median['megabytes']:.0f}",
            f"{median['jax']:.3f}", ratio(columns["echo-exp"], columns["jax"]),
            f"{median['jax_compile_seconds']:.1f}", f"{median['jax_megabytes']:.0f}",
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |")


def draw(rows: list[Row]) -> Figure:
    """Draws time per epoch and seed over replicas: rounds as points, their medians as lines."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    styles = {
        "echo-exp": (BLUE, "o", "echo-exp, validated and logged"),
        "jax": (ORANGE, "s", "JAX, one jitted scan, neither"),
        "bare": (GREY, "^", "bare PyTorch loop of one seed, neither"),
    }
    for axes, net in zip(figure.subplots(1, len(BASELINES)), BASELINES, strict=True):
        for name, (colour, marker, label) in styles.items():
            points = [(row["replicas"], row[name]) for row in rows if row["net"] == net]
            axes.plot(*zip(*points, strict=True), marker, color=colour, markersize=3)
            groups = [[time for r, time in points if r == replicas] for replicas in REPLICAS]
            medians = [statistics.median(group) for group in groups]
            if name == "bare":  # the same program at every R
                medians = [statistics.median(time for _, time in points)] * len(REPLICAS)
            axes.plot(REPLICAS, medians, color=colour, label=label)
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        axes.set_xticks(REPLICAS, [str(replicas) for replicas in REPLICAS])
        axes.set_title(net.replace("_", "-"))
        axes.set_xlabel("replicas trained at once (R)")
        axes.set_ylabel("ms an epoch and seed")
        axes.grid(color=GREY, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=BASELINES)
    parser.add_argument("--replicas", type=int, nargs="+", choices=REPLICAS, default=REPLICAS)
    parser.add_argument("--from-results", action="store_true")
    arguments = parser.parse_args()
    nets = [arguments.only] if arguments.only else BASELINES
    results = (
        json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else {"rows": [], "two": {}}
    )
    if not arguments.from_results:
        again = [(net, replicas) for net in nets for replicas in arguments.replicas]
        kept = [row for row in results["rows"] if (row["net"], row["replicas"]) not in again]
        results["rows"] = kept
        for round_ in range(arguments.rounds):
            results["rows"] += [measure(net, replicas, round_) for net, replicas in again]
        for net in nets:
            if TWO.get(net) in arguments.replicas:
                results["two"][net] = [two_at_once(net) for _ in range(arguments.rounds)]
        JSON.write_text(json.dumps(results, indent=1), encoding="utf-8")
    for net in nets:
        report(net, [row for row in results["rows"] if row["net"] == net])
        if net in TWO:
            slower = results["two"][net]
            print(
                f"\nTwo processes of {TWO[net]} replicas at once take "
                f"{statistics.median(slower):.2f} ({min(slower):.2f} to {max(slower):.2f}) "
                "times as long as one alone."
            )
    if {row["net"] for row in results["rows"]} >= set(BASELINES):
        draw(results["rows"]).savefig(FIGURES / "replicas.png", dpi=150)


if __name__ == "__main__":
    main()
