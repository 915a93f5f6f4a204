"""The archive's events of skills as plain records, in the field names of the skill files. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from otel_metrics.skills import file_records
from otel_metrics.skills.history import RECORD_ID
from otel_metrics.skills.readings import FIELDS, History, Record

__all__ = ["EVENTS", "Event", "histories"]

EVENTS: Final = frozenset(file_records.KINDS)
"""The names of the events that are read."""

Event = tuple[str, Mapping[str, Any], int]
"""Name, attributes and time, in nanoseconds since 1970."""

_LEFT_OUT_IF_NONE: Final = ("decision", "expected_decision")
"""An event leaves out what is None, and what the content rule leaves out: which, nobody knows."""


def histories(events: Iterable[Event]) -> dict[str, History]:
    """Return the history of each skill, sorted by its name.

    What a service wrote to the archive and to files, and what was imported from these files too,
    counts once: of an imported record and another of its skill, id and time the other is kept.
    Moves are in the order of their times.
    """
    kept: dict[str, dict[str, list[Record]]] = {}
    imported: dict[str, Event] = {}
    known: set[int] = set()
    for event in events:
        record_id = event[1].get(RECORD_ID)
        if isinstance(record_id, str):
            imported[record_id] = event
        elif _add(kept, event):
            known.add(hash(_identity(event)))
    for event in imported.values():
        if not any(hash(_identity(event, beside_us)) in known for beside_us in (0, -1, 1)):
            _add(kept, event)
    return {skill: _history(kept[skill]) for skill in sorted(kept)}


def _identity(event: Event, beside_us: int = 0) -> tuple[object, ...]:
    """Return what an event shares with its import, whose time is a file's: in microseconds, or one
    beside it."""
    name, attributes, time_ns = event
    execution = attributes.get("execution_id", attributes.get("event_id"))
    skill = attributes.get("gen_ai.skill.name")
    return name, str(skill), str(execution), time_ns // 1000 + beside_us


def _add(kept: dict[str, dict[str, list[Record]]], event: Event) -> bool:
    """Add an event's record to its skill's; False where it names none."""
    name, attributes, time_ns = event
    fields = file_records.of_event(name, attributes, time_ns)
    skill = fields["skill_name"]
    if not isinstance(skill, str):
        return False
    kind = file_records.KINDS[name]
    kept.setdefault(skill, {}).setdefault(kind, []).append(_record(name, kind, fields))
    return True


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
