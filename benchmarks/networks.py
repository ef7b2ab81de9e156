"""Times every network, one replica and 64 at once, against a bare loop with torch's own layers.

    python -m benchmarks.networks [--rounds 3]       about 20 minutes
    python -m benchmarks.networks --only gru ssm     measures only these again
    python -m benchmarks.networks --from-results     prints the results again

For each network in turn, it runs one replica of `echo-exp`, one seed of each way to write that
network with torch's layers (`peers`), and 64 replicas of `echo-exp`. `echo-exp` validates, logs and
records everything, the bare loop (`bare_loop`) nothing. All have the default sizes of `model=` and
the batches of its experiment. Each computes on one core. A ratio is to the fastest peer of the same
round.

Prints Markdown and writes `benchmarks/results/networks.json`. Run nothing else at the same time.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.commands import ONE_CORE, RESULTS, ours, peer, ratio
from benchmarks.peers import WAYS

JSON = RESULTS / "networks.json"
MANY = 64
EPOCHS, MANY_EPOCHS = 500, 100  # alone, and many at once: seconds each
WIDE_EPOCHS = 25  # for many networks of 150 units at once
WIDE = ("attention", "encoder_decoder", "many_to_one", "one_to_one")

Row = dict[str, Any]


def measure(net: str, round_: int) -> Row:
    """Measures one round: milliseconds per epoch and replica of each."""
    alone = _ours(net, 1, EPOCHS)
    bare = {}
    for name in WAYS[net]:
        measured, told = peer("bare_loop", name, f"--epochs={EPOCHS}")
        bare[name] = 1000 * measured.fit / told["epochs"]
    many = _ours(net, MANY, WIDE_EPOCHS if net in WIDE else MANY_EPOCHS)
    return {"net": net, "round": round_, "alone": alone, "many": many, "bare": bare}


def _ours(net: str, replicas: int, epochs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        own = ours(net, Path(folder), f"replicas={replicas}", f"epochs={epochs}", ONE_CORE)
    return 1000 * own.fit / epochs / replicas


def report(rows: list[Row]) -> None:
    print(f"| network | ms an epoch: alone | each of {MANY} | bare | ", end="")
    print(f"alone / bare | each of {MANY} / bare |\n" + "|---" * 6 + "|")
    for net in sorted({row["net"] for row in rows}):
        chosen = [row for row in rows if row["net"] == net]
        alone, many = ([row[name] for row in chosen] for name in ("alone", "many"))
        ways = {name: [row["bare"][name] for row in chosen] for name in chosen[0]["bare"]}
        fastest = [min(row["bare"].values()) for row in chosen]
        told = ", ".join(
            f"{statistics.median(times):.2f}" + (f" ({name})" if len(ways) > 1 else "")
            for name, times in ways.items()
        )
        cells = [
            net, f"{statistics.median(alone):.2f}", f"{statistics.median(many):.3f}", told,
            ratio(alone, fastest), ratio(many, fastest),
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--from-results", action="store_true")
    arguments = parser.parse_args()
    rows = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    if not arguments.from_results:
        rows = [row for row in rows if row["net"] not in arguments.only]
        for round_, net in itertools.product(range(arguments.rounds), arguments.only):
            rows.append(measure(net, round_))
            print(rows[-1], file=sys.stderr, flush=True)
        JSON.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    report(rows)


if __name__ == "__main__":
    main()
