"""A live summary of a sweep: jobs done, running and failed, and the time left.

The jobs may run anywhere; all that is known of them is in the files that they write.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from echo_exp import terminal
from echo_exp.sweeps import failures, job
from echo_exp.sweeps.job import JobResult, Status
from echo_exp.tracking import TrackingError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

Best = Callable[[Mapping[int, JobResult]], str]
"""Describes the best of some results; an empty string if there is none."""
Report = Callable[[Mapping[int, JobResult]], None]
"""Receives the results of all jobs that have ended."""

LOOK_SECONDS = 0.5
LINES = 20
"""The number of progress lines that a sweep prints if there is no terminal."""
QUIET_SECONDS = 60
"""The longest time between two such lines."""
MOST_STACKS = 8
"""At most this many running stacks are shown."""


@contextlib.contextmanager
def watching(
    what: str,
    noun: str,
    folder: Path,
    total: int,
    best: Best = lambda _: "",
    report: Report = lambda _: None,
) -> Iterator["Watch"]:
    """Shows the progress of jobs until the ``with`` block ends.

    Args:
        what: The word for all of them together, such as ``sweep``.
        noun: The word for one of them, such as ``job``.
        folder: Where they write their results.
        total: The number of all jobs, including those that need not be run.
        best: Describes the best result so far.
        report: Receives, at each look, the results of all jobs that have ended.

    Yields:
        The display, which learns from `Watch.follow` which jobs run.
    """
    watch = Watch(what, noun, folder, total, best, report)
    try:
        yield watch
    finally:
        watch.close()


class Watch:
    """Shows the progress of jobs, beginning when the first of them has to be run.

    Its arguments are those of `watching`.
    """

    def __init__(
        self,
        what: str,
        noun: str,
        folder: Path,
        total: int,
        best: Best = lambda _: "",
        report: Report = lambda _: None,
    ) -> None:
        self._what = what
        self._noun = noun
        self._folder = folder
        self._total = total
        self._best = best
        self._report = report
        self._best_of = 0, ""  # the number of results, and the best of them
        self._paths: dict[int, Path] = {}
        self._results: dict[int, JobResult] = {}
        self._printed: set[tuple[str, ...]] = set()  # the kinds of failures that have been printed
        self._stacks: Sequence[Sequence[int]] = ()
        self._running: dict[int, float] = {}  # the share of each job that is done, if it is known
        self._began = self._line_at = time.monotonic()
        self._began_with = 0
        self._line_done = 0.0
        self._line_ends: list[str] = []
        self._live: Live | None = None
        self._over = threading.Event()
        self._looking = threading.Lock()
        self._thread: threading.Thread | None = None

    def follow(self, numbers: Sequence[int], results: Mapping[int, JobResult]) -> None:
        """Follows these jobs from now on.

        Args:
            numbers: The numbers of the jobs.
            results: The results of all other jobs that have one.
        """
        with self._looking:
            self._paths = {number: job.file(self._folder, number) for number in numbers}
            self._results = dict(results)
        if self._thread is not None:
            self._look()
        elif numbers:
            self._began_with = len(results)
            self._line_done = float(self._began_with)
            self._line_ends = self._ends()
            self._live = _live() if terminal.redraws(sys.stderr) else None
            self._print_failures()
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()

    def launched(self, stacks: Sequence[Sequence[int]]) -> None:
        """Shows from now on these stacks of jobs that are trained together.

        Args:
            stacks: The numbers of the jobs of each stack.
        """
        self._stacks = stacks

    def close(self) -> None:
        """Reads the results once more and ends the display."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        if self._live is not None:
            self._live.stop()
        elif self._ends() != self._line_ends:
            self._print_line()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        """Reads the results that the jobs have written since the last look, and shows them."""
        with self._looking:
            self._running = {}
            for number, path in self._paths.items():
                result = None if number in self._results else job.read(path)
                if result is None or result.status == Status.CLAIMED:
                    continue
                if result.status == Status.RUNNING:
                    self._running[number] = result.share
                else:
                    self._results[number] = result
            self._print_failures()
            self._show()
            with contextlib.suppress(TrackingError):  # the sweep itself will meet the same error
                self._report(self._results)

    def _print_failures(self) -> None:
        """Prints failures of a new kind; the others are only counted."""
        kinds = {n: failures.kind(why) for n, why in job.reasons(self._results).items()}
        new = {n: self._results[n].line for n, kind in kinds.items() if kind not in self._printed}
        self._printed.update(kinds.values())
        for line in failures.lines(new, self._noun):
            print(line, file=sys.stderr, flush=True)  # rich prints it above the display

    def _show(self) -> None:
        if self._live is not None:
            self._live.update(self._drawn(), refresh=True)
        elif self._due():
            self._print_line()

    def _print_line(self) -> None:
        self._line_at, self._line_done = time.monotonic(), self._done
        self._line_ends = self._ends()
        best = self._best_so_far()
        line = f"{self._what}: {self._counted()}{f'; best so far: {best}' if best else ''}"
        print(line, file=sys.stderr, flush=True)

    def _due(self) -> bool:
        """Returns whether it is time to print a line."""
        crossed = self._done * LINES // self._total != self._line_done * LINES // self._total
        return crossed or time.monotonic() - self._line_at >= QUIET_SECONDS

    def _drawn(self) -> "RenderableType":
        """Returns what a terminal shows: a bar for the whole, one for each stack, and the best."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bars = Table.grid(padding=(0, 1))
        for title, share, text in [(self._what, self._done / self._total, self._counted())] + [
            (f"  {title}", share, f"{100 * share:.0f} %") for title, share in self._at_work()
        ]:
            bar = ProgressBar(total=1.0, completed=share, width=30)
            bars.add_row(title, bar, Text(text, overflow="ellipsis", no_wrap=True))
        best = self._best_so_far()
        return Group(bars, *([Text(f"best so far: {best}", style="green")] if best else []))

    def _at_work(self) -> list[tuple[str, float]]:
        """Returns the stacks with a running job, each with the share of it that is done."""
        stacks = [stack for stack in self._stacks if not self._running.keys().isdisjoint(stack)]
        found = []
        for stack in stacks[:MOST_STACKS]:
            shares = [self._running.get(n, float(n in self._results)) for n in stack]
            found.append((failures.who(stack, self._noun), sum(shares) / len(stack)))
        return found

    def _counted(self) -> str:
        """Returns how many jobs are done, running and failed, and the time left."""
        done, *ends = self._ends()
        share = sum(self._running.values())
        percent = f" ({100 * share / len(self._running):.0f} %)" if share else ""
        return ", ".join([done, f"{len(self._running)} running{percent}", *ends, *self._left()])

    def _best_so_far(self) -> str:
        if self._best_of[0] != len(self._results):
            self._best_of = len(self._results), self._best(self._results)
        return self._best_of[1]

    @property
    def _done(self) -> float:
        """The number of jobs that are done, plus the shares that are done of running ones."""
        return len(self._results) + sum(self._running.values())

    def _ends(self) -> list[str]:
        """Returns how many jobs are done, and how many of them did not succeed."""
        ended = self._results.values()
        done = sum(result.status != Status.STOPPED for result in ended)
        return [f"{done} of {self._total} done", *job.counted(ended)]

    def _left(self) -> list[str]:
        """Returns the time left, if it can be estimated."""
        done = self._done
        here = done - self._began_with
        if here <= 0 or done >= self._total:
            return []
        spent = time.monotonic() - self._began
        return [f"{terminal.duration(spent / here * (self._total - done))} left"]


def _live() -> "Live":
    """Starts a live display on the terminal; what is printed meanwhile appears above it."""
    from rich.live import Live

    live = Live(console=terminal.console(stderr=True), auto_refresh=False)
    live.start()
    return live
