"""One live summary of a sweep: what is done, what runs, what failed, and the time left.

The jobs may run anywhere; what is known of them is in the files that they leave.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Never

from tqdm import tqdm

from echo_exp.sweeps import failures, job
from echo_exp.sweeps.job import JobResult, Status

LOOK_SECONDS = 0.5
LINES = 20
"""Lines that a sweep prints where there is no terminal."""
QUIET_SECONDS = 60
"""The longest time without a line there."""


@contextlib.contextmanager
def watching(what: str, each: str, folder: Path, total: int) -> Iterator["Watch"]:
    """Shows in the ``with`` block how far some jobs are.

    Args:
        what: What they make together, such as a sweep.
        each: What they are called, such as a job.
        folder: Where they leave their results.
        total: All jobs, those that need not be run among them.
    """
    watch = Watch(what, each, folder, total)
    try:
        yield watch
    finally:
        watch.close()


class Watch:
    """Shows how far jobs are, from the first that must be run."""

    def __init__(self, what: str, each: str, folder: Path, total: int) -> None:
        self._what = what
        self._each = each
        self._folder = folder
        self._total = total
        self._paths: dict[int, Path] = {}
        self._results: dict[int, JobResult] = {}
        self._told: set[tuple[str, ...]] = set()  # the kinds of failures that have been named
        self._running = 0
        self._shares = 0.0  # of the running jobs, as far as they tell
        self._began = self._said = time.monotonic()
        self._began_with = 0
        self._said_done = 0.0
        self._said_ends: list[str] = []
        self._bar: tqdm[Never] | None = None
        self._over = threading.Event()
        self._looking = threading.Lock()
        self._thread: threading.Thread | None = None

    def follow(self, numbers: Sequence[int], results: Mapping[int, JobResult]) -> None:
        """Looks from now on for the results of some jobs.

        Args:
            numbers: The jobs.
            results: Those of all others that have one.
        """
        with self._looking:
            self._paths = {number: job.file(self._folder, number) for number in numbers}
            self._results = dict(results)
        if self._thread is not None:
            self._look()
        elif numbers:
            self._began_with = len(results)
            self._said_done = float(self._began_with)
            self._said_ends = self._ends()
            self._bar = self._new_bar() if sys.stderr.isatty() else None
            self._tell_failures()
            self._thread = threading.Thread(target=self._show, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Looks a last time."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        if self._bar is None and self._ends() != self._said_ends:
            self._say()
        if self._bar is not None:
            self._bar.close()

    def _show(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._look()
        self._look()

    def _new_bar(self) -> "tqdm[Never]":
        return tqdm(
            desc=self._what,
            total=self._total,
            initial=len(self._results),
            file=sys.stderr,
            dynamic_ncols=True,
            bar_format="{desc} |{bar}| {percentage:.0f} %{postfix}",
        )

    def _look(self) -> None:
        """Reads what the jobs have left since the last look."""
        with self._looking:
            self._running, self._shares = 0, 0.0
            for number, path in self._paths.items():
                result = None if number in self._results else job.read(path)
                if result is None or result.status == Status.CLAIMED:
                    continue
                if result.status == Status.RUNNING:
                    self._running += 1
                    self._shares += result.share
                else:
                    self._results[number] = result
            self._tell_failures()
            self._tell()

    def _tell_failures(self) -> None:
        """Names the failures of a kind that has not been named; of others the number must do."""
        kinds = {n: failures.kind(why) for n, why in job.reasons(self._results).items()}
        new = {n: self._results[n].line for n, kind in kinds.items() if kind not in self._told}
        self._told.update(kinds.values())
        for line in failures.lines(new, self._each):
            self._print(line)

    def _tell(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join([*self._counts(), *self._left()]), refresh=False)
            self._bar.n = self._done
            self._bar.refresh()
        elif self._due():
            self._say()

    def _say(self) -> None:
        self._said, self._said_done = time.monotonic(), self._done
        self._said_ends = self._ends()
        self._print(f"{self._what}: {', '.join([*self._counts(), *self._left()])}")

    def _due(self) -> bool:
        done, said = self._done, self._said_done
        crossed = done * LINES // self._total != said * LINES // self._total
        return crossed or time.monotonic() - self._said >= QUIET_SECONDS

    def _counts(self) -> list[str]:
        done, *ends = self._ends()
        share = f" ({100 * self._shares / self._running:.0f} %)" if self._shares else ""
        return [done, f"{self._running} running{share}", *ends]

    @property
    def _done(self) -> float:
        """How many jobs are done, with what is done of those that are running."""
        return len(self._results) + self._shares

    def _ends(self) -> list[str]:
        done = f"{len(self._results)} of {self._total} done"
        return [done, *job.counted(self._results.values())]

    def _left(self) -> list[str]:
        """Returns the time left, where it can be told."""
        done = self._done
        here = done - self._began_with
        if here <= 0 or done >= self._total:
            return []
        spent = time.monotonic() - self._began
        return [f"{_words(spent / here * (self._total - done))} left"]

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)


def _words(seconds: float) -> str:
    """Returns a time as people say it."""
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 1.5:
        return f"{hours:.0f} h"
    return f"{minutes:.0f} min" if minutes >= 1.5 else f"{seconds:.0f} s"
