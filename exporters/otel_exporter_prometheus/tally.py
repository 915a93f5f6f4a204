"""Counts by kind that several threads add to: what `stats()` tells."""

import threading
from collections import Counter
from collections.abc import Iterable

__all__ = ["Tally"]


class Tally:
    """Counters by kind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, kind: str) -> None:
        """Count one."""
        self.add_all((kind,))

    def add_all(self, kinds: Iterable[str]) -> None:
        """Count one for each."""
        with self._lock:
            self._counts.update(kinds)

    def counts(self) -> dict[str, int]:
        """Return the counts so far."""
        with self._lock:
            return dict(self._counts)

    def after_fork(self) -> None:
        """Begin anew in a forked child, where the lock may be held by a thread that is gone."""
        self._lock = threading.Lock()
        self._counts = Counter()
