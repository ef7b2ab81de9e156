"""Compares the memory of large trainings with the estimate by which too large ones are refused.

    python -m benchmarks.memory

Each training is a process as a user starts it, with the exported model. Its memory is the peak
resident memory of that process, minus that of the smallest network (the libraries).
Prints Markdown.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from benchmarks.cells import composed
from echo_exp import configuration
from echo_exp.configuration.problem_and_network import network
from echo_exp.configuration.shapes import need

SMALL = ("problem.n_values=2", "model.units=1")
SHORT = (
    "epochs=10",
    "trainer.validate_every=5",
    "trainer.test_sequences=2",
    "trainer.progress=none",
)


def _windows(timesteps: int, count: int) -> tuple[str, ...]:
    """Returns the settings of windows that long, all of a sequence in one update."""
    return (
        f"problem.n_in={timesteps}",
        f"problem.n_out={timesteps}",
        f"problem.length={timesteps + count - 1}",
        f"batch_size={count}",
        "problem.n_values=10",
    )


LARGE = (
    ("problem.n_values=100000", "model.units=64"),
    ("problem.n_values=400000", "model.units=64"),
    ("problem.n_values=100000", "model.units=64", "replicas=4"),
    ("model.units=2000",),
    ("model.units=4000",),
    ("experiment=encoder_decoder_baseline", "model.units=2000"),
    ("problem.n_values=400000", "model.units=4"),
    ("model=transformer", *_windows(1000, 4)),
    ("model=transformer", "model.layers=4", "model.heads=8", *_windows(500, 10)),
    ("model=attention", *_windows(200, 50)),
    ("model=gru", "model.units=200", *_windows(100, 100)),
    ("model=min_gru", "model.units=400", *_windows(200, 100)),
    ("model=seq2seq", "model.units=400", *_windows(200, 100)),
    ("model=encoder_decoder", "model.units=400", *_windows(100, 100)),
)


def main() -> None:
    base = _peak(SMALL)
    print("| settings | parameters, million | estimate, MB | measured, MB | measured / estimate |")
    print("|---|---|---|---|---|")
    for settings in LARGE:
        parameters, estimate = _estimate(settings)
        measured = _peak(settings) - base
        cells = (parameters / 1e6, estimate / 1e6, measured / 1e6)
        told = " | ".join(f"{cell:,.0f}" for cell in cells)
        print(f"| `{' '.join(settings)}` | {told} | {measured / estimate:.2f} |", flush=True)


def _estimate(settings: Sequence[str]) -> tuple[int, int]:
    """Returns the parameters of all replicas and the bytes that a training is estimated to need."""
    config = composed([*settings, *SHORT])
    read = configuration.read(config)
    representation, make_model = network(config, read.problem, read.missing)
    empty, replicas = make_model(seeds=()), len(read.seeds)
    parameters = sum(parameter.shape[1:].numel() for parameter in empty.parameters())
    return parameters * replicas, need(empty, representation, read).bytes(replicas)


def _peak(settings: Sequence[str]) -> int:
    """Returns the peak resident memory of a training, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "echo_exp", *settings, *SHORT, f"output_dir={folder}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, settings
        return usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
