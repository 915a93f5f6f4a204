"""Stores live with their process: each begins anew in a forked child, and ends with the process.

Threads: the one that forks, and the one that ends the process.
"""

import atexit
import multiprocessing
import multiprocessing.util
import os
import threading
import time
import weakref
from typing import Final, Protocol

__all__ = ["Living", "live_with_the_process"]

END_WAIT_S: Final = 2.0
"""How long the end of the interpreter waits for all stores together."""


class Living(Protocol):
    """A store, as forks and the end of the process see it."""

    def after_fork(self) -> None:
        """Begin anew in a forked child."""

    def close(self, deadline_s: float) -> None:
        """Write what waits, until this reading of the monotonic clock."""


class _Alive:
    """The stores of this process. The lock guards the set."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stores: weakref.WeakSet[Living] = weakref.WeakSet()
        self.registered = False

    def after_fork(self) -> None:
        """Let each begin anew."""
        self.lock = threading.Lock()
        for store in list(self.stores):
            store.after_fork()

    def close(self) -> None:
        """Let each write what waits, all within `END_WAIT_S`."""
        deadline = time.monotonic() + END_WAIT_S
        for store in list(self.stores):
            store.close(deadline)


_alive: Final = _Alive()


def live_with_the_process(store: Living) -> None:
    """Let a store begin anew in each forked child, and write what waits before its process ends."""
    with _alive.lock:
        _alive.stores.add(store)
        if _alive.registered:
            return
        _alive.registered = True
    atexit.register(_alive.close)
    # Forked children of multiprocessing skip atexit, but not its finalizers.
    if multiprocessing.parent_process() is not None:
        _finalize_child(_alive)
    multiprocessing.util.register_after_fork(_alive, _finalize_child)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_alive.after_fork)


def _finalize_child(alive: _Alive) -> None:
    multiprocessing.util.Finalize(None, alive.close, exitpriority=0)
