"""Do our networks learn as those of Keras do? Trains many independent seeds of each.

    python -m benchmarks.reproduction                  about a quarter of an hour
    python -m benchmarks.reproduction --from-results   draws and prints the results again

Writes `benchmarks/results/reproduction.csv` (means over twenty epochs) and the figure
`docs/figures/reproduction.png`, and prints the tables of `docs/reproduction.md`.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy import stats

from echo_exp import EchoDataModule, EchoModule, EchoProblem, OneHot
from echo_exp.task.problem import Stream, random_stream

from tests.parity.keras_nets import Net, Peer  # isort: skip; it chooses the backend of Keras

import keras  # isort: skip
from tests.trainers import Recorder, make_trainer

HERE = Path(__file__).parent
CSV = HERE / "results" / "reproduction.csv"
SCORES = HERE / "results" / "reproduction_scores.csv"
FIGURE = HERE.parent / "docs" / "figures" / "reproduction.png"
BIN = 20  # epochs
TEST_SEQUENCES = 100
COLOURS = {"echo_exp": "#0072B2", "Keras": "#D55E00"}
STYLES = {"echo_exp": "-", "Keras": (0, (4, 2))}


BASELINES = [
    Net("seq2seq", EchoProblem(), batch=7, units=20, epochs=500),
    Net("encoder_decoder", EchoProblem(n_out=2), batch=21, units=150, epochs=5000),
]
SEEDS = {"seq2seq": 10, "encoder_decoder": 20}


def ours(baseline: Net, seeds: list[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trains all seeds as replicas of one program."""
    representation = OneHot(baseline.problem.n_values)
    module = EchoModule(baseline.model(seeds), baseline.problem, representation, baseline.batch)
    data = EchoDataModule(baseline.problem, baseline.epochs, seeds, block=25)
    recorder = Recorder()
    trainer = make_trainer(recorder, limit_val_batches=0)
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    losses, accuracies = np.array(recorder.losses), np.array(recorder.accuracies)
    curves = [
        _curve(baseline, "echo_exp", seed, losses[:, r], accuracies[:, r])
        for r, seed in enumerate(seeds)
    ]
    columns: dict[str, object] = {"net": baseline.name, "source": "echo_exp", "seed": seeds}
    for name in ("accuracy", "sequence_accuracy"):
        columns[name] = module.scores[f"test/{name}"].tolist()
    return pd.concat(curves), pd.DataFrame(columns)


def theirs(baseline: Net, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trains one seed in Keras, with Keras' initial weights and its own stream of sequences."""
    keras.utils.set_random_seed(seed)
    peer = Peer(baseline)
    random = random_stream(1_000_000 + seed, Stream.TRAINING)
    measured = [
        np.mean(peer.train_epoch(sequence), axis=0)
        for sequence in baseline.problem.generate(random, baseline.epochs)
    ]
    fresh = baseline.problem.generate(random_stream(1_000_000 + seed, Stream.TEST), TEST_SEQUENCES)
    targets = baseline.problem.targets(baseline.problem.windows(fresh))
    correct = np.stack([peer.predict(sequence) for sequence in fresh]) == targets
    losses, accuracies = np.array(measured).T
    score = {
        "net": baseline.name,
        "source": "Keras",
        "seed": seed,
        "accuracy": float(correct.mean()),
        "sequence_accuracy": float(correct.all(-1).mean()),
    }
    return _curve(baseline, "Keras", seed, losses, accuracies), pd.DataFrame([score])


def _curve(
    baseline: Net,
    source: str,
    seed: int,
    losses: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    accuracies: "np.ndarray[tuple[int], np.dtype[np.float64]]",
) -> pd.DataFrame:
    columns = {
        "net": baseline.name,
        "source": source,
        "seed": seed,
        "epoch": np.arange(BIN, len(losses) + 1, BIN),
        "loss": losses.reshape(-1, BIN).mean(1).round(5),
        "accuracy": accuracies.reshape(-1, BIN).mean(1).round(5),
    }
    return pd.DataFrame(columns)


def table(curves: pd.DataFrame, baseline: Net) -> str:
    """Returns the loss at five epochs, as mean and range, with tests of equality (after Holm)."""
    epochs = [baseline.epochs * n // 5 for n in range(1, 6)]
    chosen = curves[curves.net == baseline.name]
    pairs = [
        tuple(
            chosen[(chosen.epoch == epoch) & (chosen.source == source)].loss.to_numpy()
            for source in COLOURS
        )
        for epoch in epochs
    ]
    ps = [stats.mannwhitneyu(a, b).pvalue for a, b in pairs]
    lines = [
        "| epoch | echo_exp: mean (range) | Keras: mean (range) | difference, 95 % interval | p |",
        "|---|---|---|---|---|",
    ]
    for epoch, (a, b), p in zip(epochs, pairs, _holm(ps), strict=True):
        interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
        lines.append(
            f"| {epoch:,} | {_summary(a)} | {_summary(b)} "
            f"| {a.mean() - b.mean():+.3f} ({interval.low:+.3f} to {interval.high:+.3f}) "
            f"| {p:.2f} |"
        )
    return "\n".join(lines)


def _summary(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> str:
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


def _holm(ps: list[float]) -> list[float]:
    adjusted = [0.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(np.argsort(ps)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted


def accuracy_table(scores: pd.DataFrame) -> str:
    """Returns the accuracy on fresh sequences as a table; the intervals are over seeds."""
    lines = [
        "| network | | seeds | accuracy: mean, 95 % interval, lowest to highest seed "
        "| whole outputs right: mean, interval, range |",
        "|---|---|---|---|---|",
    ]
    for (net, source), group in scores.groupby(["net", "source"], sort=False):
        cells = [
            _with_interval(group[name].to_numpy()) for name in ("accuracy", "sequence_accuracy")
        ]
        lines.append(f"| {net} | {source} | {len(group)} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _with_interval(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> str:
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    return (
        f"{values.mean():.4f} ({low:.4f} to {min(high, 1):.4f}), "
        f"{values.min():.4f} to {values.max():.4f}"
    )


def draw(curves: pd.DataFrame) -> None:
    """Draws learning curves: each seed thin, their mean thick."""
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    axes = figure.subplots(2, len(BASELINES), sharex="col")
    for column, baseline in enumerate(BASELINES):
        net = curves[curves.net == baseline.name]
        for row, (name, label) in enumerate(
            (("loss", "training loss (nats)"), ("accuracy", "training accuracy"))
        ):
            panel = axes[row, column]
            for source, group in net.groupby("source", sort=False):
                wide = group.pivot_table(index="epoch", columns="seed", values=name)
                colour = COLOURS[str(source)]
                panel.plot(wide.index, wide, color=colour, linewidth=0.6, alpha=0.3)
                panel.plot(
                    wide.index,
                    wide.mean(axis=1),
                    color=colour,
                    linewidth=2,
                    linestyle=STYLES[str(source)],
                    label=f"{source}, {wide.shape[1]} seeds and their mean",
                )
            panel.grid(color="#767676", alpha=0.25)
            panel.spines[["top", "right"]].set_visible(False)
            if column == 0:
                panel.set_ylabel(label)
        axes[0, column].set_title(
            f"{baseline.name.replace('_', '-')}: {baseline.problem.n_in} in, "
            f"{baseline.problem.n_out} out, {baseline.units} units"
        )
        axes[0, column].legend(frameon=False)
        axes[1, column].set_xlabel("epoch (one fresh sequence each; means over twenty)")
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=150)


def run(most: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    results = []
    for baseline in BASELINES:
        seeds = list(range(1, min(SEEDS[baseline.name], most) + 1))
        results.append(ours(baseline, seeds))
        for seed in seeds:
            results.append(theirs(baseline, seed))
            print(f"{baseline.name} seed {seed} in Keras is done", flush=True)
    curves, scores = (pd.concat(parts) for parts in zip(*results, strict=True))
    CSV.parent.mkdir(exist_ok=True)
    curves.to_csv(CSV, index=False)
    scores.to_csv(SCORES, index=False)
    return curves, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="at most so many of each network")
    parser.add_argument("--from-results", action="store_true", help="without training")
    arguments = parser.parse_args()
    if arguments.from_results:
        curves, scores = pd.read_csv(CSV), pd.read_csv(SCORES)
    else:
        curves, scores = run(arguments.seeds)
    for baseline in BASELINES:
        print(f"\n**{baseline.name}**\n\n{table(curves, baseline)}")
    print(f"\n**accuracy of the trained networks**\n\n{accuracy_table(scores)}")
    draw(curves)


if __name__ == "__main__":
    main()
