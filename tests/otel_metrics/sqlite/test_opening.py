"""Opening: what is of another kind is left alone, what may not be written is read."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from otel_metrics.sqlite import (
    Database,
    DatabaseError,
    ForeignDatabaseError,
    NewerSchemaError,
    Schema,
)
from tests.otel_metrics.sqlite.notes import (
    ONE,
    TWO,
    files,
    said,
    say,
)
from tests.torture.figures import NotRunError
from tests.torture.ledger import Ledger
from tests.torture.mounts import read_only
from tests.torture.tracing import injected, waiting


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 2, 3, 5, 8])
def test_a_file_that_cannot_be_read_is_not_taken_for_damaged(
    path: Path, component: Callable[[str], str], first: int
) -> None:
    """SQLite says the same of both; the error is told, and the file stays where it is."""
    component("strace")
    before = Database(path, ONE)
    say(before, *("x" * 500 for _ in range(50)))
    before.close()

    def read(_: Ledger) -> None:
        for _again in range(2):
            with pytest.raises(DatabaseError, match=r"Input/output error|disk I/O error"):
                said(Database(path, ONE))

    worker = waiting(read, Ledger())
    try:
        with injected(worker, f"pread64:error=EIO:when={first}+"):
            worker.ledger.go()
            assert worker.wait() == 0
    except NotRunError as error:
        pytest.skip(str(error))
    finally:
        worker.kill()

    assert files(path) <= {"notes.db", "notes.db-wal", "notes.db-shm"}
    assert said(Database(path, ONE)) == ["x" * 500] * 50


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


def test_a_newer_schema_is_read_and_not_written(path: Path) -> None:
    """By an older release, which says so."""
    with Database(path, TWO).write() as connection:
        connection.execute("INSERT INTO notes (said, author) VALUES ('a', 'y')")

    older = Database(path, ONE)
    assert said(older) == ["a"]
    with pytest.raises(NewerSchemaError, match="update otel-metrics to write it"):
        say(older, "b")
    assert said(older) == ["a"]


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
