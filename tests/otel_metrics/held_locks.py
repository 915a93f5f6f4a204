"""Locks of files that somebody holds, as another process does."""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["held", "held_for"]


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the file's lock until the block ends."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def held_for(path: Path, seconds: float) -> Iterator[None]:
    """Hold the file's lock for so long, whatever the block does."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        timer = threading.Timer(seconds, fcntl.flock, (file.fileno(), fcntl.LOCK_UN))
        timer.start()
        try:
            yield
        finally:
            timer.join()
