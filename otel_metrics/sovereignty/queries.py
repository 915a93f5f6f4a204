"""The questions that a store answers, as SQL over a window of time.

Whole minutes come from `events_by_minute`, the rest of a window from the index on times: so an hour
takes as long to ask for whether it holds a thousand events or millions.
"""

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypedDict

from otel_metrics import values
from otel_metrics.sovereignty.kinds import EVENT_TYPES, LAYERS, PLACES

__all__ = [
    "LayerShare",
    "Snapshot",
    "Totals",
    "count_crystallized",
    "seconds",
    "snapshot",
    "totals",
]

MINUTE_S: Final = 60
COUNTED_S_MAX: Final = 2 * MINUTE_S
"""In a shorter window every event is counted by itself."""
HOUR_S: Final = 3600.0
WINDOW_S_MIN: Final = 1e-6
"""The shortest window, as of a timedelta: in a shorter one a cost per hour may be infinite."""
WINDOW_S_MAX: Final = 1e14
"""The longest window, longer than any timedelta; SQLite has no minutes of much longer ones."""

_KNOWN: Final = ", ".join(f"'{kind}'" for kind in EVENT_TYPES)
_WITH_WHOLE_MINUTES: Final = """
SELECT event_type, sum(events), sum(cost_usd) FROM (
    SELECT event_type, events, cost_usd FROM events_by_minute
    WHERE event_type IN (KNOWN) AND minute BETWEEN :whole AND :last
    UNION ALL
    SELECT event_type, :sign * count(*), :sign * total(cost_usd)
    FROM events INDEXED BY events_by_time
    WHERE timestamp >= :first AND timestamp < :second GROUP BY event_type
    UNION ALL
    SELECT event_type, -count(*), -total(cost_usd) FROM events INDEXED BY events_by_time
    WHERE timestamp > :until AND timestamp < (:last + 1) * 60 GROUP BY event_type
) WHERE event_type IN (KNOWN) GROUP BY event_type
""".replace("KNOWN", _KNOWN)
_ONE_BY_ONE: Final = """
SELECT event_type, count(*), total(cost_usd) FROM events INDEXED BY events_by_time
WHERE timestamp >= :since AND timestamp <= :until AND event_type IN (KNOWN) GROUP BY event_type
""".replace("KNOWN", _KNOWN)
_CRYSTALLIZED: Final = """
SELECT coalesce(sum(events), 0) FROM events_by_minute WHERE event_type = 'skill_crystallized'
"""
_CRYSTALLIZED_IN: Final = """
SELECT count(*) FROM events INDEXED BY events_crystallized
WHERE event_type = 'skill_crystallized' AND session_id = ?
"""


class LayerShare(TypedDict):
    """How much of a layer's work was done without a model.

    `sovereignty_pct` is 0.0 where nothing was done: `has_data` tells.
    """

    sovereignty_pct: float
    has_data: bool
    sovereign: int
    model: int


class Snapshot(TypedDict):
    """What a store says at one moment: plain data, ready for JSON.

    `timestamp` is in Unix seconds. `skills_crystallized` counts all sessions, and all time.
    """

    timestamp: float
    time_window_s: float
    has_data: bool
    layers: dict[str, LayerShare]
    cost_per_hour: float
    skills_crystallized: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Events of a window by type, and what they cost together, in USD."""

    events: Mapping[str, int]
    cost_usd: float

    def share(self, layer: str) -> LayerShare:
        """Return the share of a layer."""
        sovereign = self._of(layer, "sovereign")
        model = self._of(layer, "model")
        both = sovereign + model
        return {
            "sovereignty_pct": 100.0 * sovereign / both if both else 0.0,
            "has_data": both > 0,
            "sovereign": sovereign,
            "model": model,
        }

    def _of(self, layer: str, path: str) -> int:
        return sum(self.events.get(kind, 0) for kind, at in PLACES.items() if at == (layer, path))


def seconds(time_window: timedelta | float) -> float:
    """Return a window in seconds.

    Raises:
        ValueError: it is no length of time, or none from `WINDOW_S_MIN` to `WINDOW_S_MAX`.
    """
    given: object = time_window
    shown = values.label(given)  # plain, whatever it was
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(f"time_window={shown}: is no time; give a timedelta or seconds")
    if not given > 0:
        raise ValueError(f"time_window={shown}: is not above 0; give a timedelta or seconds")
    if not WINDOW_S_MIN <= given <= WINDOW_S_MAX:
        accepted = f"{WINDOW_S_MIN:g} to {WINDOW_S_MAX:g} seconds"
        raise ValueError(f"time_window={shown}: is out of range; give {accepted}")
    return float(given)


def totals(connection: sqlite3.Connection, *, since: float, until: float) -> Totals:
    """Return what happened from `since` to `until`, in Unix seconds, both included."""
    if until - since < COUNTED_S_MAX:
        rows = connection.execute(_ONE_BY_ONE, {"since": since, "until": until}).fetchall()
    else:
        rows = connection.execute(_WITH_WHOLE_MINUTES, _pieces(since, until)).fetchall()
    found = {kind: events for kind, events, _ in rows if events}
    return Totals(found, math.fsum(cost for _, _, cost in rows))


def _pieces(since: float, until: float) -> dict[str, float]:
    """Return whole minutes, and what is to be added to them and taken from them.

    Of the first minute the shorter part is counted. Of the last the rest: it is still to come.
    """
    minute = math.floor(since / MINUTE_S)
    start, end = minute * MINUTE_S, (minute + 1) * MINUTE_S
    last = math.floor(until / MINUTE_S)
    pieces: dict[str, float] = {"last": last, "until": until}
    if since - start < end - since:
        return pieces | {"whole": minute, "sign": -1, "first": start, "second": since}
    return pieces | {"whole": minute + 1, "sign": 1, "first": since, "second": end}


def count_crystallized(connection: sqlite3.Connection, session_id: str | None) -> int:
    """Return how many skills crystallised, in a session or in all."""
    if session_id is None:
        row = connection.execute(_CRYSTALLIZED).fetchone()
    else:
        row = connection.execute(_CRYSTALLIZED_IN, (session_id,)).fetchone()
    return int(row[0])


def snapshot(connection: sqlite3.Connection, *, now: float, window_s: float) -> Snapshot:
    """Return all of it for the window that ends now."""
    found = totals(connection, since=now - window_s, until=now)
    return {
        "timestamp": now,
        "time_window_s": window_s,
        "has_data": bool(found.events),
        "layers": {layer: found.share(layer) for layer in LAYERS},
        "cost_per_hour": found.cost_usd * HOUR_S / window_s,
        "skills_crystallized": count_crystallized(connection, None),
    }
