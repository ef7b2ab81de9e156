"""The outcome of an experiment: the scores of every replica, as metrics, tables and text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echo_exp.metrics import definition
from echo_exp.training.evaluation import SOLVED, Listing, Share
from echo_exp.training.replicas import Floats, plain, statistics

Line = tuple[str, str]
"""A title and the text beside it."""

MOST_NAMED = 8
"""At most this many diverged replicas are named on the screen; the table has them all."""


def digits(value: float, decimals: int = 4) -> str:
    """Formats a score with some decimals; one that these would show as almost 0, with two digits.

    Args:
        value: The score.
        decimals: How many decimals it usually has.
    """
    tiny = 0 < abs(value) < 10.0 ** (1 - decimals)
    return f"{value:.1e}" if tiny else f"{value:.{decimals}f}"


@dataclass(frozen=True)
class Outcome:
    """The scores of a trained network, or of all its replicas.

    Attributes:
        seeds: The seed of each replica.
        scores: Test scores of each replica, [R], by their names in MLflow; NaN where it diverged.
        intervals: Scores of a single replica with their confidence intervals, by their names in
            MLflow; empty for several replicas.
        windows: Complete test windows of each replica.
        seconds: Duration of the training, validations included.
        parameters: Trainable parameters of a network.
        epochs_to_solve: The first validated epoch of each replica with an accuracy of at least
            `SOLVED`, [R]; NaN where there is none.
        diverged: The first epoch of each replica without a finite loss, [R]; NaN where there is
            none.
        listing: The echo of one new sequence by the first replica that did not diverge.
        listed: The seed of that replica.
        curves: Epochs [E] and values for each replica [E, R] of each metric, by its name in MLflow.
    """

    seeds: Sequence[int]
    scores: Mapping[str, Floats]
    intervals: Mapping[str, Share]
    windows: int
    seconds: float
    parameters: int
    epochs_to_solve: Floats
    diverged: Floats
    listing: Listing
    listed: int
    curves: Mapping[str, tuple[list[int], Floats]]

    @property
    def accuracy(self) -> float:
        """Share of integers that are right on complete windows, mean over the replicas."""
        return float(statistics("accuracy", self.scores["test/accuracy"])["accuracy"])

    def metrics(self) -> dict[str, float]:
        """Returns the final metrics by their names in MLflow."""
        values: dict[str, float] = {}
        for name, score in self.scores.items():
            values |= {key: plain(value)[0] for key, value in statistics(name, score).items()}
        for name, interval in self.intervals.items():
            low, high = plain(np.array([interval.low, interval.high]))
            values |= {f"{name}_low": low, f"{name}_high": high}
        values |= {"fit_seconds": self.seconds, "parameters": float(self.parameters)}
        if np.isfinite(self.epochs_to_solve).any():
            solved = statistics("epochs_to_solve", self.epochs_to_solve)
            values |= {key: plain(value)[0] for key, value in solved.items()}
        if len(self.seeds) > 1:
            values["solved"] = float(np.isfinite(self.epochs_to_solve).mean())
            values["diverged"] = float(np.isfinite(self.diverged).sum())
        return values

    def validation(self) -> dict[str, float]:
        """Returns the scores of the last validation, means over the replicas."""
        return {
            name: float(np.nanmean(values[-1]))
            for name, (_, values) in self.curves.items()
            if name.startswith("val/") and len(values) and np.isfinite(values[-1]).any()
        }

    def table(self) -> dict[str, list[float | int | None]]:
        """Returns the columns of a table with a row for each replica."""
        columns: dict[str, Floats] = {
            **self.scores,
            "epochs_to_solve": self.epochs_to_solve,
            "diverged": self.diverged,
        }
        cells = {
            name: [None if np.isnan(value) else float(value) for value in column]
            for name, column in columns.items()
        }
        return {"seed": list(self.seeds), **cells}

    def frame(self) -> dict[str, NDArray[Any]]:
        """Returns the columns of a table of everything measured, a row for each seed and epoch.

        A metric is NaN at epochs where it was not measured; the test scores are at the last epoch.
        """
        epochs = max(len(steps) for steps, _ in self.curves.values())
        tested = {name: ([epochs], score[None]) for name, score in self.scores.items()}
        columns: dict[str, NDArray[Any]] = {
            "seed": np.repeat(np.array(self.seeds), epochs),
            "epoch": np.tile(np.arange(1, epochs + 1), len(self.seeds)),
        }
        for name, (steps, values) in {**self.curves, **tested}.items():
            column = np.full((len(self.seeds), epochs), np.nan, dtype=np.float32)
            column[:, np.array(steps) - 1] = values.T
            columns[name] = column.ravel()
        return columns

    def __str__(self) -> str:
        lines = self.lines()
        width = max(20, *(len(title) for title, _ in lines))
        return "\n".join(f"{title:<{width}} {text}" for title, text in lines)

    def lines(self) -> list[Line]:
        """Returns a summary for the user, line by line."""
        lines = [("tested on", f"{self.windows:,} complete windows of fresh sequences")]
        if len(self.seeds) > 1:
            lines.append(("", f"by each of {len(self.seeds)} replicas: mean ± std (range)"))
        lines += [self._score(name, values) for name, values in self.scores.items()]
        if len(self.seeds) > 1:
            lines += [self._solved(), *self._divergences()]
        seconds = f"{self.seconds:.1f} s"
        if len(self.seeds) > 1:
            seconds += f", {self.seconds / len(self.seeds):.2f} s per replica"
        return [*lines, ("training took", seconds)]

    def _score(self, name: str, values: Floats) -> Line:
        title = name.removeprefix("test/").replace("_", " ")
        if len(values) > 1:
            mean, std, least, most = (float(v) for v in statistics(name, values).values())
            return title, f"{digits(mean)} ± {digits(std)} ({digits(least)} to {digits(most)})"
        if name in self.intervals:
            return title, f"{self.intervals[name]}  {definition(name).unit}, 95 % interval"
        return title, digits(float(values[0]))

    def _solved(self) -> Line:
        solved = self.epochs_to_solve[np.isfinite(self.epochs_to_solve)]
        told = f"{len(solved)} of {len(self.seeds)} replicas reached an accuracy of {SOLVED}"
        if len(solved):
            told += f", after {min(solved):,.0f} to {max(solved):,.0f} epochs"
            told += f" (half of these by {np.median(solved):,.0f})"
        return "solved", told

    def _divergences(self) -> list[Line]:
        seeds = [
            f"seed {seed} at epoch {epoch:,.0f}"
            for seed, epoch in zip(self.seeds, self.diverged, strict=True)
            if np.isfinite(epoch)
        ]
        if not seeds:
            return []
        named = ", ".join(seeds[:MOST_NAMED]) + ", ..." * (len(seeds) > MOST_NAMED)
        return [("diverged", f"{len(seeds)} of {len(self.seeds)} replicas: {named}")]
