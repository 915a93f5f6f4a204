"""Waking one thread from anywhere, a signal handler included."""

import threading
import time
from collections.abc import Callable

__all__ = ["Bell"]


class Bell:
    """What one thread waits for and any other code may ring, however often.

    `threading.Event` and `Condition` hold a lock while they are set: a signal handler that
    interrupts its own thread there and sets them again waits for itself. To ring is one call that
    nothing interrupts half-way, the release of a lock that the waiting thread takes.
    """

    __slots__ = ("_silent",)

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()

    def ring(self) -> None:
        """Wake the thread, or have its next wait look again at once."""
        try:
            self._silent.release()
        except RuntimeError:  # it has been rung, and nobody has heard it yet
            return

    def wait(self, timeout_s: float, until: Callable[[], object]) -> None:
        """Return when `until` says something true, asked at each ring, or after `timeout_s`."""
        end_s = time.monotonic() + timeout_s
        while not until():
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return
            self._silent.acquire(timeout=min(left_s, threading.TIMEOUT_MAX))
