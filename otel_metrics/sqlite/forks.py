"""Keeps connections out of forks.

SQLite keeps a file's locks in tables of the process, so that a forked child would take its parent's
locks for its own: every connection is closed before a fork and opened again when it is next used.
One inside a transaction that does not end in time is the parent's alone, and the child may not use
the file.

Threads: the thread that forks; a lock guards the set of databases.
"""

import ctypes
import os
import sqlite3
import threading
import time
import weakref
from typing import Final, Protocol

__all__ = ["Forked", "abandon", "registry"]

FORK_WAIT_S: Final = 0.5
"""A fork waits at most this long for transactions under way, of all databases together."""


class Forked(Protocol):
    """A database, as a fork sees it.

    Attributes:
        path: its file.
    """

    path: str

    @property
    def lock(self) -> "threading.RLock":
        """What a thread holds that uses the connection."""

    def park(self) -> bool:
        """Close the connection, with the lock held; False where this thread is at work with it."""

    def begin_anew(self, *, unusable: bool) -> None:
        """Forget what is the parent's, in a forked child."""


def abandon(connection: sqlite3.Connection) -> None:
    """Keep a connection for ever that must not be closed, not even by the interpreter's end."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


class _Registry:
    """All databases of the process. The lock guards the set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._databases: weakref.WeakSet[Forked] = weakref.WeakSet()
        self._forking = threading.local()  # what a fork under way on this thread holds

    def add(self, database: Forked) -> None:
        """Care for one more."""
        with self._lock:
            self._databases.add(database)

    def before_fork(self) -> None:
        """Close every connection, as far as transactions end within `FORK_WAIT_S`."""
        deadline = time.monotonic() + FORK_WAIT_S
        self._lock.acquire()
        self._forking.locks = locks = []
        self._forking.at_work = at_work = []
        for database in list(self._databases):
            lock = database.lock
            if lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                locks.append(lock)
                if database.park():
                    continue
            at_work.append(database)

    def after_fork_in_parent(self) -> None:
        """Let the others go on."""
        for lock in self._forking.locks:
            lock.release()
        self._forking.locks = self._forking.at_work = []
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Give every database a lock of the child's own, and no connection."""
        self._lock = threading.Lock()
        torn = {database.path for database in self._forking.at_work}
        for database in list(self._databases):
            database.begin_anew(unusable=database.path in torn)
        self._forking = threading.local()


registry: Final = _Registry()
"""The databases of this process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=registry.before_fork,
        after_in_parent=registry.after_fork_in_parent,
        after_in_child=registry.after_fork_in_child,
    )
