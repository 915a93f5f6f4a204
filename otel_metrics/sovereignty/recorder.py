"""Says whether a piece of work was done without a model: one call, one of nine event types.

Nothing here raises, whatever the metadata holds. Percentages are recording rules over the
counters, never gauges.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.util.types import AnyValue

from otel_metrics import events, instruments, values
from otel_metrics.amounts import amount, name, never_raises
from otel_metrics.sovereignty.identity import new_id
from otel_metrics.sovereignty.kinds import EVENT_TYPES, PLACES, accepted
from otel_metrics.sovereignty.rows import COST_MAX_USD, ENDED, EVENTS, STARTED

__all__ = ["Happened", "end_session", "record", "record_event", "record_mark", "start_session"]

_events = instruments.metric("sovereignty.events")
_crystallized = instruments.metric("sovereignty.skills.crystallized")
_api_calls = instruments.metric("sovereignty.api.calls")
_api_cost = instruments.metric("sovereignty.api.cost")


class Happened(NamedTuple):
    """An event as it was emitted."""

    name: str
    attributes: Mapping[str, AnyValue]
    time_ns: int


@never_raises("sovereignty.events")
def record(
    event_type: str,
    metadata: Mapping[str, object] | None = None,
    *,
    session_id: str | None = None,
) -> None:
    """Count a piece of work as sovereign or as a model's, and keep its particulars as an event.

    Where `OTEL_PYTHON_METRICS_SOVEREIGNTY_DB` names a database, the event is also kept there.

    Args:
        event_type: one of `EVENT_TYPES`; another is counted as rejected, and nothing is recorded.
        metadata: any data, kept in the event; a number under `cost_usd` is also counted as the
            cost of paid APIs, in USD, whatever the type; one above 1e12 is rejected. Say a cost
            once.
        session_id: kept in the event; of one that looks like a secret the SHA-256 is.

    Example:
        >>> from otel_metrics import sovereignty
        >>> sovereignty.record("decision_rule_hit", {"rule": "refund-under-20"})
        >>> sovereignty.record("api_cost", {"cost_usd": 0.004}, session_id="s-1")
    """
    kind = values.label(event_type)  # plain, whatever it was
    if not isinstance(kind, str) or kind not in PLACES:
        asked = accepted(kind, EVENT_TYPES)
        instruments.reject("sovereignty.events", "unknown_event_type", asked)
        return
    record_event(kind, metadata, session_id)


@never_raises("sovereignty.events")
def start_session(session_id: str, game: str) -> None:
    """Say that a session begins. One that has begun stays as it is; one that has ended runs again.

    Args:
        session_id: names the session; the events of it carry the same.
        game: what it is about.
    """
    if name("sovereignty.events", session_id, "a text that is not empty") is not None:
        record_mark(STARTED, session_id, game)


@never_raises("sovereignty.events")
def end_session(session_id: str) -> None:
    """Say that a session ends. That it has ended already, or was never begun, does no harm.

    Args:
        session_id: as given to `start_session`.
    """
    if name("sovereignty.events", session_id, "a text that is not empty") is not None:
        record_mark(ENDED, session_id, None)


def record_event(
    kind: str,
    metadata: Mapping[str, object] | None,
    session_id: str | None,
    *,
    filed_at: str | None = None,
) -> Happened | None:
    """Count an event of a known type, and emit it.

    Args:
        filed_at: the path of the store that keeps it and is given it by this call; without, there
            is nothing to return.
    """
    about = {"sovereignty.event.type": kind}
    cost_usd = _cost_usd(metadata)
    place = PLACES[kind]
    if place is not None:
        about["sovereignty.layer"], about["sovereignty.path"] = place

    _events.add(1, about)
    if kind == "skill_crystallized":
        _crystallized.add(1)
    elif kind == "api_call":
        _api_calls.add(1)
    if cost_usd is not None:
        _api_cost.add(cost_usd)
    said = {
        **about,
        "sovereignty.cost_usd": cost_usd,
        "session.id": values.identifier(session_id),
        "metadata": metadata,
    }
    return _emit(kind, said, filed_at)


def record_mark(
    kind: str, session_id: str, game: object, *, filed_at: str | None = None
) -> Happened | None:
    """Emit the start or the end of a session; arguments and result as `record_event`."""
    said = {"session.id": values.identifier(session_id), "sovereignty.game": game}
    return _emit(kind, said, filed_at)


def _emit(kind: str, attributes: Mapping[str, object], filed_at: str | None) -> Happened | None:
    said = {"sovereignty.event.id": new_id(), **attributes}
    if filed_at is None:
        events.emit(f"{EVENTS}{kind}", said)
        return None
    happened = Happened(f"{EVENTS}{kind}", events.prepared(said), time.time_ns())
    with events.filed(filed_at):
        events.emit(
            happened.name,
            happened.attributes,
            timestamp_ns=happened.time_ns,
            is_prepared=True,
        )
    return happened


def _cost_usd(metadata: object) -> float | None:
    try:
        given = metadata.get("cost_usd") if isinstance(metadata, Mapping) else None
    except Exception:  # noqa: BLE001  # a mapping of the caller's own
        return None
    return None if given is None else amount("sovereignty.api.cost", given, most=COST_MAX_USD)
