"""How fast `echo-exp` is, as ratios to peers that run in turn with it on the same machine.

    python -m benchmarks.speed [--rounds 5] [--keras]

For each baseline it measures the fit, with everything logged and validated, and the whole process
with default settings (which writes an MLflow model that the peers do not; `export=false` leaves it
out). Both are compared with a bare PyTorch loop (`bare_loop`) and, on request, with a script like
the tutorial's in Keras (`keras_peer`). It also measures peak memory, and framing against pandas.
Prints Markdown and writes `benchmarks/results/speed.json`. Run nothing else at the same time.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.commands import BASELINES, RESULTS, Measured, ours, peer, ratio
from echo_exp import EchoProblem

JSON = RESULTS / "speed.json"


def compare(net: str, rounds: int, keras: bool, folder: Path) -> dict[str, list[Measured]]:
    """Runs the peers in turn; seq2seq, which is short, once before without counting."""
    runners: dict[str, Callable[[], Measured]] = {
        "echo-exp": lambda: ours(net, folder),
        "bare": lambda: peer("bare_loop", net)[0],
    }
    if keras:
        runners["keras"] = lambda: peer("keras_peer", net)[0]
    measured: dict[str, list[Measured]] = {name: [] for name in runners}
    for counted in [False] * (net == "seq2seq") + [True] * rounds:
        for name, run in runners.items():
            result = run()
            if counted:
                measured[name].append(result)
    return measured


def report(net: str, measured: dict[str, list[Measured]]) -> None:
    ours_ = measured["echo-exp"]
    print(f"\n**{net}**, {len(ours_)} rounds; ratios run by run: median (range)\n")
    print("| | fit, s | process, s | peak memory, MB | our fit / its | our process / its |")
    print("|---|---|---|---|---|---|")
    for name, runs in measured.items():
        median = [
            statistics.median(values)
            for values in zip(*((r.fit, r.process, r.megabytes) for r in runs), strict=True)
        ]
        ratios = (
            "| | "
            if name == "echo-exp"
            else (
                f"| {ratio([r.fit for r in ours_], [r.fit for r in runs])} "
                f"| {ratio([r.process for r in ours_], [r.process for r in runs])} "
            )
        )
        print(f"| {name} | {median[0]:.2f} | {median[1]:.2f} | {median[2]:.0f} {ratios}|")


def framing(count: int = 10_000_000, rounds: int = 5) -> dict[str, list[float]]:
    """Times framing here, and as the tutorial does it: by joining shifted pandas columns."""
    problem = EchoProblem()
    sequence = np.random.default_rng(0).integers(0, 100, count)

    def shifted() -> object:
        frame = pd.DataFrame(sequence)
        columns = [frame.shift(problem.n_in - 1 - n) for n in range(problem.n_in)]
        return pd.concat(columns, axis=1).dropna().to_numpy()[:, : problem.n_out]

    timed: dict[str, list[float]] = {"echo_exp": [], "pandas": []}
    for _ in range(rounds):
        for name, frame in (
            ("echo_exp", lambda: problem.targets(problem.windows(sequence))),
            ("pandas", shifted),
        ):
            began = time.perf_counter()
            frame()
            timed[name].append(time.perf_counter() - began)
    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keras", action="store_true", help="also time Keras (minutes)")
    parser.add_argument("--only", choices=BASELINES)
    arguments = parser.parse_args()
    results = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else {}
    for net in [arguments.only] if arguments.only else BASELINES:
        with tempfile.TemporaryDirectory() as folder:
            measured = compare(net, arguments.rounds, arguments.keras, Path(folder))
        report(net, measured)
        results[net] = {name: [vars(run) for run in runs] for name, runs in measured.items()}
    timed = framing()
    results["framing"] = timed
    print("\n**framing** 10 million integers, n_in 5\n")
    print(f"echo_exp {statistics.median(timed['echo_exp']) * 1e6:.0f} µs, ", end="")
    print(f"pandas {statistics.median(timed['pandas']):.2f} s: ", end="")
    print(f"pandas takes {ratio(timed['pandas'], timed['echo_exp'])} times as long")
    JSON.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
