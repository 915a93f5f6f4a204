"""JSON lines in one file that threads and processes share: `flock`, and whole lines only.

A line is encoded before the file is touched. It is appended under `flock`, in one place, behind a
newline: what a killed writer left half-written stays a line of its own and is never glued to the
next one. A disk that fills up in the middle of a line has it cut back.

Threads: `append` and `read_lines` may be called from any number of threads and processes. Each call
opens the file anew, so that a fork, a rename and a removal need no care; the kernel's lock of that
open file guards what is between the check of the last byte and the end of the write.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

__all__ = [
    "LINE_BYTES_MAX",
    "LOCK_WAIT_S",
    "BadLine",
    "LockTimeoutError",
    "append",
    "encode",
    "locked",
    "read_lines",
]

LINE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Longer lines are not written, and reported when they are read."""
LOCK_WAIT_S: Final = 5.0
"""How long a writer waits for the others."""
LOCK_RETRY_S: Final = 0.002
FILE_MODE: Final = 0o640
_CHUNK_BYTES: Final = 1024 * 1024
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class LockTimeoutError(OSError):
    """Another process held the file's lock for longer than `LOCK_WAIT_S`."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no JSON object, or no whole line.

    Attributes:
        number: which line of the file, from 1.
        start: its offset in bytes.
        message: what is wrong with it.
    """

    number: int
    start: int
    message: str


def append(path: str | os.PathLike[str], *lines: bytes) -> None:
    """Append whole lines, all of them or, where that fails, none.

    Args:
        lines: each one JSON object without a newline in it.

    Raises:
        ValueError: a line is longer than `LINE_BYTES_MAX` or holds a newline.
        OSError: the file cannot be written; it is as it was.
    """
    for line in lines:
        if len(line) > LINE_BYTES_MAX or b"\n" in line:
            raise ValueError(f"{os.fspath(path)}: a line of {len(line):,} bytes; {_ACCEPTED}")
    data = b"".join(line + b"\n" for line in lines)
    descriptor = _open(path)
    try:
        with _held(descriptor, path):
            _write(descriptor, data)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[Callable[[bytes], None]]:
    """Hold the file's lock for a decision on what it holds, and give what appends a line to it.

    Whoever appends waits meanwhile; `read_lines` does not.

    Raises:
        OSError: as `append`.
    """
    descriptor = _open(path)
    try:
        with _held(descriptor, path):
            yield lambda line: _write(descriptor, line + b"\n")
    finally:
        os.close(descriptor)


def read_lines(
    path: str | os.PathLike[str], *, bad: list[BadLine] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Return each record with the offset of its line; what is no record is skipped and reported.

    A file that is not there has no records. A last line without its end is skipped too: it may be
    half written, or its writer may have been killed.

    Args:
        bad: a list to which every line is added that was skipped.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    with open(descriptor, "rb", buffering=_CHUNK_BYTES) as file:
        offset = number = 0
        while line := file.readline(LINE_BYTES_MAX + 1):
            number += 1
            start, offset = offset, offset + len(line)
            message = None
            if not line.endswith(b"\n"):
                if len(line) > LINE_BYTES_MAX:
                    message = f"longer than {LINE_BYTES_MAX:,} bytes"
                    offset += _skip_line(file)
                else:
                    message = "no end of line: half-written"
            elif line.strip():
                try:
                    record = msgspec.json.decode(line)
                    if isinstance(record, dict):
                        yield start, record
                        continue
                    message = "no JSON object"
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    message = str(error)
            if message is not None and bad is not None:
                bad.append(BadLine(number, start, message))


_ACCEPTED: Final = f"accepted: at most {LINE_BYTES_MAX:,} bytes, without a line end"


def _skip_line(file: Any) -> int:
    skipped = 0
    while chunk := file.readline(_CHUNK_BYTES):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return skipped


def _open(path: str | os.PathLike[str]) -> int:
    try:
        return os.open(path, _FLAGS | os.O_CREAT, FILE_MODE)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "is a symbolic link; give the file itself", path) from error


@contextmanager
def _held(descriptor: int, path: str | os.PathLike[str]) -> Iterator[None]:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = f"locked by another process for {LOCK_WAIT_S:g} s; nothing was written"
                raise LockTimeoutError(errno.EAGAIN, message, path) from None
            time.sleep(LOCK_RETRY_S)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _write(descriptor: int, data: bytes) -> None:
    """Write behind a newline; a write that fails in the middle is cut back."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        data = b"\n" + data
    done = 0
    try:
        while done < len(data):
            done += os.write(descriptor, data[done:])
    except BaseException:
        os.ftruncate(descriptor, size)
        raise


def encode(record: Mapping[str, Any]) -> bytes:
    """Return a record as one line's bytes, without its end; non-ASCII is not escaped."""
    return msgspec.json.encode(record)
