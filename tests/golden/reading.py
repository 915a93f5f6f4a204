"""What reading gives of an archive, in a form that can be kept beside it."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from otel_exporter_ndjson import Finding, find_segments, read, read_events, read_metrics
from otel_exporter_ndjson.summary import summarise


def seen(archive: Path) -> dict[str, Any]:
    """Return records with their identities, what they decode to, states, and findings."""
    findings: list[Finding] = []
    records = [
        [each.instance, each.sequence, each.line, sha256(each.raw).hexdigest()[:16]]
        for each in read(archive, findings=findings)
    ]
    return {
        "records": records,
        "batches": [_values(batch) for batch in read_metrics(archive, findings=[])],
        "events": [_event(each.log_record) for each in read_events(archive, findings=[])],
        "states": {
            f"{each.signal}/{each.name}": summarise(each).state for each in find_segments(archive)
        },
        "findings": [
            [each.kind, f"{each.segment.signal}/{each.segment.name}", each.line]
            for each in findings
        ],
    }


def _values(batch: Any) -> list[list[str]]:
    """Return name, attributes and value of each point: `repr` keeps int and float apart."""
    return [
        [metric.name, _text(point.attributes), *_figures(point)]
        for group in batch.resource_metrics
        for scoped in group.scope_metrics
        for metric in scoped.metrics
        for point in metric.data.data_points
    ]


def _figures(point: Any) -> list[str]:
    if hasattr(point, "value"):
        return [repr(point.value)]
    buckets = getattr(point, "bucket_counts", None) or point.positive.bucket_counts
    return [repr(point.count), repr(point.sum), repr(point.min), repr(point.max), repr(buckets)]


def _event(record: Any) -> list[str]:
    return [
        str(record.event_name),
        str(record.timestamp),
        f"{record.trace_id:032x}",
        _text(record.attributes),
        _text(record.body),
    ]


def _text(value: Any) -> str:
    """Return a short text that is another for every other value."""
    text = ascii(dict(value) if hasattr(value, "items") else value)
    return text if len(text) <= 40 else sha256(text.encode()).hexdigest()[:16]
