"""The archive's events of skills as plain records, in the field names of the skill files. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from otel_metrics.skills import file_records
from otel_metrics.skills.history import FIELDS, History, Record

__all__ = ["EVENTS", "Event", "histories"]

EVENTS: Final = frozenset(file_records.KINDS)
"""The names of the events that are read."""

Event = tuple[str, Mapping[str, Any], int]
"""Name, attributes and time, in nanoseconds since 1970."""

_LEFT_OUT_IF_NONE: Final = ("decision", "expected_decision")
"""An event leaves out what is None, and what the content rule leaves out: which, nobody knows."""


def histories(events: Iterable[Event]) -> dict[str, History]:
    """Return the history of each skill, sorted by its name.

    What stands twice, such as an event that was written by a service and imported from its files
    too, counts once: events of one name, skill, id and time are the same. Moves are in the order of
    their times.
    """
    seen: set[int] = set()
    kept: dict[str, dict[str, list[Record]]] = {}
    for name, attributes, time_ns in events:
        fields = file_records.of_event(name, attributes, time_ns)
        skill = fields["skill_name"]
        identifier = attributes.get("execution_id", attributes.get("event_id"))
        same = hash((name, skill, str(identifier), time_ns))
        if not isinstance(skill, str) or same in seen:
            continue
        seen.add(same)
        kind = file_records.KINDS[name]
        kept.setdefault(skill, {}).setdefault(kind, []).append(_record(name, kind, fields))
    return {skill: _history(kept[skill]) for skill in sorted(kept)}


def _record(name: str, kind: str, fields: Mapping[str, Any]) -> Record:
    if kind == "promotion":
        return {**fields, "event_type": name.removeprefix("skill.")}
    return {
        field: fields[field]
        for field in FIELDS[kind]
        if not (field in _LEFT_OUT_IF_NONE and fields[field] is None)
    }


def _history(records: Mapping[str, list[Record]]) -> History:
    return History(
        performance=records.get("performance", ()),
        outcomes=records.get("outcome", ()),
        fidelity=records.get("fidelity", ()),
        moves=sorted(records.get("promotion", ()), key=lambda record: record["timestamp"]),
    )
