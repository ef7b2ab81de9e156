"""The progress of a sweep, as metrics of its parent run, written while the sweep runs."""

import math
import time
from collections.abc import Collection, Mapping
from statistics import median
from types import MappingProxyType

from echo_exp.sweeps.job import JobResult, Status
from echo_exp.sweeps.table import ACCURACY
from echo_exp.tracking import Run

LOOK_SECONDS = 0.5
SECONDS = 5.0
"""The shortest time between two points."""


class SweepProgress:
    """Records how many jobs have ended, how well, and how fast.

    Args:
        parent: The parent run; None if nothing is tracked.
        replicas: How many networks a job trains.
        own: The same of jobs that train another number of networks, by the jobs' numbers.
        known: The numbers of jobs that had ended before this start.
    """

    def __init__(
        self,
        parent: Run | None,
        replicas: int,
        own: Mapping[int, int] = MappingProxyType({}),
        known: Collection[int] = (),
    ) -> None:
        self._parent = parent
        self._replicas, self._own, self._known = replicas, own, frozenset(known)
        self._began = time.monotonic()
        self._last = -math.inf, -1  # when it was recorded, and for how many results

    def tell(self, results: Mapping[int, JobResult], last: bool = False) -> None:
        """Records the progress, unless nothing has changed or it was just done.

        Args:
            results: The results of all jobs that have ended, by their numbers.
            last: Whether there will be no more.
        """
        now = time.monotonic()
        when, count = self._last
        if self._parent is None or (not last and (now - when < SECONDS or count == len(results))):
            return
        self._last = now, len(results)
        scores = metrics(results)
        trained = sum(
            self._own.get(number, self._replicas)
            for number, result in results.items()
            if result.status == Status.FINISHED and number not in self._known
        )
        pace = 60 * trained / max(now - self._began, LOOK_SECONDS)
        scores["sweep/networks_a_minute"] = round(pace, 1)
        self._parent.log_metrics([len(results)], {name: [v] for name, v in scores.items()})


def metrics(results: Mapping[int, JobResult]) -> dict[str, float]:
    """Returns how many jobs have finished and failed, and the best and median accuracy.

    Args:
        results: The results of all jobs that have ended, by their numbers.
    """
    ended = results.values()
    found = [r.metrics[ACCURACY] for r in ended if r.succeeded and ACCURACY in r.metrics]
    found = [score for score in found if math.isfinite(score)]
    counts = {
        "sweep/finished": float(sum(result.succeeded for result in ended)),
        "sweep/failed": float(sum(result.status == Status.FAILED for result in ended)),
    }
    if not found:
        return counts
    return counts | {"sweep/best_accuracy": max(found), "sweep/median_accuracy": median(found)}
