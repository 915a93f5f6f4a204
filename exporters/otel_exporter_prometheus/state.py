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

__all__ = [
    "FILE_MODE",
    "FOLDER_MODE",
    "give",
    "lock",
    "open_folder",
    "open_lock",
    "state_folder",
    "take",
]

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


def lock(path: str) -> int | None:
    """Return a descriptor that holds the lock of a file, made where it is not there; None where
    somebody else holds it.

    The kernel gives the lock back when the last copy of the descriptor is closed, by whatever end.

    Raises:
        OSError: the file cannot be opened.
    """
    for _ in range(ATTEMPTS):
        descriptor = open_lock(path)
        try:
            if take(descriptor, path, wait=False):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.close(descriptor)
    return None


def open_lock(path: str) -> int:
    """Return a descriptor of a file to be locked, made where it is not there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, FILE_MODE)


def take(descriptor: int, path: str, *, wait: bool) -> bool:
    """Lock an open file; False where that file is not the one at `path` any more, so that others
    would not see the lock.

    Raises:
        BlockingIOError: somebody else holds it, and `wait` is not set.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def give(descriptor: int) -> None:
    """Give the lock of an open file back, also where a child has a copy of the descriptor."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


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
