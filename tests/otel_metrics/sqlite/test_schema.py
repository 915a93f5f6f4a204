"""Migrations: in one transaction, with a copy of what was there."""

import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from otel_metrics.sqlite import (
    Database,
    Schema,
)
from tests.otel_metrics.sqlite.notes import (
    ONE,
    TWO,
    WITH_TESTS,
    await_condition,
    files,
    healthy,
    said,
    say,
)


def test_tables_of_a_predecessor_are_taken_over(path: Path) -> None:
    """Where the schema knows them, after a copy was kept."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE notes (said)")
        connection.execute("INSERT INTO notes VALUES ('before')")
    adopting = Schema(
        name="notes",
        application_id=9,
        migrations=["ALTER TABLE notes ADD COLUMN n INTEGER"],
        adopts=("notes",),
    )

    database = Database(path, adopting)
    assert said(database) == ["before"]
    assert not database.is_new
    with closing(sqlite3.connect(f"{path}.version-0")) as copy:
        assert copy.execute("SELECT * FROM notes").fetchall() == [("before",)]


def test_an_older_schema_is_led_to_the_newer(path: Path) -> None:
    """In place, and a copy of the older file is kept for who has to go back."""
    say(Database(path, ONE), "a")

    with Database(path, TWO).read() as connection:
        assert connection.execute("SELECT said, author FROM notes").fetchall() == [("a", "x")]
    copy = Path(f"{path}.version-1")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert said(Database(copy, ONE)) == ["a"]


MIGRATING = """
import sys, time
from otel_metrics.sqlite import Database
from tests.otel_metrics.sqlite.notes import ONE, TWO
from otel_metrics.sqlite import Schema
import sqlite3
slow = Schema(name=TWO.name, application_id=TWO.application_id, migrations=[*ONE.migrations,
    "ALTER TABLE notes ADD COLUMN author; UPDATE notes SET author = 'half';"
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 500000000)"
    " UPDATE notes SET n = (SELECT count(*) FROM c);"])
print("migrating", flush=True)
with Database(sys.argv[1], slow).read():
    pass
"""


@pytest.mark.slow
def test_a_migration_that_was_killed_is_done_again(path: Path) -> None:
    """Nothing of the half-done one is left."""
    first = Database(path, ONE)
    say(first, "a")
    first.close()
    with subprocess.Popen(
        [sys.executable, "-c", MIGRATING, str(path)], stdout=subprocess.PIPE, env=WITH_TESTS
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        await_condition(lambda: "notes.db.version-1" in files(path))
        process.send_signal(signal.SIGKILL)

    assert said(Database(path, ONE)) == ["a"]
    with Database(path, TWO).read() as connection:
        assert connection.execute("SELECT said, author, n FROM notes").fetchall() == [
            ("a", "x", None)
        ]


def test_a_copy_while_others_write_is_whole(path: Path) -> None:
    """`VACUUM INTO`, which the copies before a migration are made by, sees one state."""
    database = Database(path, ONE)
    say(database, *range(100))
    ending = threading.Event()

    def write() -> None:
        while not ending.is_set():
            say(database, *range(10))

    thread = threading.Thread(target=write)
    thread.start()
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    ending.set()
    thread.join(10)

    assert healthy(copy)
    assert len(said(Database(copy, ONE))) % 10 == 0
