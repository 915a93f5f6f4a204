"""What an agent's file comes to, and the keys in it, so that an append need not read the file.

Derived, and known again by the file: its inode, its size, the time of its last change, and a hash
of the bytes before the place up to which it was read. What others appended is read from there;
a file that was changed otherwise is read whole. One database a project, which may be removed.

Threads: called with the lock of the agent's file held, by any thread; the database guards itself.
"""

import errno
import hashlib
import itertools
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from otel_metrics.executions import records
from otel_metrics.executions.summary import Tally
from otel_metrics.line_files import LINE_BYTES_MAX
from otel_metrics.sqlite import Database, DatabaseError, Schema

__all__ = ["Index", "Known"]

TAIL_BYTES: Final = 4096
"""So many bytes before the place up to which a file was read tell that it is the same."""
DIGEST_BYTES: Final = 16
"""Of a key's hash: two keys of one file share it in one case of 10^27."""
BUSY_WAIT_S: Final = 1.0
"""How long to wait while another agent's file is read anew; then the file itself is read."""
SORTED_MAX: Final = 250_000
"""Keys of a file that is read anew which are held in memory at a time."""
LOG_INTERVAL_S: Final = 300.0
"""At most one log line about the index in this time."""
SCHEMA: Final = Schema(
    name="the index of executions",
    application_id=0x4F4D4558,
    migrations=[
        """
        CREATE TABLE files (
            id INTEGER PRIMARY KEY, folder TEXT NOT NULL UNIQUE, inode INTEGER NOT NULL,
            size INTEGER NOT NULL, changed_ns INTEGER NOT NULL, read INTEGER NOT NULL,
            tail BLOB NOT NULL, tally TEXT NOT NULL
        );
        CREATE TABLE keys (
            file INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (file, digest)
        ) WITHOUT ROWID;
        """
    ],
)

_Identity = tuple[int, int, int, int, bytes]
"""Inode, size, time of the last change, offset read up to, hash of the bytes before it."""
_INTEGER_MAX: Final = 2**63 - 1
_logger = logging.getLogger("otel_metrics.executions")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a file up to a place in it.

    Attributes:
        read: the offset of the end of the last whole line.
        has_key: whether the key that was asked for is in it.
    """

    tally: Tally
    read: int
    has_key: bool


class Index:
    """The index of one project.

    Args:
        path: the database; it is made when a file has been read.
    """

    def __init__(self, path: str) -> None:
        self._database = Database(path, SCHEMA, busy_wait_s=BUSY_WAIT_S)
        self._told_s = -LOG_INTERVAL_S

    def look(self, folder: str, path: str, key: str | None = None) -> Known:
        """Return what a file comes to now, and whether a key is in it.

        Args:
            folder: the name under which the file is known.

        Raises:
            OSError: the file is there and cannot be read.
        """
        try:
            return self._look(folder, path, key)
        except DatabaseError as error:
            self._tell(error)
            return self.read_all(path, key)

    def added(self, folder: str, path: str, before: Known, line: bytes, key: str | None) -> Known:
        """Return what a file comes to, to which a line was just appended, and remember it.

        Where the file holds more than that, what was not read yet is read. Where it cannot be
        remembered it is read from the file the next time.

        Args:
            before: what `look` returned of the file without the line.
            line: without its end.
            key: the one in the line.

        Raises:
            OSError: the file is not there any more.
        """
        found = os.stat(path)
        end = before.read + len(line) + 1
        if found.st_size != end:  # not this line alone: others asked for no lock
            return self.look(folder, path, key)
        before.tally.add(records.facts(line))
        known = Known(before.tally, end, has_key=key is not None)
        try:
            with self._database.write() as connection:
                file = _remember(connection, folder, path, found, known)
                if key is not None:
                    row = (file, _digest(key))
                    connection.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", row)
        except DatabaseError as error:
            self._tell(error)
        return known

    @staticmethod
    def read_all(path: str, key: str | None = None) -> Known:
        """Return what a file comes to, without the index.

        Raises:
            OSError: the file is there and cannot be read.
        """
        tally = Tally()
        place = [0]
        has_key = False
        for each in _keys(path, tally, place):
            has_key = has_key or each == key
        return Known(tally, place[0], has_key)

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        self._database.close()

    def _look(self, folder: str, path: str, key: str | None) -> Known:
        start = Known(Tally(), 0, has_key=False)
        with self._database.read() as connection:
            found = _remembered(connection, folder)
            if found is not None:
                file, before, tally = found
                now = _identity(path, os.stat(path), before[3])
                if now == before:
                    return Known(tally, before[3], _has_key(connection, file, key))
                if _has_grown(before, now):
                    start = Known(tally, before[3], has_key=False)
        return self._catch_up(folder, path, start, key)

    def _catch_up(self, folder: str, path: str, start: Known, key: str | None) -> Known:
        """Read what was not read yet, and remember it."""
        place = [start.read]
        with self._database.write() as connection:
            # As it is before it is read: what somebody appends meanwhile makes it another one.
            found = os.stat(path)
            file = _remember(connection, folder, path, found, start)
            if not start.read:
                connection.execute("DELETE FROM keys WHERE file = ?", (file,))
            digests = map(_digest, _keys(path, start.tally, place))
            while some := sorted(itertools.islice(digests, SORTED_MAX)):  # faster than as they come
                rows = ((file, digest) for digest in some)
                connection.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?)", rows)
            known = Known(start.tally, place[0], _has_key(connection, file, key))
            _remember(connection, folder, path, found, known)
        return known

    def _tell(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._told_s >= LOG_INTERVAL_S:
            self._told_s = now
            _logger.warning("%s; whole files are read until it works", ascii(str(error))[1:-1])


def _remembered(connection: sqlite3.Connection, folder: str) -> tuple[int, _Identity, Tally] | None:
    """Return the number of a file, what it was when it was read, and its tally."""
    query = "SELECT id, inode, size, changed_ns, read, tail, tally FROM files WHERE folder = ?"
    row = connection.execute(query, (folder,)).fetchone()
    try:
        return None if row is None else (row[0], row[1:6], Tally.load(row[6]))
    except (ValueError, KeyError, TypeError, IndexError):  # edited: the file says it again
        return None


def _remember(
    connection: sqlite3.Connection, folder: str, path: str, found: os.stat_result, known: Known
) -> int:
    """Write down what is known of a file, and return its number.

    Args:
        found: the file as it was before it was read up to what is known.
    """
    columns = ("inode", "size", "changed_ns", "read", "tail", "tally")
    names, marks = ", ".join(columns), ", ".join("?" for _ in columns)
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
    row = (folder, *_identity(path, found, known.read), known.tally.dump())
    statement = (
        f"INSERT INTO files (folder, {names}) VALUES (?, {marks}) "  # noqa: S608  # names of ours
        f"ON CONFLICT (folder) DO UPDATE SET {changes} RETURNING id"
    )
    return int(connection.execute(statement, row).fetchone()[0])


def _has_key(connection: sqlite3.Connection, file: int, key: str | None) -> bool:
    if key is None:
        return False
    query = "SELECT 1 FROM keys WHERE file = ? AND digest = ?"
    return connection.execute(query, (file, _digest(key))).fetchone() is not None


def _keys(path: str, tally: Tally, place: list[int]) -> Iterator[str]:
    """Read a file from a place on, add to its tally, and return the keys in it.

    Args:
        place: holds the offset, and is led on to the end of the last whole line.
    """
    for line, end in _lines(path, place[0]):
        place[0] = end
        if line.strip():
            facts = records.facts(line)
            tally.add(facts)
            if facts is not None and facts.idempotency_key is not None:
                yield facts.idempotency_key


def _lines(path: str, start: int) -> Iterator[tuple[bytes, int]]:
    """Return the whole lines from an offset on, each with the offset of its end.

    A last line without its end is whole where it is a record; else it may be half-written. Of a
    line that is too long only the end is returned, which is no record.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", path)
        file.seek(start)
        is_rest = False
        while line := file.readline(LINE_BYTES_MAX):
            start += len(line)
            ended = line.endswith(b"\n")
            if ended or (not is_rest and records.facts(line) is not None):
                yield b"too long" if is_rest else line, start
            is_rest = not ended


def _identity(path: str, found: os.stat_result, read: int) -> _Identity:
    """Return by what a file is known again that was found so and read up to an offset."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        inode = found.st_ino & _INTEGER_MAX
        return inode, found.st_size, found.st_mtime_ns, read, _tail(descriptor, read)
    finally:
        os.close(descriptor)


def _has_grown(before: _Identity, now: _Identity) -> bool:
    """Tell whether a file is as it was up to where it was read, and longer."""
    return before[0] == now[0] and before[4] == now[4] and now[1] > before[1]


def _tail(descriptor: int, read: int) -> bytes:
    start = max(0, read - TAIL_BYTES)
    return hashlib.blake2b(os.pread(descriptor, read - start, start), digest_size=16).digest()


def _digest(key: str) -> bytes:
    data = key.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
