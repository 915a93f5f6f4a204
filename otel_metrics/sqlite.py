"""One discipline for every database of ours: WAL, `BEGIN IMMEDIATE`, fork, move aside, migrate.

A database is a file that the processes of one host share. Whoever writes says so first (`BEGIN
IMMEDIATE`), because SQLite refuses at once, whatever the timeout, a reader that turns writer. A
damaged file is moved aside whole, with its `-wal` and `-shm`, and never deleted.

SQLite keeps a file's locks in tables of the process, so that a forked child would take its parent's
locks for its own: every connection is closed before a fork and opened again when it is next used.
POSIX drops a process's locks with any descriptor of the file that it closes: nothing here opens the
file beside SQLite. The last connection to close removes the `-wal` by its name: one whose file was
moved is left to itself, or it would remove that of the file in its place.

Threads: one connection a `Database`, guarded by its lock; `read` and `write` may be called from any
thread and wait for each other. Who waits for another process holds no lock meanwhile. Opening and
moving are one at a time for all processes, by an `flock` of the folder.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import sqlite3
import stat
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from otel_metrics.errors import OtelMetricsError

__all__ = [
    "BUSY_WAIT_S",
    "BusyError",
    "DamagedError",
    "Database",
    "DatabaseError",
    "ForeignDatabaseError",
    "NewerSchemaError",
    "Schema",
]

BUSY_WAIT_S: Final = 5.0
"""How long a transaction waits for another process's."""
PAUSE_LEAST_S: Final = 0.001
PAUSE_MOST_S: Final = 0.05
"""How long who waits for another process rests between two tries."""
FORK_WAIT_S: Final = 0.5
"""A fork waits at most this long for transactions under way, of all databases together."""
CHECK_BYTES_MAX: Final = 32 * 2**20
"""A file of at most this size is checked for damage when a process first opens it (30 ms, which
SQLite does not interrupt); in a larger one damage is found when it is met."""
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
SUFFIXES: Final = ("", "-wal", "-shm", "-journal")
"""The files of one database; the last is there until it is in WAL mode."""
DAMAGED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""Codes by which SQLite says that a file is not what it wrote."""
MARKER: Final = "otel_metrics_schema"
"""The table that tells a database of ours from one that only looks empty."""


class DatabaseError(OtelMetricsError):
    """A database cannot be used; the message says which, why, and what to do."""


class BusyError(DatabaseError):
    """Somebody else holds the database; the same call may succeed later."""


class DamagedError(DatabaseError):
    """The database was damaged and has been moved aside; the next call makes a new one."""


class ForeignDatabaseError(DatabaseError):
    """The file is no database of this kind: another program's, a link, or no plain file."""


class NewerSchemaError(DatabaseError):
    """The database was written by a later release; it is read, and not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What is in a kind of database.

    Attributes:
        name: what it is called in messages, and in the file.
        application_id: marks the file as ours (`PRAGMA application_id`); not 0.
        migrations: scripts; the n-th (from 1) leads from version n - 1 to version n.
        adopts: tables that an unmarked file may hold already, which the first migration takes over.
    """

    name: str
    application_id: int
    migrations: Sequence[str]
    adopts: Collection[str] = ()

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
        autocheckpoint: whether a commit now and then takes the time to shorten the `-wal`; without,
            somebody calls `checkpoint`.
        looks_for_damage: whether to check a small file when it is first opened.

    Attributes:
        path: the file.
        is_new: whether this process made the file, because there was none or it was damaged.
        moved_aside: the paths to which this process moved damaged files.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        schema: Schema,
        *,
        busy_wait_s: float = BUSY_WAIT_S,
        autocheckpoint: bool = True,
        looks_for_damage: bool = True,
    ) -> None:
        self.path = os.path.abspath(os.path.expanduser(os.fspath(path)))
        self.is_new = False
        self.moved_aside: list[str] = []
        self._schema = schema
        self._busy_wait_s = busy_wait_s
        self._autocheckpoint = autocheckpoint
        self._looks_for_damage = looks_for_damage
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: _Identity | None = None
        self._checked: _Identity | None = None
        self._read_only: DatabaseError | None = None
        self._folder: int | None = None
        self._unusable: str | None = None
        with _registry.lock:
            _registry.databases.add(self)

    @contextlib.contextmanager
    def write(self, *, wait_s: float | None = None) -> Iterator[sqlite3.Connection]:
        """Give a connection inside one `BEGIN IMMEDIATE` transaction, committed at the end.

        Not inside another `read` or `write` of the same thread.

        Args:
            wait_s: how long to wait for others, by default `busy_wait_s`; with 0 not at all.

        Raises:
            NewerSchemaError: a later release wrote the file.
            BusyError: others held it all the time.
            DamagedError: it was damaged; it was moved aside, and the next call makes a new one.
            DatabaseError: it cannot be opened or written; nothing was.
        """
        with self._transaction("BEGIN IMMEDIATE", wait_s) as connection:
            yield connection

    @contextlib.contextmanager
    def read(self, *, wait_s: float | None = None) -> Iterator[sqlite3.Connection]:
        """Give a connection inside one transaction that sees one state of the database.

        Arguments and errors are those of `write`.
        """
        with self._transaction("BEGIN", wait_s) as connection:
            yield connection

    def checkpoint(self) -> None:
        """Bring what is in the `-wal` into the file, as far as nobody reads the older state."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            if self._connection is not None and not self._connection.in_transaction:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            self._drop()

    @property
    def identity(self) -> tuple[int, int] | None:
        """What tells the file that is open from one in its place (device and inode)."""
        return self._identity

    def replace_by(
        self, path: str, *, word: str, last: Callable[[sqlite3.Connection], None]
    ) -> str | None:
        """Put a finished database in this one's place, and return where this one was moved to; None
        where there was none.

        Writers of every process wait meanwhile, and go on with the new file.

        Args:
            path: the finished database, in the same folder; closed once `last` has returned.
            word: what the file that is moved is called: `<path>.<word>-<time>`.
            last: called when nobody can write any more and `path` is not yet in place, with a
                connection to this one.

        Raises:
            DatabaseError: as `write`. A damaged one is moved aside, and replaced.
        """
        existed, moved = os.path.lexists(self.path), len(self.moved_aside)
        with contextlib.ExitStack() as held:
            try:
                connection = held.enter_context(self.write())
            except DamagedError:
                connection = held.enter_context(self.write())
            last(connection)
            damaged = self.moved_aside[moved:]
            held.enter_context(self._folder_held(time.monotonic() + self._busy_wait_s))
            aside = self._move_files(word)
            os.rename(path, self.path)
            _sync_folder(os.path.dirname(self.path))
            if existed and not damaged:
                return aside
            for suffix in SUFFIXES:  # made by this call, so that nobody writes meanwhile
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(aside + suffix)
            self.moved_aside.remove(aside)
        return damaged[0] if damaged else None

    @contextlib.contextmanager
    def _transaction(self, begin: str, wait_s: float | None) -> Iterator[sqlite3.Connection]:
        wait_s = self._busy_wait_s if wait_s is None else wait_s
        lock, connection = self._begun(begin, time.monotonic() + wait_s)
        try:
            try:
                yield connection
                connection.execute("COMMIT" if begin != "BEGIN" else "ROLLBACK")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._told(error) from error
        finally:
            lock.release()

    def _begun(self, begin: str, deadline: float) -> tuple[threading.RLock, sqlite3.Connection]:
        """Begin a transaction, and return with the lock held. Between two tries it is not."""
        pause_s = PAUSE_LEAST_S
        while True:
            lock = self._lock
            if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                raise BusyError(f"{self.path}: another thread of this process holds it")
            try:
                return lock, self._try_begin(begin, deadline)
            except sqlite3.Error as error:
                lock_error = self._told(error)
                lock.release()
                if not isinstance(lock_error, BusyError) or time.monotonic() >= deadline:
                    raise lock_error from error
            except OSError as error:
                lock.release()
                raise DatabaseError(f"{self.path}: {error.strerror or error}") from error
            except BaseException:
                lock.release()
                raise
            time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
            pause_s = min(2 * pause_s, PAUSE_MOST_S)

    def _try_begin(self, begin: str, deadline: float) -> sqlite3.Connection:
        if self._unusable is not None:
            raise DatabaseError(f"{self.path}: {self._unusable}")
        while True:
            connection = self._connection
            if connection is not None and connection.in_transaction:
                raise BusyError(f"{self.path}: this thread is inside a transaction of it already")
            if connection is not None and self._identity != self._identity_now():
                self._drop()  # moved aside, replaced or removed under us
                connection = None
            if connection is None:
                connection = self._connection = self._open(deadline)
            if begin == "BEGIN":
                connection.execute(begin)
                return connection
            if self._read_only is not None:
                raise self._read_only
            connection.execute("PRAGMA busy_timeout = 0")  # who waits does so without the lock
            try:
                connection.execute(begin)
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(self._busy_wait_s * 1000)}")
            if self._identity == self._identity_now():
                return connection
            connection.execute("ROLLBACK")  # it was replaced while we waited

    def _told(self, error: sqlite3.Error) -> DatabaseError:
        """Return what to raise for an error of SQLite's; a damaged file is moved aside first."""
        name = _code(error)
        if name.startswith(DAMAGED):
            return DamagedError(f"{self.path}: damaged ({error}){self._set_aside()}")
        kind = BusyError if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else DatabaseError
        return kind(f"{self.path}: {error}{_remedy(name)}")

    def _set_aside(self) -> str:
        """Move a damaged file aside, unless another process has done so; say where it is."""
        damaged = self._identity
        try:
            with self._folder_held(time.monotonic() + self._busy_wait_s):
                there = damaged is not None and damaged == self._identity_now()
                aside = self._move_files("damaged") if there else None
        except (OSError, DatabaseError) as error:
            self._drop()
            return f"; it cannot be moved aside: {error}"
        self._drop()
        return f"; it was moved to {aside}" if aside else "; another process has moved it"

    def _identity_now(self) -> "_Identity | None":
        try:
            facts = os.stat(self.path)
        except FileNotFoundError:
            return None
        return facts.st_dev, facts.st_ino

    def _open(self, deadline: float) -> sqlite3.Connection:
        """Open, making or migrating the file; a damaged one is moved aside first, once."""
        folder = os.path.dirname(self.path)
        if not os.path.isdir(folder):
            os.makedirs(folder, FOLDER_MODE, exist_ok=True)
        with self._folder_held(deadline):
            self._make_file()
            try:
                return self._opened()
            except sqlite3.DatabaseError as error:
                if not _code(error).startswith(DAMAGED):
                    raise
                self._move_files("damaged")
            self._make_file()
            return self._opened()

    @contextlib.contextmanager
    def _folder_held(self, deadline: float) -> Iterator[None]:
        """Keep other processes from opening and moving databases of this folder."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._folder = folder = os.open(os.path.dirname(self.path), flags)
        try:
            while not _locked(folder):
                if time.monotonic() >= deadline:
                    raise BusyError(f"{self.path}: another process is opening or moving it")
                time.sleep(PAUSE_LEAST_S)
            yield
        finally:
            self._folder = None
            os.close(folder)

    def _make_file(self) -> None:
        """Make the file where there is none. One that is there is not opened: see the module."""
        try:
            facts = os.lstat(self.path)
        except FileNotFoundError:
            facts = None
        if facts is not None and not stat.S_ISREG(facts.st_mode):
            what = "a symbolic link" if stat.S_ISLNK(facts.st_mode) else "no plain file"
            raise ForeignDatabaseError(f"{self.path}: is {what}; give the path of a file")
        beside = [each for each in SUFFIXES[1:] if os.path.lexists(self.path + each)]
        if (beside and facts is None) or ("-wal" in beside and facts and not facts.st_size):
            self._move_files("damaged")  # its -wal would be removed by SQLite, or used for another
            facts = None
        if facts is None:
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self.path, flags, FILE_MODE))

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._connected(immutable=False)
        except sqlite3.OperationalError as error:
            name = _code(error)
            if not name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
                raise
            has_wal = os.path.exists(self.path + SUFFIXES[1])
            if has_wal or not os.access(self.path, os.R_OK) or not os.stat(self.path).st_size:
                raise
            # A folder that nobody may write in: nobody changes the file either.
            connection = self._connected(immutable=True)
            self._read_only = DatabaseError(f"{self.path}: {error}{_remedy(name)}")
            return connection

    def _connected(self, *, immutable: bool) -> sqlite3.Connection:
        if immutable:
            connection = _open_immutable(self.path)
        else:
            # Not `connect`, which instrumentations replace.
            connection = sqlite3.Connection(
                self.path,
                timeout=self._busy_wait_s,
                isolation_level=None,
                check_same_thread=False,
            )
        self._read_only = None
        try:
            self._prepare(connection, immutable=immutable)
        except BaseException as error:
            if isinstance(error, sqlite3.Error) and _code(error).startswith(DAMAGED):
                _abandon(connection)  # to close it could delete its -wal
            else:
                connection.close()
            raise
        self._identity = self._identity_now()
        return connection

    def _prepare(self, connection: sqlite3.Connection, *, immutable: bool) -> None:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        version = self._version(connection)
        if self._looks_for_damage:
            self._look_for_damage(connection)
        if version > self._schema.version:
            self._read_only = NewerSchemaError(
                f"{self.path}: has version {version} of {self._schema.name}, this release knows "
                f"{self._schema.version}; it is only read: update otel-metrics to write it"
            )
        if immutable or self._read_only is not None:
            connection.execute("PRAGMA query_only = ON")
            return
        if _text(connection, "journal_mode") != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if not self._autocheckpoint:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        if version < self._schema.version:
            self._migrate(connection)

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the version of the file's schema, 0 where there is nothing of ours yet.

        Raises:
            ForeignDatabaseError: it is of another kind.
            _SelfContradictionError: it says two things about itself.
        """
        marked = _number(connection, "application_id")
        version = _number(connection, "user_version")
        tables = {name for (name,) in connection.execute(_TABLES)}
        said = connection.execute(_MARKED).fetchone() if MARKER in tables else None
        if said == (self._schema.name, version) and marked == self._application_id:
            return version
        if marked == self._application_id or (said and said[0] == self._schema.name):
            raise _SelfContradictionError
        if self._is_ours_beneath():
            raise _SelfContradictionError  # its -wal is another's
        if said is not None:
            raise ForeignDatabaseError(self._foreign(f"is a database of {said[0]}"))
        if marked or version or not tables <= {*self._schema.adopts, "sqlite_sequence"}:
            mark = f"application id {marked}" if marked else f"tables {', '.join(sorted(tables))}"
            raise ForeignDatabaseError(self._foreign(f"is another program's database ({mark})"))
        return 0

    def _is_ours_beneath(self) -> bool:
        """Tell whether the file is ours where its -wal is not looked at."""
        if not os.path.exists(self.path + SUFFIXES[1]):
            return False
        try:
            with contextlib.closing(_open_immutable(self.path)) as connection:
                return _number(connection, "application_id") == self._application_id
        except sqlite3.Error:
            return False

    @property
    def _application_id(self) -> int:
        return self._schema.application_id

    def _foreign(self, what: str) -> str:
        return f"{self.path}: {what}; give a path of its own for {self._schema.name}"

    def _look_for_damage(self, connection: sqlite3.Connection) -> None:
        """Check the file when this process first opens it, where that takes but a moment."""
        identity, size = self._identity_now(), os.stat(self.path).st_size
        wanted = identity != self._checked and size <= CHECK_BYTES_MAX
        if wanted and _text(connection, "quick_check(1)") != "ok":
            raise _SelfContradictionError
        self._checked = identity

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Lead the file to the newest version in one transaction, with a copy of the old one."""
        version = _number(connection, "user_version")
        if version or connection.execute(_TABLES).fetchone():
            self._keep_copy(connection, f"{self.path}.version-{version}")
        else:
            self.is_new = True
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _number(connection, "user_version")
            for number in range(version, self._schema.version):
                for statement in _statements(self._schema.migrations[number]):
                    connection.execute(statement)
            for statement in _UNMARK:
                connection.execute(statement)
            connection.execute(_MARK, (self._schema.name, self._schema.version))
            connection.execute(f"PRAGMA application_id = {self._application_id:d}")
            connection.execute(f"PRAGMA user_version = {self._schema.version:d}")
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _keep_copy(self, connection: sqlite3.Connection, path: str) -> None:
        """Copy the database, so that the copy is whole or has not its name."""
        if os.path.lexists(path):
            return
        unfinished = f"{path}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
        connection.execute("VACUUM INTO ?", (unfinished,))
        os.rename(unfinished, path)

    def _move_files(self, word: str) -> str:
        """Move all files of the database aside. Called with the folder held."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside, count = f"{self.path}.{word}-{stamp}", 1
        while any(os.path.lexists(aside + suffix) for suffix in SUFFIXES):
            count += 1
            aside = f"{self.path}.{word}-{stamp}-{count}"
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.path + suffix, aside + suffix)
        self.moved_aside.append(aside)
        return aside

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        identity, self._identity = self._identity, None
        if connection is None:
            return
        if identity != self._identity_now():
            _abandon(connection)
            return
        with contextlib.suppress(sqlite3.Error):
            connection.close()

    def _park(self) -> bool:
        """Close the connection for a fork; False where this thread is inside a transaction."""
        connection = self._connection
        if connection is not None:
            if connection.in_transaction:
                return False
            if sys.version_info >= (3, 12):  # before that, a fork may cost a checkpoint
                with contextlib.suppress(sqlite3.Error):
                    connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)
            self._drop()
        return True

    def _begin_anew(self, *, unusable: bool) -> None:
        """Forget what is the parent's, in a forked child."""
        self._lock = threading.RLock()
        if self._connection is not None:
            _abandon(self._connection)
        if self._folder is not None:
            with contextlib.suppress(OSError):
                os.close(self._folder)  # or the child would hold it for the parent
        self._connection = self._identity = self._folder = None
        self.is_new = False
        if unusable:
            self._unusable = (
                "was in use for long when this process was forked, and cannot be used in it; "
                "start the process anew, or fork while no long transaction is under way"
            )


_Identity = tuple[int, int]
_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table'"
_MARKED: Final = "SELECT name, version FROM otel_metrics_schema"
_UNMARK: Final = (
    "CREATE TABLE IF NOT EXISTS otel_metrics_schema (name TEXT, version INTEGER)",
    "DELETE FROM otel_metrics_schema",
)
_MARK: Final = "INSERT INTO otel_metrics_schema VALUES (?, ?)"


class _SelfContradictionError(sqlite3.DatabaseError):
    """A file that SQLite opens, and that is not what it says it is."""

    sqlite_errorname = DAMAGED[0]


class _Registry:
    """All databases of the process, for its forks. The lock guards the set."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.databases: weakref.WeakSet[Database] = weakref.WeakSet()
        self.forking = threading.local()  # what a fork under way on this thread holds

    def before_fork(self) -> None:
        """Close every connection, as far as transactions end within `FORK_WAIT_S`."""
        deadline = time.monotonic() + FORK_WAIT_S
        self.lock.acquire()
        self.forking.locks = locks = []
        self.forking.at_work = at_work = []
        for database in list(self.databases):
            lock = database._lock
            if lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                locks.append(lock)
                if database._park():
                    continue
            at_work.append(database)

    def after_fork_in_parent(self) -> None:
        """Let the others go on."""
        for lock in self.forking.locks:
            lock.release()
        self.forking.locks = self.forking.at_work = []
        self.lock.release()

    def after_fork_in_child(self) -> None:
        """Give every database a lock of the child's own, and no connection."""
        self.lock = threading.Lock()
        torn = {database.path for database in self.forking.at_work}
        for database in list(self.databases):
            database._begin_anew(unusable=database.path in torn)
        self.forking = threading.local()


_registry: Final = _Registry()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_registry.before_fork,
        after_in_parent=_registry.after_fork_in_parent,
        after_in_child=_registry.after_fork_in_child,
    )


def _open_immutable(path: str) -> sqlite3.Connection:
    """Open a file that nobody changes: without locks, and without its -wal."""
    return sqlite3.Connection(
        f"file:{quote(path)}?immutable=1", isolation_level=None, check_same_thread=False, uri=True
    )


def _abandon(connection: sqlite3.Connection) -> None:
    """Keep a connection for ever that must not be closed, not even by the interpreter's end."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EINTR)  # else: no flock on this system
    return True


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def _code(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", None) or "")


def _remedy(name: str) -> str:
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "; another process holds it"
    if name.startswith("SQLITE_FULL"):
        return "; make room on the disk"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return "; let this user write the file and its folder"
    return ""
