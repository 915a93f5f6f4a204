"""Says whether a piece of work was done without a model: one call, one of nine event types.

Nothing here raises, whatever the metadata holds. Percentages are recording rules over the
counters, never gauges.
"""

import difflib
from collections.abc import Mapping
from typing import Final

from otel_metrics import events, instruments
from otel_metrics.amounts import amount

__all__ = ["EVENT_TYPES", "record"]

_PLACES: Final[Mapping[str, tuple[str, str] | None]] = {
    "perception_cache_hit": ("perception", "sovereign"),
    "perception_vlm_call": ("perception", "model"),
    "decision_rule_hit": ("decision", "sovereign"),
    "decision_llm_call": ("decision", "model"),
    "narration_template": ("narration", "sovereign"),
    "narration_llm": ("narration", "model"),
    "skill_crystallized": None,
    "api_call": None,
    "api_cost": None,
}
"""Layer and path of each event type; three have neither."""

EVENT_TYPES: Final = tuple(_PLACES)
"""The nine event types."""

_events = instruments.metric("sovereignty.events")
_crystallized = instruments.metric("sovereignty.skills.crystallized")
_api_calls = instruments.metric("sovereignty.api.calls")
_api_cost = instruments.metric("sovereignty.api.cost")


def record(
    event_type: str,
    metadata: Mapping[str, object] | None = None,
    *,
    session_id: str | None = None,
) -> None:
    """Count a piece of work as sovereign or as a model's, and keep its particulars as an event.

    Args:
        event_type: one of `EVENT_TYPES`; another is counted as rejected, and nothing is recorded.
        metadata: any data, kept in the event; a number under `cost_usd` is also counted as the
            cost of paid APIs, in USD, whatever the type. Say a cost once.
        session_id: kept in the event.

    Example:
        >>> from otel_metrics import sovereignty
        >>> sovereignty.record("decision_rule_hit", {"rule": "refund-under-20"})
        >>> sovereignty.record("api_cost", {"cost_usd": 0.004}, session_id="s-1")
    """
    if not isinstance(event_type, str) or event_type not in _PLACES:
        instruments.reject("sovereignty.events", "unknown_event_type", _accepted(event_type))
        return
    about = {"sovereignty.event.type": event_type}
    cost_usd = _cost_usd(metadata)
    place = _PLACES[event_type]
    if place is not None:
        about["sovereignty.layer"], about["sovereignty.path"] = place

    _events.add(1, about)
    if event_type == "skill_crystallized":
        _crystallized.add(1)
    elif event_type == "api_call":
        _api_calls.add(1)
    if cost_usd is not None:
        _api_cost.add(cost_usd)
    events.emit(
        f"sovereignty.{event_type}",
        {**about, "session.id": session_id, "metadata": metadata},
    )


def _cost_usd(metadata: object) -> float | None:
    if not isinstance(metadata, Mapping):
        return None
    try:
        given = metadata.get("cost_usd")
    except Exception:  # noqa: BLE001  # a mapping of the caller's own
        return None
    return None if given is None else amount("sovereignty.api.cost", given)


def _accepted(event_type: object) -> str:
    typed = event_type[:64] if isinstance(event_type, str) else ""
    near = difflib.get_close_matches(typed, EVENT_TYPES, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"one of {', '.join(EVENT_TYPES)}{hint}"
