"""Ends the runner on time even while its supervisor waits for a database that does not answer."""

import threading
import time
from collections.abc import Callable


class Watchdog(threading.Thread):
    """Calls `bite` once, when the deadline has passed without being moved."""

    def __init__(self, bite: Callable[[], None]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._bite = bite
        self._deadline = float("inf")
        self._changed = threading.Condition()

    def allow_until(self, deadline: float) -> None:
        """Move the deadline, by `time.monotonic`."""
        with self._changed:
            self._deadline = deadline
            self._changed.notify()

    def stop(self) -> None:
        self.allow_until(float("-inf"))
        self.join()

    def run(self) -> None:
        with self._changed:
            while (remaining := self._deadline - time.monotonic()) > 0:
                self._changed.wait(min(remaining, threading.TIMEOUT_MAX))
            late = self._deadline > float("-inf")
        if late:
            self._bite()
