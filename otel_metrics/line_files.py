"""JSON lines in one file that threads and processes share: `flock`, and whole lines only.

A line is encoded before the file is touched. It is appended under `flock`, in one place, behind a
newline: what a killed writer left half-written stays a line of its own and is never glued to the
next one. A disk that fills up in the middle of a line has it cut back. What `append` has written
survives a kill of the process; nothing is forced to the disk, so a power cut may take the newest.

Threads: everything here may be called from any number of threads and
processes. Each call opens the file anew, so that a fork, a rename and a removal need no care; the
kernel's lock of that open file guards what is between the check of the last byte and the end of the
write. A signal handler that interrupts a writer of its own thread is refused at once, as that
thread would wait for itself. A forked child closes what other threads of its parent had open, or
their lock would outlive a parent that is killed.
"""

import base64
import contextlib
import errno
import itertools
import json
import math
import os
import random
import re
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final

import msgspec

if sys.platform != "win32":
    import fcntl

__all__ = [
    "FILE_MODE",
    "FOLDER_MODE",
    "LINE_BYTES_MAX",
    "LOCK_WAIT_S",
    "BadLine",
    "Line",
    "LockTimeoutError",
    "append",
    "drain",
    "encode",
    "locked",
    "make_folder",
    "read_last",
    "read_lines",
    "scan",
]

LINE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Longer lines are not written, and reported when they are read."""
LOCK_WAIT_S: Final = 5.0
"""How long a writer waits for the others."""
LOCK_RETRY_S: Final = 0.0001
"""How long it waits before it tries for the lock again; twice as long each time, up to the next."""
LOCK_RETRY_MAX_S: Final = 0.005
REOPENED_MAX: Final = 100
"""How often a file may be renamed or removed while a writer waits for its lock."""
FILE_MODE: Final = 0o640
"""Of a file that is made here, whatever the umask."""
FOLDER_MODE: Final = 0o750
"""Likewise of a folder."""
_CHUNK_BYTES: Final = 1024 * 1024
_FIRST_STEP_BYTES: Final = 32 * 1024
_POSIX: Final = sys.platform != "win32"  # elsewhere the module can be imported, and not used
_READ_FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK if _POSIX else 0
_WRITE_FLAGS: Final = os.O_RDWR | os.O_APPEND | (os.O_NOFOLLOW | _READ_FLAGS if _POSIX else 0)
_LINE_ENDS: Final = re.compile("[\x85\u2028\u2029]")
_BOM: Final = b"\xef\xbb\xbf"
_ACCEPTED: Final = f"accepted: at most {LINE_BYTES_MAX:,} bytes, without a line end"

_open_files: dict[int, int] = {}
"""Descriptors that writers have open now, with their threads, for the child of a fork."""
_hook_lock: Final = threading.Lock()
_hooked = False


class LockTimeoutError(OSError):
    """The file's lock was held for longer than a writer waits; nothing was written."""


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


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was read.

    Attributes:
        number: which line of the file, from 1.
        start: its offset in bytes.
        text: its bytes without its end; of one that is too long, the beginning.
        record: what it says, or, where that is no JSON object, what is wrong with it.
    """

    number: int
    start: int
    text: bytes
    record: dict[str, Any] | str


def append(path: str | os.PathLike[str], *lines: bytes, wait_s: float = LOCK_WAIT_S) -> None:
    """Append whole lines, all of them or, where that fails, none.

    Args:
        lines: each one JSON object without a newline in it.
        wait_s: how long to wait for other writers.

    Raises:
        ValueError: a line is longer than `LINE_BYTES_MAX` or holds a newline.
        OSError: the file cannot be written; no reader sees any of the lines.
    """
    with locked(path, wait_s=wait_s) as write:
        write(*lines)


@contextmanager
def locked(
    path: str | os.PathLike[str], *, wait_s: float = LOCK_WAIT_S
) -> Iterator[Callable[..., None]]:
    """Hold the file's lock for a decision on what it holds, and give what appends lines to it.

    Whoever appends waits meanwhile; who reads does not. The file is made where it is missing.

    Raises:
        OSError: as `append`.
    """
    descriptor = _locked(path, wait_s)
    try:
        yield lambda *lines: _write(descriptor, _joined(path, lines))
    finally:
        _close(descriptor)


def drain(path: str | os.PathLike[str], *, wait_s: float = LOCK_WAIT_S) -> list[dict[str, Any]]:
    """Return the records of a file, and empty it. The file is made where it is missing.

    Raises:
        OSError: as `append`; the file is as it was.
    """
    descriptor = _locked(path, wait_s)
    try:
        with open(descriptor, "rb", buffering=_CHUNK_BYTES, closefd=False) as file:
            records = [line.record for line in _lines(file) if isinstance(line.record, dict)]
        os.ftruncate(descriptor, 0)
        return records
    finally:
        _close(descriptor)


def make_folder(path: str) -> None:
    """Make a folder for such files, unless something is there already.

    Raises:
        OSError: it cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, FOLDER_MODE)
        os.chmod(path, FOLDER_MODE)


def encode(record: Mapping[str, object]) -> bytes:
    """Return a record as the bytes of one line, without its end.

    It is what Python's `json.dumps(record, ensure_ascii=False)` gives, with `", "` and `": "`
    between its parts, as services have long written such files. What that leaves in a line and JSON
    does not know, or takes for the end of a line, is written otherwise: NaN and infinities as text,
    bytes as `{"$bytes": base64}`, and U+0085, U+2028 and U+2029 escaped.
    """
    try:
        text = _plain(record)
    except (TypeError, ValueError):  # bytes; NaN or an infinity
        text = _plain(_writable(record))
    if not text.isascii():
        text = _LINE_ENDS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text.encode("utf-8", "replace")


def scan(path: str | os.PathLike[str]) -> Iterator[Line]:
    """Return each line that is not empty, whether it is a record or not.

    A file that is not there has no lines. A last line without its end counts where it is a whole
    JSON object; else it may be half written, or its writer may have been killed.

    Raises:
        OSError: the file is there and cannot be read, or is no regular file.
    """
    file = _opened(path)
    if file is not None:
        with file:
            yield from _lines(file)


def read_lines(
    path: str | os.PathLike[str], *, bad: list[BadLine] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Return each record with the offset of its line; what is no record is skipped and reported.

    Args:
        bad: a list to which every line is added that was skipped.

    Raises:
        OSError: as `scan`.
    """
    for line in scan(path):
        if isinstance(line.record, dict):
            yield line.start, line.record
        elif bad is not None:
            bad.append(BadLine(line.number, line.start, line.record))


def read_last(
    path: str | os.PathLike[str], limit: int, *, bad: list[BadLine] | None = None
) -> list[dict[str, Any]]:
    """Return the last records in their order, at most `limit`, reading from the end of the file.

    Args:
        bad: a list to which every line is added that was met and skipped.

    Raises:
        OSError: as `scan`.
    """
    file = _opened(path) if limit > 0 else None
    if file is None:
        return []
    records: list[dict[str, Any]] = []
    skipped: list[tuple[int, str]] = []
    with file:
        for start, line in _backwards(file):
            record = _record(line, first=start == 0)
            if isinstance(record, dict):
                records.append(record)
                if len(records) == limit:
                    break
            elif record is not None:
                skipped.append((start, record))
        if bad is not None:
            bad += _numbered(file, skipped[::-1])
    return records[::-1]


def _lines(file: IO[bytes]) -> Iterator[Line]:
    offset = 0
    for number in itertools.count(1):
        text = file.readline(LINE_BYTES_MAX + 1)
        if not text:
            return
        start, offset = offset, offset + len(text)
        if len(text) > LINE_BYTES_MAX and not text.endswith(b"\n"):
            offset += _skip_line(file)
        record = _record(text, first=start == 0)
        if record is not None:
            yield Line(number, start, text.rstrip(b"\r\n"), record)


def _record(line: bytes, *, first: bool) -> dict[str, Any] | str | None:
    """Return what a line holds, what is wrong with it, or None for an empty one."""
    if len(line.rstrip(b"\r\n")) > LINE_BYTES_MAX:
        return f"longer than {LINE_BYTES_MAX:,} bytes"
    text = line.removeprefix(_BOM) if first else line
    if not text.strip():
        return None
    try:
        record = _decoded(text)
    except (ValueError, RecursionError) as error:
        wrong = _wrong(error)
        return wrong if line.endswith(b"\n") else f"half-written, without a line end: {wrong}"
    return record if isinstance(record, dict) else "no JSON object"


def _wrong(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON from column {error.colno} on"
    return "no UTF-8" if isinstance(error, UnicodeError) else "nested too deep, or no JSON"


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return json.loads(text)  # takes NaN and infinities, which Python's own writer writes


def _backwards(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Return the lines that the file has now with their offsets, the last line first.

    Of a line that is too long no more is kept than shows that it is.
    """
    end = os.fstat(file.fileno()).st_size
    step = _FIRST_STEP_BYTES
    tail = b""  # the end of a line whose beginning was not read yet
    while end > 0:
        size = min(step, end)
        step = min(2 * step, _CHUNK_BYTES)
        end -= size
        file.seek(end)
        *whole, last = (file.read(size) + tail).split(b"\n")
        lines = [line + b"\n" for line in whole] + ([last] if last else [])
        starts = list(itertools.accumulate(map(len, lines), initial=end))
        for index in range(len(lines) - 1, 0, -1):
            yield starts[index], lines[index]
        tail = lines[0] if lines else b""
        if len(tail) > LINE_BYTES_MAX + _CHUNK_BYTES:
            tail = tail[: LINE_BYTES_MAX + 1] + b"\n"
    if tail:
        yield 0, tail


def _numbered(file: IO[bytes], skipped: list[tuple[int, str]]) -> Iterator[BadLine]:
    """Say which line each of these is, by counting the line ends before it."""
    number, at = 1, 0
    for start, message in skipped:
        file.seek(at)
        while at < start:
            chunk = file.read(min(_CHUNK_BYTES, start - at))
            if not chunk:
                break  # cut short meanwhile
            number += chunk.count(b"\n")
            at += len(chunk)
        yield BadLine(number, start, message)


def _skip_line(file: IO[bytes]) -> int:
    skipped = 0
    while chunk := file.readline(_CHUNK_BYTES):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return skipped


def _opened(path: str | os.PathLike[str]) -> IO[bytes] | None:
    """Open a file to read, or return None where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _READ_FLAGS)
    except FileNotFoundError:
        return None
    try:
        _check_regular(descriptor, path)
        return open(descriptor, "rb", buffering=_CHUNK_BYTES)
    except BaseException:
        os.close(descriptor)
        raise


def _joined(path: str | os.PathLike[str], lines: tuple[bytes, ...]) -> bytes:
    for line in lines:
        if len(line) > LINE_BYTES_MAX or b"\n" in line:
            raise ValueError(f"{os.fspath(path)}: a line of {len(line):,} bytes; {_ACCEPTED}")
    return b"".join(line + b"\n" for line in lines)


def _locked(path: str | os.PathLike[str], wait_s: float) -> int:
    """Return a descriptor of the file that bears this name now, with the lock held."""
    _close_in_children()
    mine = threading.get_ident()
    deadline = time.monotonic() + wait_s
    for _ in range(REOPENED_MAX):
        descriptor = _opened_to_write(path)
        if _is_busy(descriptor, mine):
            os.close(descriptor)
            raise _refused(path, "this thread is writing to it already; nothing was written")
        _open_files[descriptor] = mine
        try:
            _check_regular(descriptor, path)
            if not _lock(descriptor, deadline):
                raise _refused(path, f"locked by others for {wait_s:g} s; nothing was written")
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            _close(descriptor)
            raise
        _close(descriptor)  # renamed or removed while it was waited for
    raise _refused(path, "renamed or removed again and again; nothing was written")


def _lock(descriptor: int, deadline: float) -> bool:
    pause_s = LOCK_RETRY_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            # Not all at once again; no secret depends on these dice.
            time.sleep(min(left_s, pause_s * (0.5 + random.random())))  # noqa: S311
            pause_s = min(2 * pause_s, LOCK_RETRY_MAX_S)
        else:
            return True


def _is_busy(descriptor: int, thread: int) -> bool:
    """Tell whether this thread, which a signal handler interrupted, has the same file open."""
    others = [other for other, owner in list(_open_files.items()) if owner == thread]
    return any(os.path.sameopenfile(descriptor, other) for other in others)


def _is_at(descriptor: int, path: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _refused(path: str | os.PathLike[str], message: str) -> LockTimeoutError:
    return LockTimeoutError(errno.EAGAIN, message, os.fspath(path))


def _opened_to_write(path: str | os.PathLike[str]) -> int:
    try:
        return os.open(path, _WRITE_FLAGS)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        message = "is a symbolic link; give the file itself"
        raise OSError(errno.ELOOP, message, os.fspath(path)) from error
    try:
        made = os.open(path, _WRITE_FLAGS | os.O_CREAT | os.O_EXCL, FILE_MODE)
    except FileExistsError:  # made by another meanwhile, or a link to nowhere
        return os.open(path, _WRITE_FLAGS)
    os.fchmod(made, FILE_MODE)
    return made


def _check_regular(descriptor: int, path: str | os.PathLike[str]) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is no regular file", os.fspath(path))


def _close(descriptor: int) -> None:
    """Let the lock go for all copies of the descriptor, that of a forked child too."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    _open_files.pop(descriptor, None)
    os.close(descriptor)


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
        with contextlib.suppress(OSError):  # the next line begins behind a newline all the same
            # A writer that asks for no lock may have added to it: its line stays.
            if os.fstat(descriptor).st_size == size + done:
                os.ftruncate(descriptor, size)
        raise


def _close_in_children() -> None:
    global _hooked
    if _hooked:
        return
    with _hook_lock:
        if not _hooked:
            os.register_at_fork(after_in_child=_close_inherited)
            _hooked = True


def _close_inherited() -> None:
    """Close what threads of the parent had open, which are not in this child."""
    mine = threading.get_ident()
    for descriptor, owner in list(_open_files.items()):
        if owner != mine:
            del _open_files[descriptor]
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _writable(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {key: _writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    return value


_plain: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
