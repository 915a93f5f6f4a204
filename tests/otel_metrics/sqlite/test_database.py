"""Databases of several processes: nothing is lost to locks, kills and full disks."""

import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from otel_metrics.sqlite import (
    BusyError,
    Database,
    DatabaseError,
)
from tests.otel_metrics.sqlite.holder import held_by_another
from tests.otel_metrics.sqlite.notes import (
    ONE,
    WITH_TESTS,
    healthy,
    said,
    say,
)
from tests.torture.figures import NotRunError
from tests.torture.mounts import tmpfs


def test_what_was_written_is_read_by_every_process(path: Path) -> None:
    """Whoever opens the file; the first one makes it and its folder."""
    database = Database(path, ONE)
    say(database, "a", "b")

    assert said(database) == ["a", "b"]
    assert database.is_new
    other = Database(path, ONE)
    assert said(other) == ["a", "b"]
    assert not other.is_new


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    """What was written before the error is taken back, and the error is the caller's."""
    database = Database(path, ONE)
    with pytest.raises(KeyError), database.write() as connection:
        connection.execute("INSERT INTO notes (said) VALUES (1)")
        raise KeyError

    assert said(database) == []


def test_what_the_system_refuses_is_told_with_what_to_do() -> None:
    """A folder in which the file cannot be made."""
    path = Path("/proc/notes.db")
    with pytest.raises(DatabaseError) as raised:
        say(Database(path, ONE), "a")

    assert str(raised.value).startswith(f"{path}: ")
    assert str(raised.value).endswith("; name a file in a folder that this user may write in")


@pytest.mark.slow
def test_a_writer_waits_a_second_for_another_process(path: Path) -> None:
    """And is not told that anything was locked."""
    database = Database(path, ONE, busy_wait_s=30)
    say(database, "a")
    with held_by_another(path) as release:
        begun = time.monotonic()
        threading.Timer(1.0, release).start()
        say(database, "b")

    assert time.monotonic() - begun > 0.8
    assert said(database) == ["a", "b"]


def test_a_writer_waits_no_longer_than_it_wants(path: Path) -> None:
    """Then it is told who is in its way; when the other has ended it can write again."""
    database = Database(path, ONE, busy_wait_s=0.05)
    say(database, "a")
    with held_by_another(path):
        with pytest.raises(BusyError, match="another process holds it"):
            say(database, "b")
        with pytest.raises(BusyError), database.write(wait_s=0):
            pass

    say(database, "c")
    assert said(database) == ["a", "c"]


def test_a_reader_does_not_wait_for_a_writer(path: Path) -> None:
    """Neither for another process nor for a thread of its own that waits for that."""
    database = Database(path, ONE, busy_wait_s=20)
    say(database, "a")
    with held_by_another(path) as release:
        waiting = threading.Thread(target=say, args=(database, "b"))
        waiting.start()
        begun = time.monotonic()
        assert said(database) == ["a"]
        assert time.monotonic() - begun < 5
        release()
        waiting.join(20)

    assert said(database) == ["a", "b"]


def test_a_thread_inside_its_own_transaction_is_told(path: Path) -> None:
    """Such as a signal handler that records; it neither hangs nor breaks the transaction."""
    database = Database(path, ONE)
    with database.write() as connection:
        connection.execute("INSERT INTO notes (said) VALUES ('a')")
        with pytest.raises(BusyError), database.write(wait_s=0):
            pass

    assert said(database) == ["a"]


KILLED = """
import os, sys
from otel_metrics.sqlite import Database
from tests.otel_metrics.sqlite.notes import ONE
database = Database(sys.argv[1], ONE)
for number in range(1_000_000):
    with database.write() as connection:
        connection.execute("INSERT INTO notes (n) VALUES (?)", (number,))
    os.write(1, b"%d\\n" % number)
"""


@pytest.mark.slow
def test_what_was_committed_survives_a_kill(path: Path) -> None:
    """Whenever it comes: all that was acknowledged is there, in order, and no more than one row."""
    dice = random.Random(5)
    for round_ in range(10):
        target = path.with_name(f"{round_}.db")
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE, env=WITH_TESTS
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(dice.uniform(0, 0.05))  # a moment that nothing in the process chooses
            process.kill()
            acknowledged = 1 + process.stdout.read().count(b"\n")
        with Database(target, ONE).read() as connection:
            rows = [n for (n,) in connection.execute("SELECT n FROM notes ORDER BY rowid")]

        assert rows == list(range(len(rows)))
        assert acknowledged <= len(rows) <= acknowledged + 1


@pytest.mark.slow
@pytest.mark.parametrize(("synced", "level"), [(False, 1), (True, 2)])
def test_commits_wait_for_the_disk_where_that_is_asked_for(
    path: Path, synced: bool, level: int
) -> None:
    """SQLite's `synchronous` is NORMAL (1), or FULL (2), also after the connection was closed."""
    database = Database(path, ONE, synced=synced)
    seen = []
    for _ in range(2):
        with database.read() as connection:
            seen.append(connection.execute("PRAGMA synchronous").fetchone()[0])
        database.close()

    assert seen == [level, level]


def test_a_full_disk_is_told_and_writing_resumes(tmp_path: Path) -> None:
    """What was committed stays, what does not fit is taken back whole."""
    try:
        with tmpfs(tmp_path, "size=400k") as folder:
            database = Database(folder / "notes.db", ONE)
            kept = 0
            with pytest.raises(DatabaseError, match=r"disk|full|I/O"):
                for _ in range(1_000):
                    say(database, "x" * 5_000)
                    kept += 1
            assert 0 < kept < 1_000

            subprocess.run(["mount", "-o", "remount,size=4m", "tmpfs", str(folder)], check=True)
            say(database, "again")
            assert said(database) == ["x" * 5_000] * kept + ["again"]
            database.close()
            assert healthy(folder / "notes.db")
    except NotRunError as error:
        pytest.skip(str(error))


def test_a_finished_database_takes_the_place_of_another(path: Path) -> None:
    """Who writes the old one meanwhile waits, and goes on with the new one."""
    old, writer = Database(path, ONE), Database(path, ONE)
    say(old, "old")
    say(writer, "old")
    built = Database(path.with_name("built.db"), ONE)
    say(built, "built")
    waiting = threading.Thread(target=say, args=(writer, "after"))

    def last(connection: sqlite3.Connection) -> None:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (2,)
        waiting.start()
        built.close()

    aside = old.replace_by(built.path, word="replaced", last=last)
    waiting.join(10)

    assert said(writer) == ["built", "after"]
    assert said(old) == ["built", "after"]
    assert aside is not None
    assert said(Database(aside, ONE)) == ["old", "old"]


@pytest.mark.parametrize(
    "value", [2**63 - 1, -(2**63), 1.5, "", "é\u2028\U0001f600", b"\x00\xff", None]
)
def test_a_value_comes_back_as_it_was(path: Path, value: object) -> None:
    """What SQLite has a type for."""
    database = Database(path, ONE)
    say(database, value)

    assert said(database) == [value]
