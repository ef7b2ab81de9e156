"""One live summary of a sweep: what is done, what runs, what failed, and the time left.

The jobs may run anywhere; what is known of them is in the files that they leave.
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
"""Says of the results of some jobs which is the best; nothing where none is."""
Told = Callable[[Mapping[int, JobResult]], None]

LOOK_SECONDS = 0.5
LINES = 20
"""Lines that a sweep prints where there is no terminal."""
QUIET_SECONDS = 60
"""The longest time without a line there."""
MOST_STACKS = 8
"""Of more stacks that run at once only so many are shown."""


@contextlib.contextmanager
def watching(
    what: str,
    each: str,
    folder: Path,
    total: int,
    best: Best = lambda _: "",
    told: Told = lambda _: None,
) -> Iterator["Watch"]:
    """Shows in the ``with`` block how far some jobs are.

    Args:
        what: What they make together, such as a sweep.
        each: What they are called, such as a job.
        folder: Where they leave their results.
        total: All jobs, those that need not be run among them.
        best: Says which is the best so far.
        told: Is told at each look the results of all jobs that have ended.
    """
    watch = Watch(what, each, folder, total, best, told)
    try:
        yield watch
    finally:
        watch.close()


class Watch:
    """Shows how far jobs are, from the first that must be run."""

    def __init__(
        self,
        what: str,
        each: str,
        folder: Path,
        total: int,
        best: Best = lambda _: "",
        told: Told = lambda _: None,
    ) -> None:
        self._what = what
        self._each = each
        self._folder = folder
        self._total = total
        self._best = best
        self._stand = told
        self._best_of = 0, ""  # so many results, and the best of them
        self._paths: dict[int, Path] = {}
        self._results: dict[int, JobResult] = {}
        self._told: set[tuple[str, ...]] = set()  # the kinds of failures that have been named
        self._stacks: Sequence[Sequence[int]] = ()
        self._running: dict[int, float] = {}  # how much of each job is done, as far as they tell
        self._began = self._said = time.monotonic()
        self._began_with = 0
        self._said_done = 0.0
        self._said_ends: list[str] = []
        self._live: Live | None = None
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
            self._live = _live() if terminal.redraws(sys.stderr) else None
            self._tell_failures()
            self._thread = threading.Thread(target=self._show, daemon=True)
            self._thread.start()

    def launched(self, stacks: Sequence[Sequence[int]]) -> None:
        """Learns which jobs are trained together from now on.

        Args:
            stacks: The numbers of the jobs of each stack.
        """
        self._stacks = stacks

    def close(self) -> None:
        """Looks a last time."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        if self._live is not None:
            self._live.stop()
        elif self._ends() != self._said_ends:
            self._say()

    def _show(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        """Reads what the jobs have left since the last look."""
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
            self._tell_failures()
            self._tell()
            with contextlib.suppress(TrackingError):  # the sweep itself will find it out
                self._stand(self._results)

    def _tell_failures(self) -> None:
        """Prints failures of a new kind; for the others, their number suffices."""
        kinds = {n: failures.kind(why) for n, why in job.reasons(self._results).items()}
        new = {n: self._results[n].line for n, kind in kinds.items() if kind not in self._told}
        self._told.update(kinds.values())
        for line in failures.lines(new, self._each):
            print(line, file=sys.stderr, flush=True)  # above what is drawn, which rich sees to

    def _tell(self) -> None:
        if self._live is not None:
            self._live.update(self._drawn(), refresh=True)
        elif self._due():
            self._say()

    def _say(self) -> None:
        self._said, self._said_done = time.monotonic(), self._done
        self._said_ends = self._ends()
        best = self._best_so_far()
        told = f"{self._what}: {self._counted()}{f'; best so far: {best}' if best else ''}"
        print(told, file=sys.stderr, flush=True)

    def _due(self) -> bool:
        done, said = self._done, self._said_done
        crossed = done * LINES // self._total != said * LINES // self._total
        return crossed or time.monotonic() - self._said >= QUIET_SECONDS

    def _drawn(self) -> "RenderableType":
        """Returns what a terminal shows: a bar of all, one of each stack, and the best."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bars = Table.grid(padding=(0, 1))
        for title, share, told in [(self._what, self._done / self._total, self._counted())] + [
            (f"  {title}", share, f"{100 * share:.0f} %") for title, share in self._at_work()
        ]:
            bar = ProgressBar(total=1.0, completed=share, width=30)
            bars.add_row(title, bar, Text(told, overflow="ellipsis", no_wrap=True))
        best = self._best_so_far()
        return Group(bars, *([Text(f"best so far: {best}", style="green")] if best else []))

    def _at_work(self) -> list[tuple[str, float]]:
        """Returns the stacks that have a running job, and how much of each is done."""
        stacks = [stack for stack in self._stacks if not self._running.keys().isdisjoint(stack)]
        found = []
        for stack in stacks[:MOST_STACKS]:
            shares = [self._running.get(n, float(n in self._results)) for n in stack]
            found.append((failures.who(stack, self._each), sum(shares) / len(stack)))
        return found

    def _counted(self) -> str:
        """Returns how many jobs are done, running and failed, and the time left."""
        done, *ends = self._ends()
        share = sum(self._running.values())
        told = f" ({100 * share / len(self._running):.0f} %)" if share else ""
        return ", ".join([done, f"{len(self._running)} running{told}", *ends, *self._left()])

    def _best_so_far(self) -> str:
        if self._best_of[0] != len(self._results):
            self._best_of = len(self._results), self._best(self._results)
        return self._best_of[1]

    @property
    def _done(self) -> float:
        """How many jobs are done, with what is done of those that are running."""
        return len(self._results) + sum(self._running.values())

    def _ends(self) -> list[str]:
        done = f"{len(self._results)} of {self._total} done"
        return [done, *job.counted(self._results.values())]

    def _left(self) -> list[str]:
        """Returns the time left, if it can be estimated."""
        done = self._done
        here = done - self._began_with
        if here <= 0 or done >= self._total:
            return []
        spent = time.monotonic() - self._began
        return [f"{terminal.duration(spent / here * (self._total - done))} left"]


def _live() -> "Live":
    """Begins to draw on the terminal; what is printed meanwhile appears above."""
    from rich.live import Live

    live = Live(console=terminal.console(stderr=True), auto_refresh=False)
    live.start()
    return live
