"""Records of skill files: their fields in the order in which they are written.

A contract: services have written and read these files for long. `line_files.encode` has the form
of a line; there is null where there is nothing. Pure functions; the content rule of events holds
for records too.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry.util.types import AnyValue

from otel_metrics import events, values
from otel_metrics.skills.file_names import Kind

__all__ = [
    "KINDS",
    "attributes_of",
    "event_id",
    "iso",
    "of_event",
    "record",
]

KINDS: Final[Mapping[str, Kind]] = {
    "skill.performance": "performance",
    "skill.outcome": "outcome",
    "skill.fidelity": "fidelity",
    "skill.promotion": "promotion",
    "skill.rollback": "promotion",
}
"""Which kind of file holds the record of an event."""

_METRIC: Final = ("execution_id", "timestamp", "timestamp_iso", "skill_name", "agent")
_MOVE: Final = ("event_id", "timestamp", "timestamp_iso", "skill_name", "from_state", "to_state")
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "skill.performance": (
        *_METRIC,
        "execution_time_ms",
        "exception_occurred",
        "exception_type",
        "memory_usage_mb",
        "metric_type",
    ),
    "skill.outcome": (
        *_METRIC,
        "decision",
        "expected_decision",
        "correct",
        "confidence",
        "reasoning",
        "metric_type",
    ),
    "skill.fidelity": (
        *_METRIC,
        "pattern_fidelity",
        "patterns_followed",
        "patterns_missed",
        "patterns_detail",
        "metric_type",
    ),
    "skill.promotion": (
        *_MOVE,
        "approver",
        "approval_ticket",
        "reason",
        "automated_checks",
        "event_type",
    ),
    "skill.rollback": (*_MOVE, "trigger_reason", "trigger_metric", "automated", "event_type"),
}
_ATTRIBUTES: Final[Mapping[str, str]] = {
    "skill_name": "gen_ai.skill.name",
    "agent": "gen_ai.agent.name",
    "from_state": "skill.promotion.from",
    "to_state": "skill.promotion.to",
    "automated": "skill.rollback.automated",
}
"""Fields that an event's attributes have under another name."""
_MADE: Final = frozenset({"timestamp", "timestamp_iso", "metric_type", "event_type"})
"""Fields that no attribute says."""
_NS: Final = 10**9


def record(event: str, given: Mapping[str, object]) -> dict[str, AnyValue]:
    """Return the record of an event: a bounded copy of its fields, without secrets.

    Args:
        event: its name in the catalog.
        given: the fields by their names in the file; one that is not given is null.
    """
    kind = event.removeprefix("skill.")
    word = "event_type" if KINDS[event] == "promotion" else "metric_type"
    fields = {"timestamp_iso": iso(given["timestamp"]), word: kind, **given}
    cleaned = values.clean({field: fields.get(field) for field in _FIELDS[event]})
    assert isinstance(cleaned, Mapping)
    kept = events.ruled(cleaned)
    return {field: kept.get(field) for field in _FIELDS[event]}


def of_event(event: str, attributes: Mapping[str, Any], time_ns: int) -> dict[str, Any]:
    """Return the fields of an event by their names in the file, as `record` takes them."""
    given = {
        field: attributes.get(_ATTRIBUTES.get(field, field))
        for field in _FIELDS[event]
        if field not in _MADE
    }
    return {"timestamp": time_ns / _NS, **given}


def attributes_of(event: str, record: Mapping[str, object]) -> dict[str, object]:
    """Return what a record says as attributes of its event; what no field says is in `metadata`."""
    known = _FIELDS[event]
    said = {
        _ATTRIBUTES.get(field, field): record.get(field) for field in known if field not in _MADE
    }
    rest = {field: value for field, value in record.items() if field not in known}
    return {**said, "metadata": rest} if rest else said


def event_id(record: Mapping[str, object]) -> str:
    """Return the id of a promotion or rollback: what it is, of which skill, in which second."""
    kind = "promo" if record["event_type"] == "promotion" else "rollback"
    second = record["timestamp"]
    assert isinstance(second, int | float)
    return f"{kind}_{record['skill_name']}_{int(second)}"


def iso(timestamp: object) -> str:
    """Return Unix seconds as RFC 3339, in microseconds of UTC.

    >>> iso(1_700_000_000.5)
    '2023-11-14T22:13:20.500000Z'
    """
    assert isinstance(timestamp, int | float)
    moment = datetime.fromtimestamp(timestamp, UTC)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
