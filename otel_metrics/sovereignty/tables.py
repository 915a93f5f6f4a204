"""The tables of the store, and how rows enter them: each once, in whatever order they come."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from otel_metrics.sovereignty.rows import ENDED, STARTED, Event, Mark
from otel_metrics.sqlite import Schema

__all__ = ["SCHEMA", "adopt", "insert"]

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS events (timestamp, event_type, session_id, metadata_json);
CREATE TABLE IF NOT EXISTS sessions (session_id, game, start_time, end_time);
ALTER TABLE events RENAME TO earlier_events;
ALTER TABLE sessions RENAME TO earlier_sessions;

CREATE TABLE writers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE events (
    timestamp REAL NOT NULL,      -- Unix seconds
    event_type TEXT NOT NULL,
    session_id TEXT,
    metadata_json TEXT,
    cost_usd REAL,
    writer INTEGER,               -- with number, the identity; absent in rows of other programs
    number INTEGER
);
CREATE UNIQUE INDEX events_identity ON events (writer, number);
CREATE INDEX events_by_time ON events (timestamp, event_type, cost_usd);
CREATE INDEX events_crystallized ON events (session_id) WHERE event_type = 'skill_crystallized';

CREATE TABLE events_by_minute (
    event_type TEXT NOT NULL,
    minute INTEGER NOT NULL,      -- Unix minutes
    events INTEGER NOT NULL,
    cost_usd REAL NOT NULL,
    PRIMARY KEY (event_type, minute)
) WITHOUT ROWID;

CREATE TRIGGER events_counted AFTER INSERT ON events WHEN NEW.writer IS NOT NULL BEGIN
    INSERT INTO events_by_minute
    VALUES (NEW.event_type, CAST(NEW.timestamp / 60 AS INTEGER), 1, coalesce(NEW.cost_usd, 0))
    ON CONFLICT DO UPDATE SET events = events + 1, cost_usd = cost_usd + excluded.cost_usd;
END;

CREATE TRIGGER events_of_others_counted AFTER INSERT ON events WHEN NEW.writer IS NULL BEGIN
    -- Not by SQLite's JSON functions, which a trigger must not call where the file is not trusted.
    UPDATE events SET cost_usd = max(0.0, CAST(substr(
        metadata_json, instr(metadata_json, '"cost_usd":') + length('"cost_usd":')) AS REAL))
    WHERE rowid = NEW.rowid AND cost_usd IS NULL AND instr(metadata_json, '"cost_usd":');
    INSERT INTO events_by_minute
    SELECT event_type, CAST(timestamp / 60 AS INTEGER), 1, coalesce(cost_usd, 0)
    FROM events WHERE rowid = NEW.rowid
    ON CONFLICT DO UPDATE SET events = events + 1, cost_usd = cost_usd + excluded.cost_usd;
END;

CREATE TRIGGER events_forgotten AFTER DELETE ON events BEGIN
    UPDATE events_by_minute
    SET events = events - 1, cost_usd = cost_usd - coalesce(OLD.cost_usd, 0)
    WHERE minute = CAST(OLD.timestamp / 60 AS INTEGER) AND event_type = OLD.event_type;
END;

CREATE TABLE sessions (
    session_id TEXT NOT NULL PRIMARY KEY,
    game TEXT,
    start_time REAL,              -- Unix seconds
    end_time REAL                 -- absent while the session runs
);

CREATE TABLE session_marks (
    session_id TEXT NOT NULL,
    timestamp REAL NOT NULL,
    kind TEXT NOT NULL,           -- session_started or session_ended
    game TEXT,
    writer INTEGER,
    number INTEGER
);
CREATE UNIQUE INDEX session_marks_identity ON session_marks (writer, number);
CREATE INDEX session_marks_of_session ON session_marks (session_id, timestamp);

CREATE TABLE archive_positions (  -- all before them is here
    archive TEXT NOT NULL,
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    line INTEGER NOT NULL,
    PRIMARY KEY (archive, service, instance)
) WITHOUT ROWID;

CREATE TABLE archive_reader (     -- the one process that takes from an archive what is missing
    archive TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;

INSERT INTO events (timestamp, event_type, session_id, metadata_json)
SELECT coalesce(
    CASE WHEN typeof(timestamp) IN ('real', 'integer') THEN timestamp
    ELSE (julianday(timestamp) - 2440587.5) * 86400.0 END, 0.0),
    coalesce(event_type, ''), session_id, metadata_json
FROM earlier_events ORDER BY rowid;

INSERT INTO session_marks (session_id, timestamp, kind, game)
SELECT session_id,
    CASE WHEN typeof(start_time) IN ('real', 'integer') THEN start_time
    ELSE (julianday(start_time) - 2440587.5) * 86400.0 END, 'session_started', game
FROM earlier_sessions WHERE session_id IS NOT NULL AND start_time IS NOT NULL;

INSERT INTO session_marks (session_id, timestamp, kind)
SELECT session_id,
    CASE WHEN typeof(end_time) IN ('real', 'integer') THEN end_time
    ELSE (julianday(end_time) - 2440587.5) * 86400.0 END, 'session_ended'
FROM earlier_sessions WHERE session_id IS NOT NULL AND end_time IS NOT NULL;

INSERT OR IGNORE INTO sessions (session_id, game, start_time, end_time)
SELECT session_id, max(game),
    min(CASE kind WHEN 'session_started' THEN timestamp END),
    max(CASE kind WHEN 'session_ended' THEN timestamp END)
FROM session_marks GROUP BY session_id;

DROP TABLE earlier_events;
DROP TABLE earlier_sessions;
"""

SCHEMA: Final = Schema(
    name="sovereignty",
    application_id=0x6F6D5356,
    migrations=(_TABLES,),
    adopts=("events", "sessions"),
)
"""`events` and `sessions` are for everybody; the other tables serve them.

The first migration takes over a file that holds these two alone, with times as numbers or as text.
Its rows have no identity, since no archive has them. An insert by another program is counted, too.
"""

_ADD_WRITER: Final = "INSERT INTO writers (name) VALUES (?) ON CONFLICT DO NOTHING"
_FIND_WRITER: Final = "SELECT id FROM writers WHERE name = ?"
# Not `INSERT OR IGNORE`: its rule would also hold for what the triggers insert.
_ADD_EVENT: Final = """
INSERT INTO events
    (writer, number, timestamp, event_type, session_id, metadata_json, cost_usd)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_ADD_MARK: Final = """
INSERT INTO session_marks (writer, number, timestamp, session_id, kind, game)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_FIND_MARKS: Final = """
SELECT timestamp, kind, game FROM session_marks WHERE session_id = ? ORDER BY timestamp, kind DESC
"""
_SET_SESSION: Final = """
INSERT INTO sessions (session_id, game, start_time, end_time) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    game = coalesce(excluded.game, game),
    start_time = coalesce(excluded.start_time, start_time),
    end_time = excluded.end_time
"""
_ADOPTED_EVENTS: Final = """
SELECT timestamp, event_type, session_id, metadata_json, cost_usd FROM events WHERE writer IS NULL
ORDER BY rowid
"""
_ADOPT_EVENT: Final = """
INSERT INTO events (timestamp, event_type, session_id, metadata_json, cost_usd)
VALUES (?, ?, ?, ?, ?)
"""
_ADOPTED_MARKS: Final = """
SELECT session_id, timestamp, kind, game FROM session_marks WHERE writer IS NULL
"""
_ADOPT_MARK: Final = """
INSERT INTO session_marks (session_id, timestamp, kind, game) VALUES (?, ?, ?, ?)
"""
_ADOPTED_SESSIONS: Final = """
SELECT session_id, game, start_time, end_time FROM sessions
WHERE session_id NOT IN (SELECT session_id FROM session_marks)
"""
_ADOPT_SESSION: Final = """
INSERT INTO sessions (session_id, game, start_time, end_time) VALUES (?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""


def insert(connection: sqlite3.Connection, rows: Iterable[Event | Mark]) -> None:
    """Keep rows that are not there yet. Inside a transaction."""
    writers: dict[str, int] = {}
    events: list[Sequence[object]] = []
    touched: dict[str, None] = {}
    for row in rows:
        writer = writers.get(row.writer)
        if writer is None:
            connection.execute(_ADD_WRITER, (row.writer,))
            (writer,) = connection.execute(_FIND_WRITER, (row.writer,)).fetchone()
            writers[row.writer] = writer
        if isinstance(row, Event):
            events.append((writer, *row[1:]))
        else:
            connection.execute(_ADD_MARK, (writer, *row[1:]))
            touched[row.session_id] = None
    connection.executemany(_ADD_EVENT, events)
    _set_sessions(connection, touched)


def adopt(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Copy the rows of other programs, which have no identity. Each inside a transaction."""
    target.executemany(_ADOPT_EVENT, source.execute(_ADOPTED_EVENTS))
    marks = source.execute(_ADOPTED_MARKS).fetchall()
    target.executemany(_ADOPT_MARK, marks)
    target.executemany(_ADOPT_SESSION, source.execute(_ADOPTED_SESSIONS))
    _set_sessions(target, dict.fromkeys(session_id for session_id, *_ in marks))


def _set_sessions(connection: sqlite3.Connection, session_ids: Iterable[str]) -> None:
    for session_id in session_ids:
        marks = connection.execute(_FIND_MARKS, (session_id,)).fetchall()
        connection.execute(_SET_SESSION, (session_id, *_session(marks)))


def _session(
    marks: Sequence[tuple[float, str, str | None]],
) -> tuple[str | None, float | None, float | None]:
    """Return game, start and end of a session from its marks in order of time.

    The first start holds; a session that is started again runs again; of several ends the first
    after the last start holds.
    """
    game = start = end = None
    for timestamp, kind, named in marks:
        if kind == STARTED:
            start = timestamp if start is None else start
            game = game if named is None or game is not None else named
            end = None
        elif kind == ENDED and end is None:
            end = timestamp
    return game, start, end
