"""What is in a kind of database, and how a file is led to the newest version of it.

A file is marked twice, by its application id and by a table, so that one which only looks empty, or
is another program's, is not taken for ours.
"""

import contextlib
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from otel_metrics.sqlite.files import FILE_MODE

__all__ = ["Mark", "Schema", "mark_of", "migrate"]

MARKER: Final = "otel_metrics_schema"
"""The table that tells a database of ours from one that only looks empty."""
_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table'"
_MARKED: Final = "SELECT name, version FROM otel_metrics_schema"
_UNMARK: Final = (
    "CREATE TABLE IF NOT EXISTS otel_metrics_schema (name TEXT, version INTEGER)",
    "DELETE FROM otel_metrics_schema",
)
_MARK: Final = "INSERT INTO otel_metrics_schema VALUES (?, ?)"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a file says that it is.

    Attributes:
        said: name and version of a schema, where it holds the table that says so.
    """

    application_id: int
    version: int
    tables: frozenset[str]
    said: tuple[str, int] | None


def mark_of(connection: sqlite3.Connection) -> Mark:
    """Return what a file says that it is."""
    application_id = _number(connection, "application_id")
    version = _number(connection, "user_version")
    tables = frozenset(name for (name,) in connection.execute(_TABLES))
    said = connection.execute(_MARKED).fetchone() if MARKER in tables else None
    return Mark(application_id=application_id, version=version, tables=tables, said=said)


def migrate(connection: sqlite3.Connection, schema: Schema, path: str) -> bool:
    """Lead the file to the newest version in one transaction, with a copy of the old one beside it.

    Returns:
        whether there was nothing in it.
    """
    version = _number(connection, "user_version")
    is_new = not version and connection.execute(_TABLES).fetchone() is None
    if not is_new:
        _keep_copy(connection, f"{path}.version-{version}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_number(connection, "user_version"), schema.version):
            for statement in _statements(schema.migrations[number]):
                connection.execute(statement)
        for statement in _UNMARK:
            connection.execute(statement)
        connection.execute(_MARK, (schema.name, schema.version))
        connection.execute(f"PRAGMA application_id = {schema.application_id:d}")
        connection.execute(f"PRAGMA user_version = {schema.version:d}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    return is_new


def _keep_copy(connection: sqlite3.Connection, path: str) -> None:
    """Copy the database, so that the copy is whole or has not its name."""
    if os.path.lexists(path):
        return
    unfinished = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
    connection.execute("VACUUM INTO ?", (unfinished,))
    os.rename(unfinished, path)


def _statements(script: str) -> Iterator[str]:
    """Return the statements of a script; `executescript` would commit the transaction."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \n;"):
                yield statement
            statement = ""


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
