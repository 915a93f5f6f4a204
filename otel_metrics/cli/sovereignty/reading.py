"""Where `sovereignty report` has its events from: an archive, or a database of sovereignty.

The database is read only, by its columns `events(timestamp, event_type, session_id,
metadata_json)` and `sessions(session_id, game, start_time, end_time)`, so that any store with them
can be read, whoever wrote it.
"""

import contextlib
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from otel_exporter_ndjson import NdjsonError, Record
from otel_exporter_ndjson.values import decode_value
from otel_metrics.errors import OtelMetricsError
from otel_metrics.sovereignty import EVENT_TYPES
from otel_metrics.sovereignty.report import Event
from otel_metrics.sovereignty.rows import ENDED, EVENTS, STARTED

__all__ = [
    "Mark",
    "NoDatabaseError",
    "UnreadableError",
    "events_of_database",
    "events_of_records",
    "sessions_of_database",
]

MARKS_MAX: Final = 200_000
BUSY_WAIT_S: Final = 5.0
YEAR_10000_S: Final = 253_402_300_800
"""Times from then on have no name; they are damage."""
_NS: Final = 10**9
_HEADER: Final = b"SQLite format 3\x00"
_REMEDY: Final = "give the database that a service writes"


class UnreadableError(OtelMetricsError):
    """A database cannot be read; the message says why."""


class NoDatabaseError(UnreadableError):
    """What was named is not there, or is no database of sovereignty."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The start or the end of a session."""

    session_id: str
    started_s: float | None = None
    ended_s: float | None = None
    game: str | None = None


def events_of_records(records: Iterable[Record], marks: list[Mark]) -> Iterator[Event]:
    """Return the sovereignty events among the records of an archive.

    Args:
        marks: a list to which the starts and ends of sessions are added, `MARKS_MAX` of them.
    """
    for record in records:
        name = record.data.get("event")
        if not isinstance(name, str) or not name.startswith(EVENTS):
            continue
        kind = name.removeprefix(EVENTS)
        time_s = _time_s(record)
        if time_s is None:
            continue
        attributes = record.data.get("attributes")
        attributes = attributes if isinstance(attributes, Mapping) else {}
        session_id = _text(attributes.get("session.id"))
        if kind in (STARTED, ENDED):
            if session_id is not None and len(marks) < MARKS_MAX:
                marks.append(_mark(kind, session_id, time_s, attributes))
            continue
        if kind not in EVENT_TYPES:
            continue
        yield Event(
            time_s,
            kind,
            session_id,
            _decoded(attributes.get("metadata")),
            _number(attributes.get("sovereignty.cost_usd")),
        )


def events_of_database(
    path: str, *, since: int | None = None, until: int | None = None
) -> Iterator[Event]:
    """Return the events of a database; the times are nanoseconds since 1970.

    Raises:
        NoDatabaseError: it is none, or not there.
        UnreadableError: it cannot be read.
    """
    conditions, bounds = ["event_type IS NOT NULL"], []
    for bound, sign in ((since, ">="), (until, "<")):
        if bound is not None:
            conditions.append(f"timestamp {sign} ?")
            bounds.append(bound / _NS)
    sql = "SELECT timestamp, event_type, session_id, metadata_json FROM events WHERE "
    with _opened(path) as connection:
        for time_s, kind, session_id, metadata in connection.execute(
            sql + " AND ".join(conditions), bounds
        ):
            if kind in EVENT_TYPES and _is_time(time_s):
                yield Event(float(time_s), kind, _text(session_id), _parsed(metadata))


def sessions_of_database(path: str) -> Iterator[Mark]:
    """Return what a database says of its sessions.

    Raises:
        UnreadableError: it cannot be read.
    """
    with _opened(path) as connection:
        rows = connection.execute("SELECT session_id, game, start_time, end_time FROM sessions")
        for session_id, game, started_s, ended_s in rows:
            if isinstance(session_id, str):
                yield Mark(session_id, _moment(started_s), _moment(ended_s), _text(game))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[sqlite3.Connection]:
    _check(path)
    connection = None
    try:
        connection = sqlite3.connect(
            f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True, timeout=BUSY_WAIT_S
        )
        connection.execute("PRAGMA trusted_schema = OFF")
        yield connection
    except sqlite3.Error as error:
        if "no such" in str(error):  # table or column
            raise NoDatabaseError(f"is no database of sovereignty: {error}; {_REMEDY}") from error
        raise UnreadableError(f"cannot be read: {error}") from error
    finally:
        if connection is not None:
            connection.close()


def _check(path: str) -> None:
    try:
        with open(path, "rb") as file:
            beginning = file.read(len(_HEADER))
    except OSError as error:
        raise NoDatabaseError(f"{error.strerror}; {_REMEDY}") from error
    if beginning not in (b"", _HEADER):
        raise NoDatabaseError(f"is no SQLite database; {_REMEDY}")


def _mark(kind: str, session_id: str, time_s: float, attributes: Mapping[str, Any]) -> Mark:
    if kind == ENDED:
        return Mark(session_id, ended_s=time_s)
    return Mark(session_id, started_s=time_s, game=_text(attributes.get("sovereignty.game")))


def _time_s(record: Record) -> float | None:
    try:
        time_ns = record.time_ns
    except ValueError:
        return None
    return None if time_ns is None else time_ns / _NS


def _decoded(metadata: object) -> Mapping[str, object]:
    try:
        return _mapping(decode_value(metadata))
    except (ValueError, NdjsonError):
        return {}


def _parsed(metadata: object) -> Mapping[str, object]:
    if not isinstance(metadata, str):
        return {}
    try:
        return _mapping(json.loads(metadata))
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_time(value: object) -> bool:
    seconds = _number(value)
    return seconds is not None and 0 <= seconds < YEAR_10000_S


def _moment(value: object) -> float | None:
    return _number(value) if _is_time(value) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
