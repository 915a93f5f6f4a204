"""One discipline for every database of ours: WAL, `BEGIN IMMEDIATE`, fork, move aside, migrate.

A database is a file that the processes of one host share. Whoever writes says so first (`BEGIN
IMMEDIATE`), because SQLite refuses at once, whatever the timeout, a reader that turns writer. A
damaged file is moved aside whole, with its `-wal` and `-shm`, and never deleted.

Threads: one connection a process, guarded by one lock; `read` and `write` may be called from any
thread and wait for each other. A forked child opens a connection of its own, and never uses nor
closes the parent's.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from otel_metrics.errors import OtelMetricsError

__all__ = ["BUSY_WAIT_S", "Database", "DatabaseError", "NewerSchemaError", "Schema"]

BUSY_WAIT_S: Final = 5.0
"""How long a statement waits for another process's transaction."""
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
SUFFIXES: Final = ("", "-wal", "-shm")
"""The files of one database."""
DAMAGED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""Codes by which SQLite says that a file is not what it wrote."""


class DatabaseError(OtelMetricsError):
    """A database cannot be used; the message says which, why, and what to do."""


class NewerSchemaError(DatabaseError):
    """The database was written by a later release; it is read, and not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What is in a kind of database.

    Attributes:
        name: what it is called in messages.
        application_id: marks the file as ours (`PRAGMA application_id`); not 0.
        migrations: scripts; the n-th (from 1) leads from version n - 1 to version n.
    """

    name: str
    application_id: int
    migrations: Sequence[str]

    @property
    def version(self) -> int:
        """The newest version."""
        return len(self.migrations)


class Database:
    """One database file of a schema.

    Args:
        path: the file; its folder is made where it is missing.
        schema: what is in it.
        busy_wait_s: how long to wait for another process's transaction.

    Attributes:
        path: the file.
        is_new: whether this process made the file, because there was none or it was damaged.
        moved_aside: the paths to which this process moved damaged files.
    """

    def __init__(
        self, path: str | os.PathLike[str], schema: Schema, *, busy_wait_s: float = BUSY_WAIT_S
    ) -> None:
        self.path = os.path.abspath(os.path.expanduser(os.fspath(path)))
        self.is_new = False
        self.moved_aside: list[str] = []
        self._schema = schema
        self._busy_wait_s = busy_wait_s
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._read_only = False
        self._inherited: list[sqlite3.Connection] = []

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give a connection inside one `BEGIN IMMEDIATE` transaction, committed at the end.

        Raises:
            NewerSchemaError: a later release wrote the file.
            DatabaseError: it cannot be opened, is locked for too long, or is damaged; a damaged one
                has been moved aside, and the next call makes a new one.
        """
        with self._use() as connection:
            if self._read_only:
                raise NewerSchemaError(self._newer(_number(connection, "user_version")))
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection inside one transaction that sees one state of the database.

        Raises:
            DatabaseError: as `write`.
        """
        with self._use() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._own_lock():
            self._drop()

    def _own_lock(self) -> threading.RLock:
        """Return the lock; in a forked child, forget what is the parent's first."""
        if self._pid != os.getpid():
            self._lock = threading.RLock()
            self._pid = os.getpid()
            if self._connection is not None:
                self._inherited.append(self._connection)  # kept: closing it would free locks
            self._connection = self._inode = None
            self.is_new = False
        return self._lock

    @contextlib.contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        with self._own_lock():
            try:
                if self._connection is not None and self._inode != self._inode_now():
                    self._drop()  # moved aside or removed under us
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorname", "").startswith(DAMAGED):
                    self._move_aside()
                    moved = ", ".join(self.moved_aside[-1:])
                    message = f"{self.path}: damaged ({error}); it was moved to {moved}"
                    raise DatabaseError(message) from error
                raise DatabaseError(f"{self.path}: {error}{_remedy(error)}") from error
            except OSError as error:
                raise DatabaseError(f"{self.path}: {error.strerror or error}") from error

    def _inode_now(self) -> tuple[int, int] | None:
        try:
            facts = os.stat(self.path)
        except FileNotFoundError:
            return None
        return facts.st_dev, facts.st_ino

    def _open(self) -> sqlite3.Connection:
        """Open, making or migrating the file; a damaged one is moved aside first, once."""
        self._make_file()
        try:
            return self._opened()
        except sqlite3.DatabaseError as error:
            if not getattr(error, "sqlite_errorname", "").startswith(DAMAGED):
                raise
            self._move_aside()
            self._make_file()
            return self._opened()

    def _make_file(self) -> None:
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            os.makedirs(folder, FOLDER_MODE, exist_ok=True)
        flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(PermissionError):  # a file that may be read only is read only
            os.close(os.open(self.path, flags, FILE_MODE))

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_wait_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._inode = self._inode_now()
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        marked = _number(connection, "application_id")
        version = _number(connection, "user_version")
        if marked not in (0, self._schema.application_id):
            raise DatabaseError(
                f"{self.path}: is another program's database (application id {marked}); "
                f"give a path of its own for {self._schema.name}"
            )
        self._read_only = version > self._schema.version
        if self._read_only:
            return
        if _text(connection, "journal_mode") != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if version < self._schema.version or marked == 0:
            self._migrate(connection)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Lead the file to the newest version in one transaction, with a copy of the old one."""
        version = _number(connection, "user_version")
        if version:
            backup = f"{self.path}.version-{version}"
            if not os.path.lexists(backup):
                connection.execute("VACUUM INTO ?", (backup,))
                os.chmod(backup, FILE_MODE)
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _number(connection, "user_version")  # another process may have been faster
            if version == 0:
                self.is_new = True
            for number in range(version, self._schema.version):
                for statement in _statements(self._schema.migrations[number]):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {self._schema.application_id:d}")
            connection.execute(f"PRAGMA user_version = {self._schema.version:d}")
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _move_aside(self) -> None:
        """Move all files of the database aside, unless another process has done so."""
        inode = self._inode or self._inode_now()
        self._drop()
        if inode is None or inode != self._inode_now():
            return
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = f"{self.path}.damaged-{stamp}-{os.getpid()}"
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.path + suffix, aside + suffix)
        self.moved_aside.append(aside)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._inode = None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _newer(self, version: int) -> str:
        return (
            f"{self.path}: has version {version} of {self._schema.name}, this release knows "
            f"{self._schema.version}; it is only read: update otel-metrics to write it"
        )


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _text(connection: sqlite3.Connection, pragma: str) -> str:
    return str(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """Return the statements of a script; `executescript` would commit the transaction."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \n;"):
                yield statement
            statement = ""


def _remedy(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_BUSY"):
        return "; another process holds it"
    if name.startswith("SQLITE_FULL"):
        return "; make room on the disk"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return "; let this user write the file and its folder"
    return ""
