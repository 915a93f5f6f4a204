"""Imports on our own threads, which a fork waits for.

What a thread of the parent is importing at that moment a child could never import: Python's lock of
that module stays held in it, and nobody is left to release it.

Threads: ours hold `lock()` while they import; who forks takes it.
"""

import threading
from typing import Final

__all__ = ["LOAD_WAIT_S", "after_fork", "lock"]

LOAD_WAIT_S: Final = 5.0
"""A fork waits at most this long for an import to end; most take a tenth of a second."""

_lock = threading.Lock()


def lock() -> threading.Lock:
    """Return the lock that is held around an import."""
    return _lock


def after_fork() -> None:
    """Begin with a lock that nobody holds, in a forked child."""
    global _lock
    _lock = threading.Lock()
