"""Timestamps of measurements, which never go back, even if the system's clock does."""

import time


class Clock:
    """Reads the system's clock once, and then follows a monotonic clock.

    Args:
        after: The latest time recorded before, in seconds since 1970; this clock starts no earlier.
    """

    def __init__(self, after: float = 0.0) -> None:
        self._offset = max(time.time(), after) - time.monotonic()

    def now(self) -> float:
        """Returns the time in seconds since 1970; the difference of two is a duration."""
        return self._offset + time.monotonic()
