"""The time of measurements: it runs evenly even if the system's clock is set back."""

import time


class Clock:
    """Reads the system's clock once, and counts from there without it.

    Args:
        after: Seconds since 1970 that have been recorded already; this clock begins no earlier.
    """

    def __init__(self, after: float = 0.0) -> None:
        self._offset = max(time.time(), after) - time.monotonic()

    def now(self) -> float:
        """Returns seconds since 1970; a difference of two is how long it took."""
        return self._offset + time.monotonic()
