"""The files of a database: whose they are, and what becomes of them when they are damaged."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from otel_metrics.sqlite import (
    SUFFIXES,
    DamagedError,
    Database,
    DatabaseError,
    ForeignDatabaseError,
)
from tests.otel_metrics.sqlite.notes import (
    ONE,
    files,
    healthy,
    said,
    say,
)


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


def test_its_folder_may_be_that_of_nobody(tmp_path: Path) -> None:
    """A folder that cannot be made is told as such."""
    (tmp_path / "file").touch()

    with pytest.raises(DatabaseError, match=r"file/notes\.db: "):
        say(Database(tmp_path / "file" / "notes.db", ONE), "x")
