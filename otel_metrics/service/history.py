"""Rows of `metrics_snapshots`: kept, announced, paged through, forgotten.

Each function inside a transaction; values are bound, and what is asked for by name stands here.
"""

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from otel_metrics.service.snapshots import BANDS, COUNTS, STATS, Snapshot, moment, of_snapshot

__all__ = [
    "PAGE_MAX",
    "Question",
    "announced",
    "forget_before",
    "is_closed",
    "keep",
    "open_from",
    "page",
    "unannounced",
]

PAGE_MAX: Final = 1_000
"""Snapshots of one page."""

_PLAIN: Final = (
    *("snapshot_id", "metric_id", "resource_scope", "resource_id", "window_start", "window_end"),
    *("aggregation", "value", "latest_band", "created_at"),
)
_COLUMNS: Final = (*_PLAIN, *STATS, *BANDS, *COUNTS, "derived_actions")
_NAMES: Final = ", ".join(_COLUMNS)
_KEEP: Final = """
INSERT INTO metrics_snapshots (NAMES) VALUES (VALUES)
""".replace("NAMES", _NAMES).replace("(VALUES)", f"(:{', :'.join(_COLUMNS)})")
_IS_CLOSED: Final = "SELECT 1 FROM metrics_snapshots WHERE snapshot_id = ?"
_CLOSED_UNTIL: Final = """
SELECT max(window_end) FROM metrics_snapshots
WHERE metric_id = ? AND resource_id = ? AND window_end > ?
"""
_SELECT: Final = "SELECT NAMES FROM metrics_snapshots".replace("NAMES", _NAMES)
_UNANNOUNCED: Final = "WHERE announced = 0 ORDER BY window_end LIMIT :most"
_NEWEST_FIRST: Final = "ORDER BY window_end DESC, snapshot_id DESC LIMIT :most"
_ANNOUNCED: Final = "UPDATE metrics_snapshots SET announced = 1 WHERE snapshot_id = ?"
_FORGET: Final = """
DELETE FROM metrics_snapshots WHERE snapshot_id IN (
    SELECT snapshot_id FROM metrics_snapshots WHERE window_end < ? ORDER BY window_end LIMIT ?
)
"""
_CONDITIONS: Final = {
    "metric": "metric_id = :metric",
    "resource": "resource_id = :resource",
    "since": "window_end >= :since",
    "until": "window_end <= :until",
}
_AFTER: Final = "(window_end, snapshot_id) < (:after_end, :after_id)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which snapshots are asked for; what is None matches all.

    Attributes:
        metric, resource: their ids.
        since, until: times between which a window ended, both included, Unix seconds.
        after: the `window_end` and `snapshot_id` of the last one of the page before.
        limit: at most so many, 1 to `PAGE_MAX`.
    """

    metric: str | None = None
    resource: str | None = None
    since: float | None = None
    until: float | None = None
    after: tuple[str, str] | None = None
    limit: int = 100


def keep(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    """Keep the snapshot of a window that has none."""
    connection.execute(_KEEP, _row(of_snapshot(snapshot)))


def is_closed(connection: sqlite3.Connection, snapshot_id: str) -> bool:
    """Tell whether a window has its snapshot."""
    return connection.execute(_IS_CLOSED, (snapshot_id,)).fetchone() is not None


def open_from(connection: sqlite3.Connection, metric: str, resource_id: str, at: float) -> float:
    """Return `at`, or the end of the newest window that is closed, whichever is later."""
    asked = (metric, resource_id, moment(max(0.0, at)))
    (end,) = connection.execute(_CLOSED_UNTIL, asked).fetchone()
    return at if end is None else max(at, datetime.fromisoformat(end).timestamp())


def unannounced(connection: sqlite3.Connection, most: int) -> list[dict[str, object]]:
    """Return records of snapshots whose event was not emitted, the oldest first."""
    return _records(connection, [_UNANNOUNCED], {"most": most})


def announced(connection: sqlite3.Connection, snapshot_id: object) -> None:
    """Note that the event of a snapshot was emitted."""
    connection.execute(_ANNOUNCED, (snapshot_id,))


def page(connection: sqlite3.Connection, question: Question) -> list[dict[str, object]]:
    """Return records of snapshots, the newest first."""
    asked: dict[str, object] = {
        "metric": question.metric,
        "resource": question.resource,
        "since": None if question.since is None else moment(math.ceil(question.since)),
        "until": None if question.until is None else moment(question.until),
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    conditions = [_CONDITIONS[name] for name in asked]
    if question.after is not None:
        conditions.append(_AFTER)
        asked["after_end"], asked["after_id"] = question.after
    where = [f"WHERE {' AND '.join(conditions)}"] if conditions else []
    asked["most"] = max(1, min(question.limit, PAGE_MAX))
    return _records(connection, [*where, _NEWEST_FIRST], asked)


def forget_before(connection: sqlite3.Connection, at: float, most: int) -> int:
    """Remove snapshots of windows that ended before that, the oldest first, and say how many."""
    return connection.execute(_FORGET, (moment(max(0.0, at)), most)).rowcount


def _records(
    connection: sqlite3.Connection, clauses: Sequence[str], asked: Mapping[str, object]
) -> list[dict[str, object]]:
    return [_record(row) for row in connection.execute(" ".join([_SELECT, *clauses]), asked)]


def _row(record: Mapping[str, object]) -> dict[str, object]:
    row = {name: record[name] for name in (*_PLAIN, *COUNTS)}
    for group in ("stats", "bands"):
        figures = record[group]
        assert isinstance(figures, Mapping)
        row |= figures
    row["derived_actions"] = json.dumps(record["derived_actions"], ensure_ascii=False)
    return row


def _record(row: Sequence[object]) -> dict[str, object]:
    """Return a row as the record that it was."""
    found = dict(zip(_COLUMNS, row, strict=True))
    record = {name: found[name] for name in _PLAIN}
    return {
        **record,
        "stats": {name: found[name] for name in STATS},
        "bands": {name: found[name] for name in BANDS},
        **{name: found[name] for name in COUNTS},
        "derived_actions": json.loads(str(found["derived_actions"])),
    }
