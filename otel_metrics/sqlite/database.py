"""A database that the processes of one host share: transactions, and who waits for whom.

Whoever writes says so first (`BEGIN IMMEDIATE`), because SQLite refuses at once, whatever the
timeout, a reader that turns writer. A damaged file is moved aside whole, with its `-wal` and
`-shm`, and never deleted.

POSIX drops a process's locks with any descriptor of the file that it closes: nothing here opens the
file beside SQLite. The last connection to close removes the `-wal` by its name: one whose file was
moved is left to itself, or it would remove that of the file in its place.

Threads: one connection a `Database`, guarded by its lock; `read` and `write` may be called from any
thread and wait for each other. Who waits for another process holds no lock meanwhile.
"""

import contextlib
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from otel_metrics.sqlite.errors import (
    BusyError,
    DamagedError,
    DatabaseError,
    is_busy,
    is_damage,
    remedy,
)
from otel_metrics.sqlite.files import Files, Identity
from otel_metrics.sqlite.forks import abandon, registry
from otel_metrics.sqlite.opening import Opener
from otel_metrics.sqlite.schema import Schema

__all__ = ["BUSY_WAIT_S", "Database"]

BUSY_WAIT_S: Final = 5.0
"""How long a transaction waits for another process's."""
PAUSE_LEAST_S: Final = 0.001
PAUSE_MOST_S: Final = 0.05
"""How long who waits for another process rests between two tries."""


class Database:
    """One database file of a schema.

    Args:
        path: the file; its folder is made where it is missing.
        schema: what is in it.
        busy_wait_s: how long to wait for another process's transaction.
        autocheckpoint: whether a commit now and then takes the time to shorten the `-wal`; without,
            somebody calls `checkpoint`.
        looks_for_damage: whether to check a small file when it is first opened.
        synced: whether a commit waits for the disk, so that a power cut takes none back.

    Attributes:
        path: the file.
        is_new: whether this process made the file, because there was none or it was damaged.
        lock: what a thread holds that uses the connection; for forks.
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
        synced: bool = False,
    ) -> None:
        self.path = os.path.abspath(os.path.expanduser(os.fspath(path)))
        self.is_new = False
        self.lock = threading.RLock()
        self._files = Files(self.path)
        self.moved_aside: Sequence[str] = self._files.moved_aside
        self._busy_wait_s = busy_wait_s
        self._opener = Opener(
            self._files,
            schema,
            busy_wait_s=busy_wait_s,
            autocheckpoint=autocheckpoint,
            looks_for_damage=looks_for_damage,
            synced=synced,
        )
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._read_only: DatabaseError | None = None
        self._unusable: str | None = None
        registry.add(self)

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
        with self.lock, contextlib.suppress(sqlite3.Error):
            if self._connection is not None and not self._connection.in_transaction:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self, *, wait_s: float | None = None) -> bool:
        """Close the connection; the next use opens it again.

        Args:
            wait_s: how long to wait for threads that use it, by default until they are done.

        Returns:
            whether it is closed.
        """
        if not self.lock.acquire(timeout=-1 if wait_s is None else max(0.0, wait_s)):
            return False
        try:
            self._drop()
        finally:
            self.lock.release()
        return True

    @property
    def identity(self) -> Identity | None:
        """What tells the file that is open from one in its place."""
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
            held.enter_context(self._files.held(time.monotonic() + self._busy_wait_s))
            aside = self._files.move_aside(word)
            self._files.take(path)
            if existed and not damaged:
                return aside
            self._files.remove(aside)  # made by this call, so that nobody writes meanwhile
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
            lock = self.lock
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
                told = f"{self.path}: {error.strerror or error}{remedy(error)}"
                raise DatabaseError(told) from error
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
            if connection is not None and self._identity != self._files.identity:
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
            if self._identity == self._files.identity:
                return connection
            connection.execute("ROLLBACK")  # it was replaced while we waited

    def _told(self, error: sqlite3.Error) -> DatabaseError:
        """Return what to raise for an error of SQLite's; a damaged file is moved aside first."""
        refused = self._files.refusal() if is_damage(error) else None
        if refused is not None:
            self._drop()
            return DatabaseError(f"{self.path}: {refused.strerror or refused}{remedy(refused)}")
        if is_damage(error):
            return DamagedError(f"{self.path}: damaged ({error}){self._set_aside()}")
        kind = BusyError if is_busy(error) else DatabaseError
        return kind(f"{self.path}: {error}{remedy(error)}")

    def _set_aside(self) -> str:
        """Move a damaged file aside, unless another process has done so; say where it is."""
        damaged = self._identity
        try:
            with self._files.held(time.monotonic() + self._busy_wait_s):
                there = damaged is not None and damaged == self._files.identity
                aside = self._files.move_aside("damaged") if there else None
        except (OSError, DatabaseError) as error:
            self._drop()
            return f"; it cannot be moved aside: {error}"
        self._drop()
        return f"; it was moved to {aside}" if aside else "; another process has moved it"

    def _open(self, deadline: float) -> sqlite3.Connection:
        """Open, making or migrating the file; one that is damaged at a second look, too, is moved
        aside first, once."""
        self._files.make_folder()
        with self._files.held(deadline):
            self._files.make()
            try:
                return self._opened()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
            try:
                return self._opened()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._files.move_aside("damaged")
            self._files.make()
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        connection, self._read_only, is_new = self._opener.open()
        self.is_new = self.is_new or is_new
        self._identity = self._files.identity
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        identity, self._identity = self._identity, None
        if connection is None:
            return
        if identity != self._files.identity:
            abandon(connection)
            return
        with contextlib.suppress(sqlite3.Error):
            connection.close()

    def park(self) -> bool:
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

    def begin_anew(self, *, unusable: bool) -> None:
        """Forget what is the parent's, in a forked child."""
        self.lock = threading.RLock()
        if self._connection is not None:
            abandon(self._connection)
        self._files.begin_anew()
        self._connection = self._identity = None
        self.is_new = False
        if unusable:
            self._unusable = (
                "was in use for long when this process was forked, and cannot be used in it; "
                "start the process anew, or fork while no long transaction is under way"
            )
