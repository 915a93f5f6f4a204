"""Records that say of themselves which they are and whether they are whole.

Each has a number that no other has; size and content follow from the number, so that whoever reads
one back needs nothing from the process that wrote it to tell whether it is what was sent.
"""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

__all__ = ["LARGE_BYTES", "SMALL_BYTES", "event", "is_whole", "points"]

SMALL_BYTES: Final = 2_000
LARGE_BYTES: Final = 1_040_000
"""Just under what a line may hold, with its other members."""
BEGAN_NS: Final = 1_700_000_000 * 10**9
_SCOPE: Final = InstrumentationScope("torture", "1")
_STEP: Final = 7_919


def event(number: int, bytes_max: int, service: str = "torture") -> ReadableLogRecord:
    """Make the log record of a number, of up to `bytes_max` bytes."""
    record = LogRecord(
        timestamp=BEGAN_NS + number,
        event_name="torture.record",
        attributes=_attributes(number, bytes_max),
        context=Context(),
    )
    return ReadableLogRecord(
        record, resource=Resource({"service.name": service}), instrumentation_scope=_SCOPE
    )


def points(first: int, count: int, bytes_max: int, service: str = "torture") -> MetricsData:
    """Make one export of `count` points with consecutive numbers."""
    made = [
        NumberDataPoint(_attributes(number, bytes_max), BEGAN_NS, BEGAN_NS + number, number)
        for number in range(first, first + count)
    ]
    total: Any = Sum(made, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    scoped = ScopeMetrics(_SCOPE, [Metric("torture.records", "Records.", "1", total)], "")
    return MetricsData([ResourceMetrics(Resource({"service.name": service}), [scoped], "")])


def is_whole(attributes: Mapping[str, Any]) -> bool:
    """Whether a record that was read back is exactly the one of its number."""
    return dict(attributes) == _attributes(attributes["n"], attributes.get("most", 0))


def _attributes(number: int, bytes_max: int) -> dict[str, Any]:
    size = number * _STEP % (bytes_max + 1)
    text = (f"{number:x}." * (size // 2 + 1))[:size]
    return {"n": number, "most": bytes_max, "text": text}
