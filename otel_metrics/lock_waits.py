"""How long a writer waits for the lock of each file that it appends to.

A lock that is held by a process which was stopped must not hold up every caller for seconds. So a
file whose lock was not to be had the last time is hardly waited for, until it is free again; of the
other files nothing follows from that.

Threads: called from any thread, of a signal handler too. Nothing is guarded: two threads that find
one lock held at once at worst wait for it twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from otel_metrics import line_files
from otel_metrics.line_files import LockTimeoutError

__all__ = ["HELD_MAX", "HELD_WAIT_S", "LockWaits"]

HELD_WAIT_S: Final = 0.05
"""How long a writer waits for a lock that it did not get the last time."""
HELD_MAX: Final = 1_000
"""Files of which it is known that their locks are held; with more, all are forgotten."""


class LockWaits:
    """How long to wait for each of some files, by whether their locks were to be had."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    @contextmanager
    def of(self, path: str) -> Iterator[float]:
        """Give the seconds to wait for the lock of a file, and take note of how it went."""
        try:
            yield HELD_WAIT_S if path in self._held else line_files.LOCK_WAIT_S
        except LockTimeoutError:
            if len(self._held) >= HELD_MAX:
                self._held.clear()
            self._held.add(path)
            raise
        self._held.discard(path)
