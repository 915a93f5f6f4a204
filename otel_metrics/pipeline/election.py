"""Which process of a service says what is true of the whole machine: the one that holds a lock.

Without it, each of a service's workers would report the host's CPUs and disks once more. The kernel
gives the lock back when its holder ends; the first of the others that is collected then has it.

Used by one thread, such as the one that collects, and by `after_fork` in a child, before that has
another thread.
"""

import os
import time
from typing import Final

from otel_exporter_prometheus.service import Service
from otel_exporter_prometheus.state import Lock, lock, open_folder

__all__ = ["Election"]

ASKED_AGAIN_S: Final = 0.5
"""Within one collection the lock is asked for once."""
TOUCH_INTERVAL_S: Final = 3600.0
"""How often the file is touched, so that what cleans `/tmp` by age leaves it."""


class Election:
    """One office of a service on this machine, which at most one process holds.

    Args:
        service: whose processes stand for it.
        office: what it is called; part of a file's name.
    """

    def __init__(self, service: Service, office: str) -> None:
        self._folder = service.folder(office)
        self._held: Lock | None = None
        self._unheld = False  # by anybody: there is nothing to hold it in
        self._asked_at = float("-inf")
        self._touched_at = float("-inf")

    def won(self) -> bool:
        """Tell whether this process holds the office; take it where nobody does.

        Where there is no folder to hold a lock in, every process holds it.
        """
        now = time.monotonic()
        if now - self._asked_at >= ASKED_AGAIN_S:
            self._asked_at = now
            self._unheld = False
            try:
                self._ask(now)
            except OSError:
                self._unheld = True
        return self._held is not None or self._unheld

    def resign(self) -> None:
        """Give the office up."""
        held, self._held = self._held, None
        if held is not None:
            held.release()

    def after_fork(self) -> None:
        """Stand for it anew in a forked child: the office is the parent's."""
        held, self._held = self._held, None
        self._unheld = False
        self._asked_at = float("-inf")
        if held is not None:
            held.close_copy()

    def _ask(self, now: float) -> None:
        if self._held is not None and not self._held.is_held():
            self.resign()  # the file was removed: another may hold the office by now
        path = os.path.join(open_folder(self._folder), "office.lock")
        if self._held is None:
            self._held = lock(path)
        if self._held is not None and now - self._touched_at >= TOUCH_INTERVAL_S:
            self._touched_at = now
            os.utime(path)
