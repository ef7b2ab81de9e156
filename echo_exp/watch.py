"""One live summary of a sweep: what is done, what runs, what failed, and the time left.

The jobs may run anywhere; what is known of them is in the files that they leave.
"""

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Never

from tqdm import tqdm

from echo_exp import job
from echo_exp.job import JobResult, Status

LOOK_SECONDS = 0.5
LINES = 20
"""Lines that a sweep prints where there is no terminal."""
QUIET_SECONDS = 60
"""The longest time without a line there."""


@contextlib.contextmanager
def watching(what: str, folder: Path, total: int) -> Iterator["Watch"]:
    """Shows in the ``with`` block how far some jobs are.

    Args:
        what: What they make together, such as a sweep.
        folder: Where they leave their results.
        total: All jobs, those that need not be run among them.
    """
    watch = Watch(what, folder, total)
    try:
        yield watch
    finally:
        watch.close()


class Watch:
    """Shows how far jobs are, from the first that must be run."""

    def __init__(self, what: str, folder: Path, total: int) -> None:
        self._done = 0
        self._what = what
        self._folder = folder
        self._total = total
        self._paths: dict[int, Path] = {}
        self._results: dict[int, JobResult] = {}
        self._counts: Counter[Status] = Counter()
        self._running = 0
        self._began = self._said = time.monotonic()
        self._began_with = 0
        self._bar: tqdm[Never] | None = None
        self._over = threading.Event()
        self._looking = threading.Lock()
        self._thread: threading.Thread | None = None

    def follow(self, numbers: Sequence[int], done: int) -> None:
        """Looks from now on for the results of some jobs.

        Args:
            numbers: The jobs.
            done: How many others have a result.
        """
        if self._thread is not None:
            self._look()
        with self._looking:
            self._paths = {number: job.file(self._folder, number) for number in numbers}
            self._results = {}
            self._done = done
        if numbers and self._thread is None:
            self._began_with = done
            self._bar = self._new_bar() if sys.stderr.isatty() else None
            self._thread = threading.Thread(target=self._show, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Looks a last time."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
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
            initial=self._done,
            file=sys.stderr,
            dynamic_ncols=True,
            bar_format="{desc} |{bar}| {percentage:.0f} %{postfix}",
        )

    def _look(self) -> None:
        """Reads what the jobs have left since the last look."""
        with self._looking:
            self._running, news = 0, []
            for number, path in self._paths.items():
                result = None if number in self._results else job.read(path)
                if result is None or result.status == Status.CLAIMED:
                    continue
                if result.status == Status.RUNNING:
                    self._running += 1
                else:
                    self._results[number] = result
                    self._counts[result.status] += 1
                    news.append(number)
            self._done += len(news)
            for number in news:
                if self._results[number].status == Status.FAILED:
                    self._print(f"job {number}: {self._results[number].line}")
            self._tell(len(news))

    def _tell(self, new: int) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(self._summary(), refresh=False)
            self._bar.n = self._done
            self._bar.refresh()
        elif self._due(new):
            self._said = time.monotonic()
            self._print(f"{self._what}: {self._summary()}")

    def _due(self, new: int) -> bool:
        crossed = self._done * LINES // self._total != (self._done - new) * LINES // self._total
        return crossed or time.monotonic() - self._said >= QUIET_SECONDS

    def _summary(self) -> str:
        parts = [f"{self._done} of {self._total} done", f"{self._running} running"]
        told = (Status.FAILED, Status.STOPPED, Status.PRUNED)
        parts += [f"{self._counts[status]} {status}" for status in told if self._counts[status]]
        here = self._done - self._began_with
        if here > 0 and self._done < self._total:
            spent = time.monotonic() - self._began
            parts.append(f"{_words(spent / here * (self._total - self._done))} left")
        return ", ".join(parts)

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
