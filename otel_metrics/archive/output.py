"""Where a command writes what `--out` names: a file has its name only when it is whole.

What is there and no file, a pipe or a device, is written through, and stays what it is.
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, Final

from otel_metrics.errors import OtelMetricsError

__all__ = ["STDOUT", "OutputError", "output", "refusal"]

STDOUT: Final = "-"
"""The path that is standard output."""
FILE_MODE: Final = 0o666
"""Of a new file, before the umask; one that is replaced hands on its own."""
LINKS_MAX: Final = 40
_DESCRIPTORS: Final = re.compile(r"/proc/\d+/fd")


class OutputError(OtelMetricsError, OSError):
    """What is to be written has no place; the message says why, and what to do."""


@contextlib.contextmanager
def output(path: str) -> Iterator[str]:
    """Give the name of a file to write, which is at `path` when the block ends well.

    A symbolic link is followed. What was in a file stays until then, and when it does not. What is
    no file gets the bytes when they are whole.

    Raises:
        OutputError: nothing can be written there.
    """
    wrong = refusal(path)
    if wrong is not None:
        raise OutputError(wrong)
    manager = _through(path) if _is_stream(path) else _beside(os.path.realpath(path))
    with manager as temporary:
        yield temporary


def refusal(path: str) -> str | None:
    """Return why nothing can be written to a path, as far as that shows before it is tried."""
    if path == STDOUT or _descriptor(path) is not None:
        return None
    if os.path.isdir(path) or not os.path.basename(path):
        return "is a folder; name a file in it"
    folder = os.path.dirname(os.path.realpath(path))
    return None if os.path.isdir(folder) else f"there is no folder {folder}; make it first"


def _is_stream(path: str) -> bool:
    if path == STDOUT or _descriptor(path) is not None:
        return True
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(error.strerror) from error


def _descriptor(path: str) -> int | None:
    """Return which of our own descriptors a path like /dev/fd/3 is.

    Its file is its opener's: replaced, they would look in vain for what we wrote, and lose what
    they had written.
    """
    for _ in range(LINKS_MAX):
        folder, name = os.path.split(os.path.abspath(path))
        folder = os.path.realpath(folder)
        if name.isdecimal() and _DESCRIPTORS.fullmatch(folder):
            return int(name) if folder == f"/proc/{os.getpid()}/fd" else None
        path = os.path.join(folder, name)
        if not os.path.islink(path):
            return None
        path = os.path.join(folder, os.readlink(path))
    return None


@contextlib.contextmanager
def _through(path: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="otel-metrics-") as folder:
        temporary = os.path.join(folder, os.path.basename(path))
        yield temporary
        with open(temporary, "rb") as source, _opened(path) as target:
            shutil.copyfileobj(source, target)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == STDOUT:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        ours = _descriptor(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC) if ours is None else os.dup(ours)
    except OSError as error:
        raise OutputError(error.strerror) from error
    with open(descriptor, "wb") as file:
        yield file


@contextlib.contextmanager
def _beside(path: str) -> Iterator[str]:
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{secrets.token_hex(4)}-{name}")
    try:
        _make(temporary)
        yield temporary
        _keep(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _make(path: str) -> None:
    """Make the file now: a folder that cannot be written is told before the work."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    except OSError as error:
        raise OutputError(error.strerror) from error


def _keep(temporary: str, path: str) -> None:
    """Force a file to the disk, and give it its name."""
    try:
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        _sync(temporary)
        os.replace(temporary, path)
        _sync(os.path.dirname(path))
    except OSError as error:
        raise OutputError(error.strerror) from error


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
