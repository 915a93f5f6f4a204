"""Says whether a piece of work was done without a model: one call, one of nine event types.

Nothing here raises, whatever the metadata holds. Percentages are recording rules over the
counters, never gauges.
"""

import difflib
from collections.abc import Mapping
from typing import Final

from otel_metrics import events, instruments, values
from otel_metrics.amounts import amount, never_raises

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


@never_raises("sovereignty.events")
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
    kind = values.label(event_type)  # plain, whatever it was
    if not isinstance(kind, str) or kind not in _PLACES:
        instruments.reject("sovereignty.events", "unknown_event_type", _accepted(kind))
        return
    about = {"sovereignty.event.type": kind}
    cost_usd = _cost_usd(metadata)
    place = _PLACES[kind]
    if place is not None:
        about["sovereignty.layer"], about["sovereignty.path"] = place

    _events.add(1, about)
    if kind == "skill_crystallized":
        _crystallized.add(1)
    elif kind == "api_call":
        _api_calls.add(1)
    if cost_usd is not None:
        _api_cost.add(cost_usd)
    events.emit(
        f"sovereignty.{kind}",
        {**about, "session.id": session_id, "metadata": metadata},
    )


def _cost_usd(metadata: object) -> float | None:
    try:
        given = metadata.get("cost_usd") if isinstance(metadata, Mapping) else None
    except Exception:  # noqa: BLE001  # a mapping of the caller's own
        return None
    return None if given is None else amount("sovereignty.api.cost", given)


def _accepted(given: object) -> str:
    near = difflib.get_close_matches(str(given)[:64], EVENT_TYPES, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"one of {', '.join(EVENT_TYPES)}{hint}"
