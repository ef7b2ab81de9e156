"""Times updates with one thread and with two, and says what `trainer.threads=auto` takes.

    python -m benchmarks.threads [--rounds 3]    about three minutes

All networks are trained in this process, without validation or logging; one thread and two take
turns in each round. Prints Markdown and writes `benchmarks/results/threads.csv`. Run nothing else
at the same time.
"""

import argparse
import logging
from collections.abc import Iterator

import pandas as pd
import torch

from benchmarks.cells import composed
from benchmarks.commands import RESULTS, ratio
from benchmarks.growth import trained
from echo_exp import configuration
from echo_exp.configuration.assembly import assemble
from echo_exp.training.threads import count_threads, work

CSV = RESULTS / "threads.csv"
SECONDS = 0.5
BASELINE = "experiment=encoder_decoder_baseline"
GRID = {
    "model=seq2seq": (1, 8, 16, 32, 64, 128),
    "model=gru model.units=50": (1, 8, 16),
    "model=ssm": (8, 32),
    "model=selective_ssm": (16,),
    "model=transformer": (1, 8, 64),
    "model=attention model.units=150": (1, 8),
    "model=one_to_one": (1, 8, 64),
    BASELINE: (1, 2, 4, 8, 16),
    f"{BASELINE} model.units=50": (4, 8, 20, 64),
    f"{BASELINE} model.units=300": (1,),
    f"{BASELINE} model.units=600": (1, 2),
}
"""The numbers of replicas of each network."""


def measure(settings: str, replicas: int, rounds: int) -> Iterator[dict[str, object]]:
    """Yields the milliseconds of an epoch with each number of threads, in each round."""
    config = composed([*settings.split(), f"replicas={replicas}"])
    read = configuration.read(config)
    module = assemble(config, read).module
    seeds = range(replicas)
    known = {"work": work(module), "auto": count_threads(read.trainer, module)}
    torch.set_num_threads(1)
    trained(module, seeds, 5)
    epochs = max(5, round(SECONDS / trained(module, seeds, 10)))
    for number in range(rounds):
        for threads in (1, 2):
            torch.set_num_threads(threads)
            milliseconds = 1000 * trained(module, seeds, epochs)
            told = {"settings": settings, "replicas": replicas, **known, "round": number}
            yield {**told, "threads": threads, "milliseconds": milliseconds}


def report(points: pd.DataFrame) -> None:
    """Prints a line for each network and number of replicas, the least work first."""
    print("| network | replicas | work, millions | one thread, ms an epoch | two / one | auto |")
    print("|---|---|---|---|---|---|")
    keys = ["work", "settings", "replicas", "auto"]
    for _, part in points.groupby(keys):
        size, settings, replicas, auto = part.iloc[0][keys]
        times = part.pivot_table(index="round", columns="threads", values="milliseconds")
        words = ratio(times[2].tolist(), times[1].tolist())
        median = f"{times[1].median():.2f}"
        print(f"| `{settings}` | {replicas} | {size / 1e6:.2f} | {median} | {words} | {auto} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--from-results", action="store_true", help="print the results again")
    arguments = parser.parse_args()
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not arguments.from_results:
        rows = [
            row
            for settings, several in GRID.items()
            for replicas in several
            for row in measure(settings, replicas, arguments.rounds)
        ]
        pd.DataFrame(rows).to_csv(CSV, index=False, float_format="%.4g", lineterminator="\n")
    report(pd.read_csv(CSV))


if __name__ == "__main__":
    main()
