"""Which processes are alive: each holds the lock of a file of its own, which ends with it.

Not process ids, which are given to others, and mean nothing in another container. A forked child
closes its copy of its parent's file, or it would keep a dead parent alive.

Threads: any; `_lock` guards the file that is held.
"""

import contextlib
import fcntl
import os
import re
import secrets
import stat
import threading
import weakref
from random import sample
from typing import Final

__all__ = ["Presence"]

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
TRIES_MAX: Final = 100
FILES_MAX: Final = 100
"""Files of others that are looked at at once."""
SUFFIX: Final = ".lock"
_NAME: Final = re.compile(r"[0-9a-f]{16}\.lock")
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Presence:
    """This process, as the others see it in a folder that all of them use."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._begin_anew()
        _present.add(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._held: tuple[str, int] | None = None

    def id(self) -> str:
        """Return this process's id, which says that it is alive as long as it is.

        Raises:
            OSError: no file can be made.
        """
        with self._lock:
            if self._held is not None and not _is_linked(self._held[1]):
                self._let_go()  # somebody tidied up
            if self._held is None:
                self._held = self._made()
            return self._held[0]

    def is_alive(self, other: str) -> bool:
        """Tell whether the process of an id is alive, and tidy up after one that is not.

        Raises:
            OSError: that cannot be told.
        """
        with self._lock:
            if self._held is not None and self._held[0] == other:
                return _is_linked(self._held[1])
        path = self._path(other)
        try:
            descriptor = os.open(path, _FLAGS)
        except FileNotFoundError:
            return False
        try:
            if not _locked(descriptor):
                return True
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return False
        finally:
            os.close(descriptor)

    def tidy(self) -> bool:
        """Remove some of the files that dead processes left; tell whether there may be more."""
        try:
            with os.scandir(self._folder) as found:
                names = [each.name for each in found if _NAME.fullmatch(each.name)]
        except OSError:
            return False
        looked_at = sample(names, min(len(names), FILES_MAX))  # else the living hide the dead
        removed = 0
        for name in looked_at:
            with contextlib.suppress(OSError):  # without its file a process is dead all the same
                removed += not self.is_alive(name.removesuffix(SUFFIX))
        return removed > 0 and len(names) > len(looked_at)

    def leave(self) -> None:
        """Say that this process does nothing more."""
        with self._lock:
            held = self._held
            self._let_go()
        if held is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path(held[0]))

    def after_fork(self) -> None:
        """Be another process in a forked child."""
        held = self._held
        if held is not None:
            with contextlib.suppress(OSError):
                os.close(held[1])
        self._begin_anew()

    def _made(self) -> tuple[str, int]:
        os.makedirs(self._folder, FOLDER_MODE, exist_ok=True)
        for _ in range(TRIES_MAX):
            made = secrets.token_hex(8)
            flags = _FLAGS | os.O_CREAT | os.O_EXCL
            descriptor = os.open(self._path(made), flags, FILE_MODE)
            # Whoever looked at it before it was locked took it for a dead one's, and removes it.
            if _locked(descriptor) and _is_linked(descriptor):
                return made, descriptor
            os.close(descriptor)
        raise OSError(f"{self._folder}: no lock can be held in it; put it on a local disk")

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            os.close(held[1])

    def _path(self, of: str) -> str:
        return os.path.join(self._folder, f"{of}{SUFFIX}")


def _is_linked(descriptor: int) -> bool:
    return os.fstat(descriptor).st_nlink > 0 and stat.S_ISREG(os.fstat(descriptor).st_mode)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_present: Final = weakref.WeakSet[Presence]()


def _after_fork() -> None:
    for presence in list(_present):
        presence.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
