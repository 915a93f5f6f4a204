"""Files of secrets, of which nobody else may read or change a byte: read, and read anew on change.

Threads: any thread asks; `_lock` lets one of them read. No content of a file is in a message.
"""

import logging
import os
import stat
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from otel_exporter_prometheus.errors import SettingError

__all__ = ["FILE_BYTES_MAX", "Identity", "PrivateFile", "identity", "read_private"]

FILE_BYTES_MAX: Final = 1024 * 1024
"""A larger file is none of ours."""
_OTHERS: Final = 0o077

_logger = logging.getLogger("otel_exporter_prometheus")

T = TypeVar("T")
Identity = tuple[int, ...]
"""Changes when a file is replaced, written to, or given other permissions."""


def identity(path: str) -> Identity | None:
    """Return what tells one state of a file from the next, None when it cannot be seen."""
    try:
        return _identity(os.stat(path))
    except OSError:
        return None


def read_private(path: str, variable: str) -> tuple[bytes, Identity]:
    """Read a file, and say in which state it was.

    Raises:
        SettingError: it cannot be read, is no plain file, or others may read or change it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise SettingError(f"{variable}={path}: is no plain file")
            if facts.st_mode & _OTHERS:
                mode = stat.S_IMODE(facts.st_mode)
                raise SettingError(
                    f"{variable}={path}: others may read or change it (mode {mode:04o}); "
                    "chmod it to 0600"
                )
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingError(
            f"{variable}={path}: {error.strerror}; name a file that is there and "
            "that this user may read"
        ) from error
    if len(content) > FILE_BYTES_MAX:
        raise SettingError(f"{variable}={path}: is larger than 1 MiB")
    return content, _identity(facts)


class PrivateFile(Generic[T]):
    """What a private file says now.

    A file that turns bad says nothing until it is right again: what it said before may be what
    somebody wanted to revoke.

    Args:
        path: the file.
        variable: what names it, for messages.
        parse: reads its content; raises `ValueError`, whose message quotes nothing of it.

    Raises:
        SettingError: it cannot be used.
    """

    def __init__(self, path: str, variable: str, parse: Callable[[bytes], T]) -> None:
        self._path = path
        self._variable = variable
        self._parse = parse
        self._lock = threading.Lock()
        self._bad = False
        self._value: T | None
        self._value, self._identity = self._read()

    def value(self) -> T | None:
        """Return what the file says, None while it cannot be used."""
        seen = identity(self._path)
        if seen != self._identity:
            with self._lock:
                self._read_again(seen)
        return self._value

    def _read(self) -> tuple[T, Identity | None]:
        content, state = read_private(self._path, self._variable)
        try:
            return self._parse(content), state
        except ValueError as error:
            raise SettingError(f"{self._variable}={self._path}: {error}") from None

    def _read_again(self, seen: Identity | None) -> None:
        try:
            self._value, self._identity = self._read()
        except SettingError as error:
            self._value, self._identity = None, seen
            if not self._bad:
                _logger.error("%s; until then nobody is let in by it", error)
            self._bad = True
            return
        if self._bad:
            _logger.warning("%s=%s: can be used again", self._variable, self._path)
        self._bad = False


def _identity(facts: os.stat_result) -> Identity:
    return (
        facts.st_dev,
        facts.st_ino,
        facts.st_mode,
        facts.st_size,
        facts.st_mtime_ns,
        facts.st_ctime_ns,
    )
