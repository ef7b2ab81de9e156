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

from echo_exp import job
from echo_exp.job import JobResult, Status

LOOK_SECONDS = 0.5
LINES = 20
"""Lines that a sweep prints where there is no terminal."""
QUIET_SECONDS = 60
"""The longest time without a line there."""


@contextlib.contextmanager
def watching(
    folder: Path, numbers: Sequence[int], known: Mapping[int, JobResult]
) -> Iterator[None]:
    """Shows in the ``with`` block how far some jobs are.

    Args:
        folder: Where they leave their results.
        numbers: The jobs that are to be run.
        known: The results of the jobs that need not be run.
    """
    if not numbers:
        yield
        return
    watch = _Watch(folder, numbers, dict(known))
    thread = threading.Thread(target=watch.show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        watch.over.set()
        thread.join()


class _Watch:
    def __init__(self, folder: Path, numbers: Sequence[int], known: dict[int, JobResult]) -> None:
        self.over = threading.Event()
        self._paths = {number: job.file(folder, number) for number in numbers}
        self._results = known
        self._before = len(known)
        self._total = len(numbers) + len(known)
        self._running = 0
        self._began = self._said = time.monotonic()
        self._bar = self._new_bar() if sys.stderr.isatty() else None

    def show(self) -> None:
        while not self.over.wait(LOOK_SECONDS):
            self._look()
        self._look()
        if self._bar is not None:
            self._bar.close()

    def _new_bar(self) -> "tqdm[Never]":
        return tqdm(
            desc="sweep",
            total=self._total,
            initial=self._before,
            file=sys.stderr,
            dynamic_ncols=True,
            bar_format="{desc} |{bar}| {percentage:.0f} %{postfix}",
        )

    def _look(self) -> None:
        """Reads what the jobs have left since the last look."""
        self._running, news = 0, []
        for number, path in self._paths.items():
            result = None if number in self._results else job.read(path)
            if result is None or result.status == Status.CLAIMED:
                continue
            if result.status == Status.RUNNING:
                self._running += 1
            else:
                self._results[number] = result
                news.append(number)
        for number in news:
            if self._results[number].status == Status.FAILED:
                self._print(f"job {number}: {self._results[number].line}")
        self._tell(len(news))

    def _tell(self, new: int) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(self._summary(), refresh=False)
            self._bar.update(new)
            self._bar.refresh()
        elif self._due(new):
            self._said = time.monotonic()
            self._print(f"sweep: {self._summary()}")

    def _due(self, new: int) -> bool:
        done, all_ = len(self._results) - self._before, len(self._paths)
        crossed = done * LINES // all_ != (done - new) * LINES // all_
        return crossed or time.monotonic() - self._said >= QUIET_SECONDS

    def _summary(self) -> str:
        done, ours = len(self._results), len(self._results) - self._before
        failed = sum(not result.succeeded for result in self._results.values())
        parts = [f"{done} of {self._total} done", f"{self._running} running"]
        if failed:
            parts.append(f"{failed} failed")
        if 0 < ours < len(self._paths):
            left = (time.monotonic() - self._began) / ours * (self._total - done)
            parts.append(f"{_words(left)} left")
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
