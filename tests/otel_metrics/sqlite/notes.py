"""Notes in a database, for tests: two versions of a schema, and looks from outside."""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from otel_metrics.sqlite import (
    Database,
    Schema,
)

__all__ = [
    "ONE",
    "TWO",
    "WITH_TESTS",
    "await_condition",
    "files",
    "forked",
    "healthy",
    "said",
    "say",
]

ONE = Schema(
    name="notes", application_id=0x4E4F5445, migrations=["CREATE TABLE notes (said, n INTEGER)"]
)
TWO = Schema(
    name="notes",
    application_id=ONE.application_id,
    migrations=[
        *ONE.migrations,
        "ALTER TABLE notes ADD COLUMN author; UPDATE notes SET author = 'x'",
    ],
)
WITH_TESTS = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
"""The variables of a program that imports from the tests."""


def say(database: Database, *said: object) -> None:
    """Keep some rows in one transaction."""
    with database.write() as connection:
        connection.executemany("INSERT INTO notes (said) VALUES (?)", [(each,) for each in said])


def said(database: Database) -> list[object]:
    """Return what was kept, in order."""
    with database.read() as connection:
        return [row[0] for row in connection.execute("SELECT said FROM notes ORDER BY rowid")]


def healthy(path: Path) -> bool:
    """Tell whether SQLite finds nothing wrong with a file."""
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def files(path: Path) -> set[str]:
    """Return the names of all files beside a database."""
    return {each.name for each in path.parent.iterdir()}


def forked(work: Callable[[], object]) -> int:
    """Do some work in a forked child, whose status is 0 where it raised nothing."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # noqa: BLE001  # whatever it is, this process is not to run the tests
        os._exit(1)
    os._exit(0)


def await_condition(holds: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
