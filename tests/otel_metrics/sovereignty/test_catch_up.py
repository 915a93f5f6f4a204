"""The catching up: a store takes from an archive what it lacks, whatever is in its way."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from otel_metrics import sovereignty
from otel_metrics.archive.adding import adding
from otel_metrics.archive.feed import EventFeed, Fed
from otel_metrics.sovereignty import SovereigntyStore, catch_up
from otel_metrics.sovereignty.catch_up import CatchUp, Reached, UnreadableArchiveError
from otel_metrics.sovereignty.rows import EVENTS
from otel_metrics.sovereignty.tables import SCHEMA
from otel_metrics.sqlite import Database
from tests.otel_metrics.sovereignty.stores import archived, await_condition, configured, rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is to be."""
    return tmp_path / "data" / "s.db"


@pytest.fixture
def store(path: Path) -> Iterator[SovereigntyStore]:
    """A store of the test's own."""
    with SovereigntyStore(path) as made:
        yield made


def test_a_store_that_is_new_takes_what_the_archive_has(tmp_path: Path, path: Path) -> None:
    """Also what was recorded before there was one, of this service and no other."""
    for service in ("shop", "bank"):
        with adding(tmp_path / "archive", service=service):
            for _ in range(3):
                sovereignty.record("api_call", {"of": service})

    with configured(tmp_path, path):
        await_condition(lambda: len(rows(path)) == 3)
    assert {row[5] for row in rows(path)} == {'{"of": "shop"}'}


def test_what_was_read_of_the_archive_is_not_read_again(tmp_path: Path, path: Path) -> None:
    """A start reads what came since the last one; here a row that was deleted stays so."""
    with configured(tmp_path, path):
        sovereignty.record("api_call")
    with configured(tmp_path, path):
        await_condition(lambda: _places(path) > 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM events")

    with configured(tmp_path, path):
        sovereignty.record("api_cost")
    assert [row[3] for row in rows(path)] == ["api_cost"]


class Listed:
    """An archive of one segment, with these events, each at its line."""

    id = "listed"

    def __init__(self, *listed: tuple[dict[str, object], int]) -> None:
        self._listed = listed

    def events_after(self, reached: Reached) -> Iterator[Fed]:
        """Return those that are behind what was reached."""
        for line, (attributes, time_ns) in enumerate(self._listed, 1):
            if (1, line) > reached.get(("shop", "i"), (0, 0)):
                yield Fed("shop", "i", 1, line, "sovereignty.api_call", attributes, time_ns)


def deep() -> object:
    """Return data nested deeper than Python recurses."""
    nested: object = None
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    "unusable",
    [
        ({}, 10**400),
        ({}, 10**300),
        ({"session.id": "\ud800"}, 1),
        ({"metadata": {"n": "\ud800"}}, 1),
        ({"metadata": {"n": 10**5000}}, 1),
        ({"metadata": deep()}, 1),
    ],
    ids=["time", "later time", "session", "metadata", "digits", "depth"],
)
def test_an_archived_record_that_is_no_row_holds_up_no_other(
    store: SovereigntyStore,
    path: Path,
    unusable: tuple[dict[str, object], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is left out and counted, and one line says so."""
    store.follow(Listed(({}, 1), unusable, ({}, 3)))
    await_condition(lambda: bool(caplog.messages))

    assert {row[1] for row in rows(path)} == {1, 3}
    assert store.lost == {"unusable_in_archive": 1}
    assert [line for line in caplog.messages if "1 records of the archive" in line]
    assert store.trouble is None


def _places(path: Path) -> int:
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        return int(connection.execute("SELECT count(*) FROM archive_positions").fetchone()[0])


def test_an_archive_that_begins_after_the_store_is_found(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process that records nothing itself, such as one that only answers questions."""
    monkeypatch.setattr(catch_up, "ABSENT_WAIT_S", 0.02)
    asked: list[str] = []

    class Asked(EventFeed):
        @property
        def id(self) -> str:
            asked.append(super().id)
            return asked[-1]

    with adding(tmp_path / "elsewhere", service="shop"):
        sovereignty.record("api_call")
    with SovereigntyStore(path) as store:
        store.follow(Asked(path=str(tmp_path / "archive"), prefix=EVENTS))
        await_condition(lambda: len(asked) > 1)
        (tmp_path / "elsewhere").rename(tmp_path / "archive")  # whole, as it is caught up with once

        await_condition(lambda: rows(path) == archived(tmp_path / "archive"))
    assert set(asked[:2]) == {""}


class Breaking(Listed):
    """Breaks off behind the first event, as long as it is said to, and counts its readings."""

    broken = True
    readings = 0

    def events_after(self, reached: Reached) -> Iterator[Fed]:
        """Return as `Listed` does, or break off."""
        self.readings += 1
        for each in super().events_after(reached):
            if self.broken and each.line > 1:
                raise OSError(errno.EIO, "Input/output error")
            yield each


class Absent(Listed):
    """Is not there."""

    id = ""


THREE: Final[tuple[tuple[dict[str, object], int], ...]] = (({}, 1), ({}, 2), ({}, 3))


def test_a_reading_that_breaks_off_goes_on_where_it_was(
    store: SovereigntyStore,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Again and again until the archive can be read; what was read is kept meanwhile, and two
    lines tell of it."""
    monkeypatch.setattr(catch_up, "AGAIN_MOST_S", 0.02)
    archive = Breaking(*THREE)
    store.follow(archive)
    await_condition(lambda: archive.readings > 3)
    assert {row[1] for row in rows(path)} == {1}
    archive.broken = False

    await_condition(lambda: len(caplog.messages) > 1)
    assert {row[1] for row in rows(path)} == {1, 2, 3}
    assert caplog.messages == [
        "the archive cannot be read to its end: [Errno 5] Input/output error; it is tried again",
        "the archive can be read again",
    ]


@pytest.mark.slow
def test_an_archive_that_breaks_off_for_days_is_read_when_it_can_be(
    store: SovereigntyStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it was tried: a try a minute makes 1,440 a day."""
    monkeypatch.setattr(catch_up, "AGAIN_MOST_S", 0.0001)
    archive = Breaking(*THREE)
    store.follow(archive)
    await_condition(lambda: archive.readings > 1_440)
    archive.broken = False

    await_condition(lambda: {row[1] for row in rows(path)} == {1, 2, 3})
    assert store.trouble is None


def test_what_is_recorded_does_not_hurry_a_reading_that_breaks_off(
    store: SovereigntyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An archive that cannot be read is not asked for each row."""
    monkeypatch.setattr(catch_up, "AGAIN_LEAST_S", 3600.0)
    monkeypatch.setattr(catch_up, "AGAIN_MOST_S", 3600.0)
    archive = Breaking(*THREE)
    store.follow(archive)
    await_condition(lambda: bool(caplog.messages))
    for _ in range(200):
        store.record("api_call")

    assert store.flush(10)
    assert archive.readings == 1
    assert store.trouble is None


@pytest.mark.parametrize(
    ("archive", "error"),
    [
        (Breaking(*THREE), "cannot be read to its end: .* Input/output error"),
        (Absent(), "there is no archive yet"),
    ],
    ids=["broken", "absent"],
)
def test_who_wants_all_at_once_is_told_that_it_is_not_to_be_had(
    path: Path, archive: Listed, error: str
) -> None:
    """Such as a rebuild, which must end."""
    taking = CatchUp(Database(path, SCHEMA), archive)

    with pytest.raises(UnreadableArchiveError, match=error):
        taking.run()
