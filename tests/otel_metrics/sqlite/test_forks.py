"""Forks: no child has its parent's connection or locks, and both go on."""

import os
import threading
from pathlib import Path

import pytest

from otel_metrics.sqlite import (
    Database,
    DatabaseError,
    forks,
)
from tests.otel_metrics.sqlite.notes import (
    ONE,
    forked,
    healthy,
    said,
    say,
)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let forks wait for longer than a busy machine makes a transaction take."""
    monkeypatch.setattr(forks, "FORK_WAIT_S", 30.0)


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
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


@pytest.mark.usefixtures("patient")
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
