"""An event as a row of the store. The same row, whether the event comes from a call or an archive.

Pure: what is given is data that has been cleaned, or was read from an archive and may be anything.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from otel_metrics.amounts import NS_PER_S
from otel_metrics.errors import OtelMetricsError
from otel_metrics.sovereignty.identity import parsed
from otel_metrics.sovereignty.kinds import EVENT_TYPES

__all__ = [
    "COST_MAX_USD",
    "ENDED",
    "EVENTS",
    "STARTED",
    "Event",
    "Mark",
    "Position",
    "UnusableEventError",
    "of_event",
    "stored_text",
]

EVENTS: Final = "sovereignty."
"""Begins the name of every event of this domain."""
STARTED: Final = "session_started"
ENDED: Final = "session_ended"
COST_MAX_USD: Final = 1e12
"""The largest cost of one event; what is more is an error, and would make sums infinite."""


class UnusableEventError(OtelMetricsError):
    """An event that the store keeps by its name, and cannot; `reason` is for the counter."""

    def __init__(self, name: str, reason: str, lacks: str) -> None:
        super().__init__(f"{name} has no {lacks}, which a row needs")
        self.reason = reason


class Position(NamedTuple):
    """Where an archive has a record."""

    instance: str
    sequence: int
    line: int


class Event(NamedTuple):
    """A row of `events`."""

    writer: str
    number: int
    timestamp: float
    event_type: str
    session_id: str | None
    metadata_json: str
    cost_usd: float | None


class Mark(NamedTuple):
    """The start or the end of a session: a row of `session_marks`."""

    writer: str
    number: int
    timestamp: float
    session_id: str
    kind: str
    game: str | None


def of_event(
    name: str, attributes: Mapping[str, Any], time_ns: int | None, at: Position | None = None
) -> Event | Mark | None:
    """Return the row of an event, None for one that the store does not keep.

    Args:
        at: its place in an archive, which identifies an event that carries no identity.

    Raises:
        UnusableEventError: it has no identity and no place, no time, or not the session it is of.
    """
    kind = name.removeprefix(EVENTS)
    known = kind in EVENT_TYPES
    if not known and kind not in (STARTED, ENDED):
        return None
    identity = parsed(attributes.get("sovereignty.event.id"))
    if identity is None and at is not None:
        identity = (f"{at.instance}/{at.sequence}", at.line)
    if identity is None:
        raise UnusableEventError(name, "no_identity", "sovereignty.event.id")
    if time_ns is None:
        raise UnusableEventError(name, "no_time", "time")
    timestamp = time_ns / NS_PER_S
    session_id = stored_text(attributes.get("session.id"))
    metadata = attributes.get("metadata")
    if known:
        cost_usd = _cost(attributes, metadata)
        text = "{}" if metadata is None else as_json(metadata)
        return Event(*identity, timestamp, kind, session_id, text, cost_usd)
    if session_id is None:
        raise UnusableEventError(name, "no_session", "session.id")
    game = stored_text(attributes.get("sovereignty.game"))
    return Mark(*identity, timestamp, session_id, kind, game)


def stored_text(value: object) -> str | None:
    """Return a value as text that SQLite takes and gives back whole: its functions end at a NUL."""
    if value is None:
        return None
    text = value if isinstance(value, str) else as_json(value)
    return text.replace("\0", "\ufffd")


def as_json(value: object) -> str:
    """Return data as JSON: NaN and infinities as strings, bytes in Base64."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _cost(attributes: Mapping[str, Any], metadata: object) -> float | None:
    """Return what an event says that it cost: in archives of earlier releases, in its metadata."""
    cost = attributes.get("sovereignty.cost_usd")
    if cost is None and isinstance(metadata, Mapping):
        cost = metadata.get("cost_usd")
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        return None
    return float(cost) if 0 <= cost <= COST_MAX_USD else None
