"""Measures size, time to the first answer and latency of each form of a trained network.

    python -m benchmarks.exported [--rounds 5]

Each form is loaded in a process of its own, in turn with the others; the peer is the network in
echo_exp itself. Prints Markdown: medians over the rounds. Run nothing else at the same time.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.commands import BASELINES, execute

MANY = 1000
CALLS = 100
FORMS = {"echo_exp": "", "pt2": "network.pt2", "onnx": "network.onnx", "mlflow": "mlflow"}
EPOCHS = "epochs=100"
"""A few are enough: what the network has learned does not change what is measured here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=2, metavar=("FORM", "FOLDER"))
    asked = parser.parse_args()
    if asked.child:
        _measure(asked.child[0], Path(asked.child[1]))
    else:
        for net in BASELINES:
            _table(net, asked.rounds)


def _table(net: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        program = [sys.executable, "-m", "echo_exp", f"experiment={net}_baseline", EPOCHS]
        execute(program, folder)
        exports = f"folder={folder}/exports"
        execute([sys.executable, "-m", "echo_exp.commands.export", exports], folder)
        told: dict[str, list[dict[str, float]]] = {form: [] for form in FORMS}
        for _ in range(rounds):
            for form in FORMS:
                command = [sys.executable, "-m", __spec__.name, "--child", form, str(folder)]
                done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
                told[form].append(json.loads(done.stdout.splitlines()[-1]))
        print(
            f"\n{net}\n\n| form | KB | s to the first answer | ms a window | ms {MANY:,} windows |"
        )
        print("|---|---|---|---|---|")
        for form, measured in told.items():
            cells = [f"{_median(measured, name):.2f}" for name in ("first", "one", "many")]
            print(f"| {form} | {_size(folder, form) / 1000:,.0f} | {' | '.join(cells)} |")


def _median(measured: list[dict[str, float]], name: str) -> float:
    return statistics.median(each[name] for each in measured)


def _size(folder: Path, form: str) -> int:
    if form == "echo_exp":
        return next(folder.rglob("last.ckpt")).stat().st_size
    path = folder / "exports" / FORMS[form]
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _measure(form: str, folder: Path) -> None:
    """Loads a form and asks it; prints the times, which include the imports that the form needs."""
    began = time.perf_counter()
    answer = _load(form, folder)
    answer(1)
    first = time.perf_counter() - began
    one, many = (_latency(lambda n=n: answer(n)) for n in (1, MANY))  # type: ignore[misc]
    print(json.dumps({"first": first, "one": one, "many": many}))


def _latency(ask: Callable[[], object]) -> float:
    spent = []
    for _ in range(CALLS):
        began = time.perf_counter()
        ask()
        spent.append(1000 * (time.perf_counter() - began))
    return statistics.median(spent)


def _load(form: str, folder: Path) -> Callable[[int], object]:
    """Returns a function that asks a form about that many windows, each by itself."""
    path = folder / "exports" / FORMS[form]
    if form == "echo_exp":
        return _load_original(folder)
    if form == "onnx":
        return _load_onnx(path)
    import torch

    torch.set_num_threads(1)
    if form == "pt2":
        described = json.loads((path.parent / "network.json").read_text(encoding="utf-8"))
        graph = torch.export.load(path).module()
        return lambda n: graph(
            torch.zeros(n, described["n_in"], dtype=torch.long),
            *(torch.zeros(n, size) for size in described["states"]),
        )
    import mlflow
    import numpy as np

    model = mlflow.pyfunc.load_model(str(path))
    n_in = model.metadata.get_input_schema().inputs[0].shape[1]
    return lambda n: model.predict(np.zeros((n, n_in), dtype=np.int64))


def _load_original(folder: Path) -> Callable[[int], object]:
    import torch

    from echo_exp import TrackingSettings, load

    torch.set_num_threads(1)
    store = TrackingSettings(f"sqlite:///{folder}/outputs/mlflow.db", f"{folder}/outputs/artifacts")
    network = load("last", store)
    n_in = network.problem.n_in
    return lambda n: network.predict([0] * (n_in + n - 1), carry=False)


def _load_onnx(path: Path) -> Callable[[int], object]:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    first, *states = session.get_inputs()
    return lambda n: session.run(
        None,
        {
            first.name: np.zeros((n, first.shape[1]), dtype=np.int64),
            **{state.name: np.zeros((n, state.shape[1]), np.float32) for state in states},
        },
    )


if __name__ == "__main__":
    main()
