"""Replaces a file as a whole: readers see what was there or what is there now, and no half of it.

Threads: whoever replaces a file holds the lock that says who may.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from otel_metrics.line_files import FILE_MODE

__all__ = ["replacing"]


@contextmanager
def replacing(path: str, *, sync: bool) -> Iterator[IO[bytes]]:
    """Give a file to write that takes the place of `path` when the block ends well.

    Args:
        sync: force it to the disk first, so that a power cut leaves the old one or the new one.

    Raises:
        OSError: the old one is as it was.
    """
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".{name}.new")
    with contextlib.suppress(FileNotFoundError):  # of one that was killed
        os.unlink(beside)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(beside, flags, FILE_MODE), "wb") as file:
            os.fchmod(file.fileno(), FILE_MODE)
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.rename(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    if sync:
        _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
