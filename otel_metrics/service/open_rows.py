"""Rows of windows that are open, and the newest values. Each function inside a transaction."""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from otel_metrics.service.samples import BandName, Recommendation, Resource
from otel_metrics.service.snapshots import Action, Latest, Over, action_of
from otel_metrics.service.windows import Entry, Observation, Window

__all__ = [
    "actions_of",
    "add",
    "bands_in",
    "be_late",
    "count",
    "entries_of",
    "forget_silent",
    "knows",
    "latest",
    "over",
    "recommend",
    "remove",
]

ENTRIES_MAX: Final = 100_000
"""Entries of one window that its figures are made of: one a second for more than a day."""

_ADD: Final = "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SET_LATEST: Final = """
INSERT INTO latest VALUES (?, ?, ?, ?, ?, ?, NULL, NULL) ON CONFLICT DO UPDATE SET
    resource_scope = excluded.resource_scope, value = excluded.value, band = excluded.band,
    observed_at = excluded.observed_at, missing_since = NULL, missing_reason = NULL
"""
_SET_MISSING: Final = """
INSERT INTO latest VALUES (?, ?, ?, NULL, NULL, NULL, ?, ?) ON CONFLICT DO UPDATE SET
    missing_since = coalesce(missing_since, excluded.missing_since),
    missing_reason = excluded.missing_reason
"""
_HIDE: Final = """
UPDATE latest SET missing_since = coalesce(missing_since, :at), missing_reason = :reason
WHERE metric_id = :metric AND observed_at <= :at
"""
_LATEST: Final = """
SELECT metric_id, resource_scope, resource_id, value, band, observed_at, missing_since,
    missing_reason
FROM latest ORDER BY metric_id, resource_id LIMIT ?
"""
_KNOWS: Final = """
SELECT 1 FROM latest
WHERE resource_scope = ? AND resource_id = ? AND observed_at IS NOT NULL LIMIT 1
"""
_BANDS: Final = """
SELECT band, count(*) FROM samples
WHERE metric_id = ? AND resource_id = ? AND at >= ? AND at < ? AND kind = 'sample'
GROUP BY band
"""
_RECOMMEND: Final = "INSERT INTO recommendations VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_OVER: Final = """
SELECT metric_id, resource_id, CAST(at AS INTEGER) / :length * :length
FROM samples WHERE at < :before OR at > :beyond GROUP BY 1, 2, 3 ORDER BY 3, 1, 2 LIMIT :most
"""
_ENTRIES: Final = """
SELECT at, kind, value, band, sampler, resource_scope FROM samples
WHERE metric_id = ? AND resource_id = ? AND at >= ? AND at < ? ORDER BY at, rowid LIMIT ?
"""
_ACTIONS: Final = """
SELECT action FROM recommendations
WHERE metric_id = ? AND resource_id = ? AND at >= ? AND at < ? ORDER BY at
"""
_REMOVE: Final = (
    "DELETE FROM samples WHERE metric_id = ? AND resource_id = ? AND at >= ? AND at < ?",
    "DELETE FROM recommendations WHERE metric_id = ? AND resource_id = ? AND at >= ? AND at < ?",
)
_BE_LATE: Final = (
    """
UPDATE samples SET at = ?, kind = 'late', value = NULL, band = NULL
WHERE metric_id = ? AND resource_id = ? AND at >= ? AND at < ?
""",
    """
UPDATE recommendations SET at = ?
WHERE metric_id = ? AND resource_id = ? AND at >= ? AND at < ?
""",
)
_COUNT: Final = "SELECT count(*) FROM samples"
_FORGET: Final = (
    "DELETE FROM latest WHERE max(coalesce(observed_at, 0), coalesce(missing_since, 0)) < ?",
    "DELETE FROM recommendations WHERE at < ?",
)


def add(connection: sqlite3.Connection, seen: Observation) -> None:
    """Let an observation count in its window, and be the newest of its metric and resource."""
    series = seen.metric, seen.resource.id, seen.resource.scope
    entry = seen.entry
    connection.execute(_ADD, (*series, *entry))
    if entry.kind == "sample":
        connection.execute(_SET_LATEST, (*series, entry.value, entry.band, entry.at))
    elif entry.kind != "late":
        connection.execute(_SET_MISSING, (*series, entry.at, seen.reason))
        if seen.hides_others:
            asked = {"at": entry.at, "reason": seen.reason, "metric": seen.metric}
            connection.execute(_HIDE, asked)


def latest(connection: sqlite3.Connection, most: int) -> list[Latest]:
    """Return what is known last of each metric and resource, at most so many."""
    return [_latest(row) for row in connection.execute(_LATEST, (most,))]


def knows(connection: sqlite3.Connection, resource: Resource) -> bool:
    """Tell whether there is a newest value of a resource, whether it holds or not."""
    asked = (resource.scope, resource.id)
    return connection.execute(_KNOWS, asked).fetchone() is not None


def bands_in(
    connection: sqlite3.Connection, metric: str, resource_id: str, window: Window
) -> Counter[BandName | None]:
    """Return how many samples of a window lie in each band."""
    found = connection.execute(_BANDS, (metric, resource_id, window.start, window.end))
    return Counter(dict(found.fetchall()))


def recommend(connection: sqlite3.Connection, recommendation: Recommendation) -> None:
    """Keep what is to be a derived action of a snapshot."""
    series = recommendation.metric, recommendation.resource.id, recommendation.observed_at
    action = json.dumps(action_of(recommendation), ensure_ascii=False)
    connection.execute(_RECOMMEND, (recommendation.id, *series, action))


def over(
    connection: sqlite3.Connection, *, before: int, beyond: float, length_s: int, most: int
) -> list[Over]:
    """Return windows that ended by `before`, the oldest first, at most so many.

    Those `beyond` a time are over, too: a clock that was set back again has left them.
    """
    asked = {"before": before, "beyond": beyond, "length": length_s, "most": most}
    return [
        Over(metric, resource_id, Window(start, start + length_s))
        for metric, resource_id, start in connection.execute(_OVER, asked)
    ]


def entries_of(connection: sqlite3.Connection, of: Over) -> tuple[Resource, Sequence[Entry]]:
    """Return what counts in a window, in the order of time, and of which resource it is."""
    rows = connection.execute(_ENTRIES, (*_span(of), ENTRIES_MAX)).fetchall()
    return Resource(rows[-1][-1], of.resource_id), [Entry(*row[:-1]) for row in rows]


def actions_of(connection: sqlite3.Connection, of: Over) -> list[Action]:
    """Return what was recommended in a window."""
    return [json.loads(action) for (action,) in connection.execute(_ACTIONS, _span(of))]


def remove(connection: sqlite3.Connection, of: Over) -> None:
    """Remove the rows of a window."""
    for statement in _REMOVE:
        connection.execute(statement, _span(of))


def be_late(connection: sqlite3.Connection, of: Over, at: float) -> None:
    """Let the rows of a window count as late in that of a time, with what was recommended."""
    for statement in _BE_LATE:
        connection.execute(statement, (at, *_span(of)))


def count(connection: sqlite3.Connection) -> int:
    """Return how much counts in all windows that are open."""
    return int(connection.execute(_COUNT).fetchone()[0])


def forget_silent(connection: sqlite3.Connection, at: float) -> None:
    """Remove the newest values of what gave none since then, and recommendations of windows that
    were closed before these were kept."""
    for statement in _FORGET:
        connection.execute(statement, (at,))


def _latest(row: tuple[Any, ...]) -> Latest:
    metric, scope, resource_id, value, band, observed_at, missing_since, reason = row
    return Latest(
        metric=metric,
        resource=Resource(scope, resource_id),
        value=value,
        band=band,
        observed_at=observed_at,
        missing_since=missing_since,
        missing_reason=reason,
    )


def _span(of: Over) -> tuple[str, str, int, int]:
    return of.metric, of.resource_id, of.window.start, of.window.end
