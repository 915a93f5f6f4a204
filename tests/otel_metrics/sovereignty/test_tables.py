"""Rows enter once, in any order; windows are exact; a predecessor's file is taken over."""

import math
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.sovereignty import queries
from otel_metrics.sovereignty.kinds import EVENT_TYPES
from otel_metrics.sovereignty.rows import Event, Mark
from otel_metrics.sovereignty.tables import SCHEMA, insert
from otel_metrics.sqlite import Database, ForeignDatabaseError

T0 = 1_790_000_000.0


def event(
    number: int, timestamp: float, kind: str = "api_call", cost: float | None = None
) -> Event:
    """Make a row."""
    return Event("writer", number, timestamp, kind, None, "{}", cost)


def mark(number: int, timestamp: float, kind: str, game: str | None = None) -> Mark:
    """Make the start or the end of session s."""
    return Mark("writer", number, timestamp, "s", f"session_{kind}", game)


def sessions(marks: Sequence[Mark]) -> list[tuple[object, ...]]:
    """Return the sessions that such marks give."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(SCHEMA.migrations[0])
        for each in marks:
            insert(connection, [each])
        return connection.execute("SELECT * FROM sessions").fetchall()


def test_a_row_enters_once(tmp_path: Path) -> None:
    """However often it is given, and it counts once."""
    database = Database(tmp_path / "s.db", SCHEMA)
    for _ in range(3):
        with database.write() as connection:
            insert(connection, [event(1, T0, cost=0.5), event(2, T0), event(1, T0, cost=0.5)])

    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)
        assert connection.execute("SELECT events, cost_usd FROM events_by_minute").fetchall() == [
            (2, 0.5)
        ]


@given(
    times=st.lists(st.floats(T0 - 400, T0 + 400), max_size=60),
    window=st.floats(0.001, 700),
    now=st.floats(T0 - 100, T0 + 100),
)
def test_a_window_holds_what_happened_in_it(times: list[float], window: float, now: float) -> None:
    """Exactly, wherever its ends lie within their minutes, and both ends included."""
    dice = random.Random(len(times))
    rows = [
        event(number, timestamp, dice.choice(EVENT_TYPES), dice.choice([None, 0.25]))
        for number, timestamp in enumerate([*times, now, now - window], 1)
    ]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(SCHEMA.migrations[0])
        insert(connection, rows)
        found = queries.totals(connection, since=now - window, until=now)

    inside = [row for row in rows if now - window <= row.timestamp <= now]
    assert sum(found.events.values()) == len(inside)
    assert found.events == {
        kind: n for kind in EVENT_TYPES if (n := sum(row.event_type == kind for row in inside))
    }
    assert math.isclose(found.cost_usd, sum(row.cost_usd or 0 for row in inside), abs_tol=1e-9)


RUNS_AGAIN = [
    mark(1, 10, "started", "chess"),
    mark(2, 20, "ended"),
    mark(3, 30, "started", "go"),
    mark(4, 40, "ended"),
    mark(5, 50, "ended"),
]


@given(order=st.permutations(RUNS_AGAIN))
def test_a_session_is_the_same_in_whatever_order_its_marks_come(order: list[Mark]) -> None:
    """From several processes, or from an archive: the first start, the first end after the last."""
    assert sessions(order) == [("s", "chess", 10.0, 40.0)]


@pytest.mark.parametrize(
    ("marks", "session"),
    [
        ([mark(1, 10, "started", "chess")], ("s", "chess", 10.0, None)),
        ([mark(1, 20, "ended")], ("s", None, None, 20.0)),
        (RUNS_AGAIN[:2], ("s", "chess", 10.0, 20.0)),
        (RUNS_AGAIN[:3], ("s", "chess", 10.0, None)),
        ([RUNS_AGAIN[0], RUNS_AGAIN[1], mark(6, 25, "ended")], ("s", "chess", 10.0, 20.0)),
        ([RUNS_AGAIN[0], mark(6, 15, "started", "go")], ("s", "chess", 10.0, None)),
    ],
    ids=["runs", "only ended", "ended", "runs again", "ended twice", "started twice"],
)
def test_what_a_session_comes_to(marks: list[Mark], session: tuple[object, ...]) -> None:
    """Its row, after these marks."""
    assert sessions(marks) == [session]


def predecessor(path: Path, *, text: bool) -> None:
    """Make a file as an earlier program did: two tables, times as text or as numbers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(
            """
            CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp, event_type TEXT,
                session_id TEXT, metadata_json TEXT);
            CREATE INDEX by_time ON events (timestamp);
            CREATE TABLE sessions (session_id TEXT PRIMARY KEY, game TEXT, start_time, end_time);
            """
        )
        at: list[object] = ["2026-09-21T14:13:20.500Z"] if text else [1_790_000_000.5]
        connection.execute(
            "INSERT INTO events (timestamp, event_type, session_id, metadata_json)"
            " VALUES (?, 'api_cost', 'old', '{\"cost_usd\": 0.25, \"n\": 1}')",
            at,
        )
        connection.execute("INSERT INTO sessions VALUES ('old', 'chess', ?, NULL)", at)


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "text"])
def test_the_file_of_a_predecessor_is_taken_over(tmp_path: Path, text: bool) -> None:
    """Its rows count, its sessions go on, and a copy of it stays."""
    path = tmp_path / "s.db"
    predecessor(path, text=text)
    database = Database(path, SCHEMA)
    with database.write() as connection:
        insert(connection, [Mark("w", 1, 1_790_000_060.0, "old", "session_ended", None)])

    with database.read() as connection:
        row = connection.execute("SELECT timestamp, event_type, session_id, cost_usd FROM events")
        [(timestamp, *rest)] = row.fetchall()
        assert timestamp == pytest.approx(1_790_000_000.5, abs=0.001)
        assert rest == ["api_cost", "old", 0.25]
        [(_, game, start, end)] = connection.execute("SELECT * FROM sessions").fetchall()
        assert (game, end) == ("chess", 1_790_000_060.0)
        assert start == pytest.approx(1_790_000_000.5, abs=0.001)
        found = queries.totals(connection, since=timestamp - 1, until=timestamp + 1)
        assert (found.events, found.cost_usd) == ({"api_cost": 1}, 0.25)
    assert (tmp_path / "s.db.version-0").exists()


@pytest.mark.parametrize(
    ("metadata", "cost"),
    [
        ('{"cost_usd": 0.5}', 0.5),
        ('{"n": 1, "cost_usd":2}', 2.0),
        ('{"cost_usd": "0.5"}', 0.0),
        ('{"cost_usd": -3}', 0.0),
        ("{}", 0.0),
        ("no JSON", 0.0),
        (None, 0.0),
    ],
)
def test_what_another_program_inserts_counts(
    tmp_path: Path, metadata: str | None, cost: float
) -> None:
    """With the four columns that it knows, and its cost."""
    path = tmp_path / "s.db"
    database = Database(path, SCHEMA)
    with database.write():
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO events (timestamp, event_type, session_id, metadata_json)"
            " VALUES (?, 'api_cost', 's', ?)",
            (T0, metadata),
        )

    with database.read() as connection:
        found = queries.totals(connection, since=T0 - 3600, until=T0 + 3600)
        assert (found.events, found.cost_usd) == ({"api_cost": 1}, cost)


def test_what_another_program_deletes_counts_no_more(tmp_path: Path) -> None:
    """In whole minutes too."""
    database = Database(tmp_path / "s.db", SCHEMA)
    with database.write() as connection:
        insert(connection, [event(1, T0, cost=0.5), event(2, T0, cost=0.25)])
        connection.execute("DELETE FROM events WHERE number = 1")

    with database.read() as connection:
        found = queries.totals(connection, since=T0 - 3600, until=T0 + 3600)
        assert (found.events, found.cost_usd) == ({"api_call": 1}, 0.25)


def test_a_file_with_tables_of_others_is_left_alone(tmp_path: Path) -> None:
    """Even beside the two of a predecessor."""
    path = tmp_path / "s.db"
    predecessor(path, text=False)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE users (name)")

    with pytest.raises(ForeignDatabaseError), Database(path, SCHEMA).write():
        pass
