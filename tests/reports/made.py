"""Made-up records of a study's cells: finished or not, with scores and epochs to solve."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from echo_exp.reports.records import FINISHED, Record
from echo_exp.sweeps.study import Cell, Study

EPOCHS = 100


def study(*cells: dict[str, Any], **more: Any) -> Study:
    """A study of these cells that compares ``model.units``."""
    return Study(
        name="made",
        question="Which?",
        compare=more.pop("compare", "model.units"),
        scales={"full": [*cells]},
        **more,
    )


def record(
    cell: Cell,
    accuracy: Sequence[float] = (),
    solved: Sequence[float] = (),
    validation: Sequence[float] | None = None,
    loss: float = 0.0,
    seeds: Sequence[int] | None = None,
) -> Record:
    """A finished record with a score per seed, NaN if it diverged; without scores, never run."""
    count = len(accuracy)
    if not count:
        return Record(cell, "never run", (), EPOCHS, (), {}, np.empty(0), {}, 0.0, 0)
    measured = np.array(accuracy, dtype=float)
    tested = np.nan_to_num(measured)
    validated = tested if validation is None else np.array(validation, dtype=float)
    times = np.array(solved or [np.nan] * count, dtype=float)
    epochs = np.arange(1.0, EPOCHS + 1)
    curve = np.where(epochs[:, None] >= times, 1.0, validated * epochs[:, None] / EPOCHS)
    return Record(
        cell=cell,
        status=FINISHED,
        runs=[",".join(cell.overrides)],
        epochs=EPOCHS,
        seeds=range(count) if seeds is None else seeds,
        scores={
            "test/accuracy": tested,
            "test/loss": 1 - measured,
            "val/accuracy": validated,
            "val/loss": np.full(count, loss),
        },
        epochs_to_solve=times,
        curves={"val/accuracy": (epochs, curve)},
        seconds=2.0,
        parameters=10,
    )
