"""The folder in which the processes of one service find each other, and locks in it.

`/run/user/<uid>/otel-metrics` where the system made the folder above it for this user, else
`/tmp/otel-metrics-<uid>`: this user's alone, with one folder a service in it. What is in it goes
with what it is about: see `workers.py`.

No variable names the place, since a shell and cron would have different values.
"""

import contextlib
import os
import stat
import sys
from typing import Final

if sys.platform != "win32":
    import fcntl

from otel_exporter_prometheus.errors import StateError

__all__ = ["FILE_MODE", "FOLDER_MODE", "Lock", "lock", "open_folder", "state_folder"]

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
ATTEMPTS: Final = 10
"""To lock a file that others remove and make again."""


def state_folder() -> str:
    """Return the path of this user's folder, made where it is not there.

    Raises:
        StateError: it is not this user's alone, or this is Windows.
        OSError: it cannot be made.
    """
    if sys.platform == "win32":
        raise StateError("processes find each other on Linux and macOS only")
    user = os.getuid()
    runtime = f"/run/user/{user}"
    path = f"{runtime}/otel-metrics" if _is_ours(runtime) else f"/tmp/otel-metrics-{user}"  # noqa: S108  # its owner is checked
    _make(path, user)
    return path


def open_folder(name: str) -> str:
    """Return the path of a folder in this user's folder, made where it is not there.

    Raises:
        StateError, OSError: as `state_folder`.
    """
    path = os.path.join(state_folder(), name)
    _make(path, os.getuid())
    return path


class Lock:
    """The lock of a file, which is this process's until `release` or its end, by whatever end.

    Not thread-safe. It knows its descriptor by the file behind it: a service may close all that it
    finds open, and get the same number for a file of its own.
    """

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path
        self._file = _identity(os.fstat(descriptor))

    def is_held(self) -> bool:
        """Tell whether others still see the lock: the descriptor may be closed, and the file may
        be removed, or another in its place."""
        with contextlib.suppress(OSError):
            return self._is_open() and _identity(os.stat(self._path)) == self._file
        return False

    def write(self, content: bytes) -> None:
        """Write into the file, for who wants to know who holds it.

        Raises:
            OSError: the disk is full, or the descriptor is closed.
        """
        if self._is_open():
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, content, 0)

    def release(self) -> None:
        """Give the lock back, also where a forked child has a copy of the descriptor."""
        if self._is_open():
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)

    def close_copy(self) -> None:
        """Close the descriptor in a forked child. The lock stays its parent's."""
        if self._is_open():
            os.close(self._descriptor)

    def _is_open(self) -> bool:
        with contextlib.suppress(OSError):
            return _identity(os.fstat(self._descriptor)) == self._file
        return False


def lock(path: str) -> Lock | None:
    """Return the lock of a file, made where it is not there; None where somebody else holds it.

    Raises:
        OSError: the file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    for _ in range(ATTEMPTS):
        descriptor = os.open(path, flags, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        held = Lock(descriptor, path)
        if held.is_held():  # else the file was removed, or replaced, in the meantime
            return held
        held.release()
    return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_ours(path: str) -> bool:
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        private = not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and private
    return False


def _make(path: str, user: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, FOLDER_MODE)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise StateError(f"{path} is no folder; remove it")
    if found.st_uid != user:
        raise StateError(f"{path} belongs to user {found.st_uid}, not to {user}; remove it")
    if stat.S_IMODE(found.st_mode) != FOLDER_MODE:
        os.chmod(path, FOLDER_MODE)  # ours: a umask, or an older mode
