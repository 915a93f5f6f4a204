"""Databases of several processes: nothing is lost to locks, forks, kills, damage and full disks."""

import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from otel_metrics.sqlite import (
    SUFFIXES,
    BusyError,
    DamagedError,
    Database,
    DatabaseError,
    ForeignDatabaseError,
    NewerSchemaError,
    Schema,
)
from tests.otel_metrics.sqlite_holder import held_by_another
from tests.torture.figures import NotRunError
from tests.torture.mounts import read_only, tmpfs

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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database is to be, in a folder that is not there yet."""
    return tmp_path / "data" / "notes.db"


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


def test_what_was_written_is_read_by_every_process(path: Path) -> None:
    """Whoever opens the file; the first one makes it and its folder."""
    database = Database(path, ONE)
    say(database, "a", "b")

    assert said(database) == ["a", "b"]
    assert database.is_new
    other = Database(path, ONE)
    assert said(other) == ["a", "b"]
    assert not other.is_new


def test_only_the_owner_may_look(path: Path) -> None:
    """At the file, at those beside it, and into the folder, whatever the umask is."""
    before = os.umask(0)
    try:
        database = Database(path, ONE)
        say(database, "a")
        modes = {
            each.name: stat.S_IMODE(each.stat().st_mode)
            for each in [path.parent, *path.parent.iterdir()]
        }
    finally:
        os.umask(before)

    assert modes == {"data": 0o700, "notes.db": 0o600, "notes.db-wal": 0o600, "notes.db-shm": 0o600}


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    """What was written before the error is taken back, and the error is the caller's."""
    database = Database(path, ONE)
    with pytest.raises(KeyError), database.write() as connection:
        connection.execute("INSERT INTO notes (said) VALUES (1)")
        raise KeyError

    assert said(database) == []


@pytest.mark.slow
def test_a_writer_waits_a_second_for_another_process(path: Path) -> None:
    """And is not told that anything was locked."""
    database = Database(path, ONE)
    say(database, "a")
    with held_by_another(path) as release:
        threading.Timer(1.0, release).start()
        begun = time.monotonic()
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


@pytest.mark.slow
def test_forks_under_load_are_sound(path: Path) -> None:
    """While threads write, children write too: every row is there once, and the file is sound."""
    database = Database(path, ONE, busy_wait_s=60)
    say(database, "first")
    ending = threading.Event()
    written = [0, 0]

    def write(index: int) -> None:
        while not ending.is_set():
            say(database, "thread")
            written[index] += 1

    threads = [threading.Thread(target=write, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    statuses = []
    for _ in range(100):
        child = forked(lambda: say(database, "child"))
        statuses.append(os.waitpid(child, 0)[1])
    ending.set()
    for thread in threads:
        thread.join(60)

    assert statuses == [0] * 100
    rows = said(database)
    assert [rows.count("child"), rows.count("thread")] == [100, sum(written)]
    database.close()
    assert healthy(path)


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


def test_a_child_shares_no_connection_with_its_parent(path: Path) -> None:
    """Both go on, and neither has a file open through the other's connection."""
    database = Database(path, ONE)
    say(database, "parent")

    def work() -> None:
        assert said(database) == ["parent"]
        say(database, "child")

    child = forked(work)
    assert os.waitpid(child, 0)[1] == 0
    say(database, "parent again")
    assert said(database) == ["parent", "child", "parent again"]


def test_a_child_of_a_transaction_is_kept_from_the_file(path: Path) -> None:
    """SQLite in it would believe in locks that are its parent's; it is told what to do."""
    database = Database(path, ONE)
    say(database, "a")

    def work() -> None:
        with pytest.raises(DatabaseError, match="was in use for long when this process was forked"):
            said(database)

    with database.write() as connection:
        connection.execute("INSERT INTO notes (said) VALUES ('b')")
        child = forked(work)
        assert os.waitpid(child, 0)[1] == 0

    assert said(database) == ["a", "b"]


def test_a_fork_waits_for_a_transaction(path: Path) -> None:
    """Of another thread, where it ends soon: the child can use the file."""
    database = Database(path, ONE)
    begun, end = threading.Event(), threading.Event()

    def write() -> None:
        with database.write() as connection:
            connection.execute("INSERT INTO notes (said) VALUES ('thread')")
            begun.set()
            end.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait(10)
    threading.Timer(0.1, end.set).start()
    child = forked(lambda: say(database, "child"))

    assert os.waitpid(child, 0)[1] == 0
    thread.join(10)
    assert sorted(map(str, said(database))) == ["child", "thread"]


WITH_TESTS = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
"""The variables of a program that imports from the tests."""
KILLED = """
import os, sys
from otel_metrics.sqlite import Database
from tests.otel_metrics.test_sqlite import ONE
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


def damage_header(path: Path) -> None:
    """Overwrite the first bytes."""
    with path.open("r+b") as file:
        file.write(b"not a database at all")


def damage_mark(path: Path) -> None:
    """Overwrite the number that says whose database it is."""
    with path.open("r+b") as file:
        file.seek(68)
        file.write(b"\x01\x02\x03\x04")


def damage_version(path: Path) -> None:
    """Overwrite the number of the schema's version."""
    with path.open("r+b") as file:
        file.seek(60)
        file.write(b"\x7f\xff\xff\xff")


def damage_page(path: Path) -> None:
    """Overwrite a page of rows."""
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096)


def truncate(path: Path) -> None:
    """Cut off the second half."""
    os.truncate(path, path.stat().st_size // 2)


def replace_by_text(path: Path) -> None:
    """Put something else in its place."""
    path.write_text("these are notes of another kind\n" * 500)


def damage_table_of_contents(path: Path) -> None:
    """Overwrite what says which tables there are."""
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 200)


@pytest.mark.parametrize(
    "damage",
    [
        damage_header,
        damage_mark,
        damage_version,
        damage_page,
        truncate,
        replace_by_text,
        damage_table_of_contents,
    ],
)
def test_a_damaged_file_is_moved_aside(path: Path, damage: Callable[[Path], None]) -> None:
    """Its bytes stay as they are, under a name that says so; a new one takes its place."""
    first = Database(path, ONE)
    say(first, *("x" * 500 for _ in range(100)))
    first.close()
    damage(path)
    bytes_ = path.read_bytes()

    database = Database(path, ONE)
    say(database, "new")

    assert said(database) == ["new"]
    assert database.is_new
    [aside] = database.moved_aside
    assert Path(aside).read_bytes() == bytes_
    assert Path(aside).name.startswith("notes.db.damaged-")


def test_damage_that_appears_while_it_is_open_is_told(path: Path) -> None:
    """By the call that meets it; the next one has a new file."""
    database = Database(path, ONE)
    say(database, *("x" * 500 for _ in range(200)))
    database.checkpoint()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)

    other = Database(path, ONE, looks_for_damage=False)
    with pytest.raises(DamagedError, match=r"it was moved to .*notes\.db\.damaged-"):
        said(other)
    assert said(other) == []


def test_all_files_of_a_damaged_database_are_moved(path: Path) -> None:
    """The -wal may hold what was written last; none is deleted."""
    first = Database(path, ONE)
    say(first, "in the wal")
    copies = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in SUFFIXES[:2]}
    for suffix in SUFFIXES[:2]:  # as a kill leaves them
        path.with_name(f"killed.db{suffix}").write_bytes(copies[suffix])
    killed = path.with_name("killed.db")
    damage_header(killed)
    (path.with_name("killed.db-wal")).write_bytes(b"not a wal" * 100)

    database = Database(killed, ONE)
    assert said(database) == []
    [aside] = database.moved_aside
    assert Path(f"{aside}-wal").read_bytes() == b"not a wal" * 100


def test_an_emptied_file_is_not_taken_for_an_empty_database(path: Path) -> None:
    """Its -wal, which SQLite would delete, is moved aside with it."""
    first = Database(path, ONE)
    say(first, "a")
    target = path.with_name("emptied.db")
    shutil.copy(f"{path}-wal", f"{target}-wal")
    target.touch()

    database = Database(target, ONE)
    assert said(database) == []
    assert database.is_new
    assert f"{Path(database.moved_aside[0]).name}-wal" in files(path)


def test_a_wal_without_its_database_is_moved_aside(path: Path) -> None:
    """It belongs to a file that is gone, and not to the new one."""
    first = Database(path, ONE)
    say(first, "a")
    target = path.with_name("gone.db")
    shutil.copy(f"{path}-wal", f"{target}-wal")

    database = Database(target, ONE)
    assert said(database) == []
    assert len(database.moved_aside) == 1


def test_a_database_without_its_wal_is_read_as_far_as_it_goes(path: Path) -> None:
    """What was in the -wal is lost with it; the rest is sound and can be written."""
    first = Database(path, ONE)
    say(first, "a")
    first.close()
    say(first, "b")
    target = path.with_name("without.db")
    shutil.copy(path, target)

    database = Database(target, ONE)
    say(database, "c")
    assert said(database) == ["a", "c"]
    database.close()
    assert healthy(target)


def test_a_wal_of_another_database_is_noticed(path: Path, tmp_path: Path) -> None:
    """The mixture is moved aside; neither is taken for the other."""
    first = Database(path, ONE)
    say(first, "a")
    first.close()
    other_path = tmp_path / "other.db"
    with closing(sqlite3.connect(other_path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE notes (said, n)")
        other.executemany("INSERT INTO notes VALUES (?, 1)", [("x" * 900,)] * 50)
        shutil.copy(f"{other_path}-wal", f"{path}-wal")

    database = Database(path, ONE)
    assert said(database) == []
    [aside] = database.moved_aside
    assert Path(f"{aside}-wal").exists()


def test_processes_go_on_with_the_new_file_when_one_has_moved_the_old(path: Path) -> None:
    """The others notice at their next call, and the new file keeps its -wal."""
    others = [Database(path, ONE) for _ in range(3)]
    for each in others:
        say(each, "old")
    [moving, *staying] = others
    with pytest.raises(DamagedError), moving.read() as connection:
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorname = "SQLITE_CORRUPT"
        del connection
        raise error

    for each in staying:
        say(each, "new")
        each.close()
    assert said(moving) == ["new", "new"]
    moving.close()
    assert healthy(path)


@pytest.mark.parametrize("schema", ["of another program", "of ours"])
def test_the_database_of_something_else_is_left_alone(path: Path, schema: str) -> None:
    """Whatever is given as the path: it is told, and not touched."""
    path.parent.mkdir()
    if schema == "of ours":
        other = Database(path, Schema(name="other", application_id=7, migrations=ONE.migrations))
        say(other, "a")
        other.close()
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE users (name)")
    before = path.read_bytes()

    with pytest.raises(ForeignDatabaseError, match="give a path of its own for notes"):
        say(Database(path, ONE), "x")
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_plain_file_is_refused(path: Path, kind: str) -> None:
    """A link could lead anywhere."""
    path.parent.mkdir()
    if kind == "link":
        path.symlink_to("elsewhere.db")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)

    with pytest.raises(ForeignDatabaseError, match="give the path of a file"):
        say(Database(path, ONE), "x")


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


def test_a_newer_schema_is_read_and_not_written(path: Path) -> None:
    """By an older release, which says so."""
    with Database(path, TWO).write() as connection:
        connection.execute("INSERT INTO notes (said, author) VALUES ('a', 'y')")

    older = Database(path, ONE)
    assert said(older) == ["a"]
    with pytest.raises(NewerSchemaError, match="update otel-metrics to write it"):
        say(older, "b")
    assert said(older) == ["a"]


MIGRATING = """
import sys, time
from otel_metrics.sqlite import Database
from tests.otel_metrics.test_sqlite import ONE, TWO
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


def await_condition(holds: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_read_only_disk_is_read(tmp_path: Path) -> None:
    """Writing is refused with what is to be done, and works again when it can."""
    folder = tmp_path / "ro"
    folder.mkdir()
    first = Database(folder / "notes.db", ONE)
    say(first, "a")
    first.close()
    try:
        with read_only(folder) as thaw:
            database = Database(folder / "notes.db", ONE)
            assert said(database) == ["a"]
            with pytest.raises(DatabaseError, match="let this user write the file and its folder"):
                say(database, "b")
            database.close()
            thaw()
            say(database, "c")
            assert said(database) == ["a", "c"]
            database.close()
    except NotRunError as error:
        pytest.skip(str(error))


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


def test_its_folder_may_be_that_of_nobody(tmp_path: Path) -> None:
    """A folder that cannot be made is told as such."""
    (tmp_path / "file").touch()

    with pytest.raises(DatabaseError, match=r"file/notes\.db: "):
        say(Database(tmp_path / "file" / "notes.db", ONE), "x")


@pytest.mark.parametrize(
    "value", [2**63 - 1, -(2**63), 1.5, "", "é\u2028\U0001f600", b"\x00\xff", None]
)
def test_a_value_comes_back_as_it_was(path: Path, value: object) -> None:
    """What SQLite has a type for."""
    database = Database(path, ONE)
    say(database, value)

    assert said(database) == [value]
