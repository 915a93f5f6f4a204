"""Opens a file: is it of this kind, is it sound, may it be written; and sets the connection up.

In WAL mode with `synchronous = NORMAL` a commit is no fsync: what was committed survives the death
of the process, and a power cut may take the last transactions with it, whole. The file stays sound.
With `FULL` (`synced`) each commit waits for the disk, and a power cut takes none.
"""

import contextlib
import os
import sqlite3
from typing import Final, NamedTuple
from urllib.parse import quote

from otel_metrics.sqlite.errors import (
    DatabaseError,
    ForeignDatabaseError,
    NewerSchemaError,
    SelfContradictionError,
    is_damage,
    is_refused,
    remedy,
)
from otel_metrics.sqlite.files import SUFFIXES, Files, Identity
from otel_metrics.sqlite.forks import abandon
from otel_metrics.sqlite.schema import Schema, mark_of, migrate

__all__ = ["Opened", "Opener"]

CHECK_BYTES_MAX: Final = 32 * 2**20
"""A file of at most this size is checked for damage when a process first opens it (30 ms, which
SQLite does not interrupt); in a larger one damage is found when it is met."""


class Opened(NamedTuple):
    """A connection that can be used.

    Attributes:
        read_only: why it must not be written; None where it may.
        is_new: whether there was nothing in the file.
    """

    connection: sqlite3.Connection
    read_only: DatabaseError | None = None
    is_new: bool = False


class Opener:
    """Opens the files of one database; arguments as for `Database`."""

    def __init__(
        self,
        files: Files,
        schema: Schema,
        *,
        busy_wait_s: float,
        autocheckpoint: bool,
        looks_for_damage: bool,
        synced: bool,
    ) -> None:
        self._files = files
        self._path = files.path
        self._schema = schema
        self._busy_wait_s = busy_wait_s
        self._autocheckpoint = autocheckpoint
        self._looks_for_damage = looks_for_damage
        self._synchronous = "FULL" if synced else "NORMAL"
        self._checked: Identity | None = None

    def open(self) -> Opened:
        """Open the file that is there; with the folder held.

        Raises:
            DatabaseError: it is of another kind.
            OSError: the disk does not give what is in it.
            sqlite3.Error: what SQLite says of it, or what it says of itself.
        """
        try:
            return self._connected(immutable=False)
        except sqlite3.OperationalError as error:
            if not is_refused(error):
                raise
            has_wal = os.path.exists(self._path + SUFFIXES[1])
            if has_wal or not os.access(self._path, os.R_OK) or not os.stat(self._path).st_size:
                raise
            # A folder that nobody may write in: nobody changes the file either.
            opened = self._connected(immutable=True)
            return opened._replace(read_only=DatabaseError(f"{self._path}: {error}{remedy(error)}"))

    def _connected(self, *, immutable: bool) -> Opened:
        if immutable:
            connection = _open_immutable(self._path)
        else:
            # Not `connect`, which instrumentations replace.
            connection = sqlite3.Connection(
                self._path,
                timeout=self._busy_wait_s,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            return self._prepared(connection, immutable=immutable)
        except sqlite3.DatabaseError as error:
            refused = self._files.refusal() if is_damage(error) else None
            if is_damage(error) and refused is None:
                abandon(connection)  # to close it could delete its -wal
                raise
            connection.close()
            raise refused or error from None
        except BaseException:
            connection.close()
            raise

    def _prepared(self, connection: sqlite3.Connection, *, immutable: bool) -> Opened:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        version = self._version(connection)
        if self._looks_for_damage:
            self._look_for_damage(connection)
        if version > self._schema.version:
            connection.execute("PRAGMA query_only = ON")
            message = (
                f"{self._path}: has version {version} of {self._schema.name}, this release knows "
                f"{self._schema.version}; it is only read: update otel-metrics to write it"
            )
            return Opened(connection, NewerSchemaError(message))
        if immutable:
            connection.execute("PRAGMA query_only = ON")
            return Opened(connection)
        if _text(connection, "journal_mode") != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        if not self._autocheckpoint:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        is_old = version < self._schema.version
        return Opened(connection, is_new=is_old and migrate(connection, self._schema, self._path))

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the version of the file's schema, 0 where there is nothing of ours yet.

        Raises:
            ForeignDatabaseError: it is of another kind.
            SelfContradictionError: it says two things about itself.
        """
        schema, mark = self._schema, mark_of(connection)
        is_marked = mark.application_id == schema.application_id
        if is_marked and mark.said == (schema.name, mark.version):
            return mark.version
        if is_marked or (mark.said and mark.said[0] == schema.name):
            raise SelfContradictionError
        if self._is_ours_beneath():
            raise SelfContradictionError  # its -wal is another's
        if mark.said is not None:
            raise ForeignDatabaseError(self._foreign(f"is a database of {mark.said[0]}"))
        known = {*schema.adopts, "sqlite_sequence"}
        if mark.application_id or mark.version or not mark.tables <= known:
            tables = ", ".join(sorted(mark.tables))
            by = (
                f"application id {mark.application_id}"
                if mark.application_id
                else f"tables {tables}"
            )
            raise ForeignDatabaseError(self._foreign(f"is another program's database ({by})"))
        return 0

    def _is_ours_beneath(self) -> bool:
        """Tell whether the file is ours where its -wal is not looked at."""
        if not os.path.exists(self._path + SUFFIXES[1]):
            return False
        try:
            with contextlib.closing(_open_immutable(self._path)) as connection:
                row = connection.execute("PRAGMA application_id").fetchone()
        except sqlite3.Error:
            return False
        return bool(row[0] == self._schema.application_id)

    def _foreign(self, what: str) -> str:
        return f"{self._path}: {what}; give a path of its own for {self._schema.name}"

    def _look_for_damage(self, connection: sqlite3.Connection) -> None:
        """Check the file when this process first opens it, where that takes but a moment."""
        identity, size = self._files.identity, os.stat(self._path).st_size
        wanted = identity != self._checked and size <= CHECK_BYTES_MAX
        if wanted and _text(connection, "quick_check(1)") != "ok":
            raise SelfContradictionError
        self._checked = identity


def _open_immutable(path: str) -> sqlite3.Connection:
    """Open a file that nobody changes: without locks, and without its -wal."""
    return sqlite3.Connection(
        f"file:{quote(path)}?immutable=1", isolation_level=None, check_same_thread=False, uri=True
    )


def _text(connection: sqlite3.Connection, pragma: str) -> str:
    return str(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
