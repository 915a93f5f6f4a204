"""What a test needs to see what its code recorded, without exporters, files or ports.

`capture` is for any test runner; `otel_metrics.pytest_fixtures` offers it as a fixture.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    InMemoryMetricReader,
    MetricsData,
    NumberDataPoint,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import AnyValue, AttributeValue

from otel_metrics import events, instruments, rejections
from otel_metrics.pipeline.logs import make_provider

__all__ = ["Captured", "CapturedEvent", "Point", "capture"]

Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint


@dataclass(frozen=True, slots=True)
class CapturedEvent:
    """One event: its name, its attributes and body as exporters get them, and its trace context."""

    name: str
    attributes: Mapping[str, AnyValue]
    body: AnyValue = None
    trace_id: int | None = None
    span_id: int | None = None


@dataclass(slots=True)
class Captured:
    """What was recorded inside `capture()`, so far.

    Attributes:
        events: the events, in order.
    """

    _collect: Callable[[], MetricsData | None]
    events: list[CapturedEvent] = field(default_factory=list)

    def points(self, name: str) -> Sequence[Point]:
        """Return the data points of a metric, one for each attribute set; none: empty."""
        collected = self._collect()
        return [
            point
            for resource_metrics in (collected.resource_metrics if collected else ())
            for scope_metrics in resource_metrics.scope_metrics
            for metric in scope_metrics.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def names(self) -> set[str]:
        """Return the names of all metrics that have a point."""
        collected = self._collect()
        return {
            metric.name
            for resource_metrics in (collected.resource_metrics if collected else ())
            for scope_metrics in resource_metrics.scope_metrics
            for metric in scope_metrics.metrics
            if metric.data.data_points
        }

    def value(
        self, name: str, attributes: Mapping[str, AttributeValue] | None = None
    ) -> int | float:
        """Return a counter's or gauge's value, or a histogram's sum; 0 where nothing was recorded.

        Without `attributes` all series of the metric are added.
        """
        return sum(_value(point) for point in self._chosen(name, attributes))

    def count(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> int:
        """Return how many values a histogram took."""
        chosen = self._chosen(name, attributes)
        return sum(point.count for point in chosen if not isinstance(point, NumberDataPoint))

    def event(self, name: str) -> CapturedEvent:
        """Return the one event of that name.

        Raises:
            LookupError: there is none, or more than one.
        """
        found = [event for event in self.events if event.name == name]
        if len(found) != 1:
            names = ", ".join(event.name for event in self.events) or "none"
            raise LookupError(f"{len(found)} events are called {name!r}; recorded: {names}")
        return found[0]

    def _chosen(self, name: str, attributes: Mapping[str, AttributeValue] | None) -> list[Point]:
        return [
            point
            for point in self.points(name)
            if attributes is None or dict(point.attributes or {}) == dict(attributes)
        ]


@contextmanager
def capture(*, strict: bool = True) -> Iterator[Captured]:
    """Record into memory what runs inside. Not for a process that `configure()` has set up: handles
    are left without a provider afterwards.

    Args:
        strict: a value that cannot be recorded is a `ValueError`, so that a test finds it.

    Example:
        >>> from otel_metrics import skills, testing
        >>> with testing.capture() as seen:
        ...     skills.record_outcome("triage", decision="a", expected_decision="a")
        >>> seen.value("skill.outcomes")
        1
    """
    reader = InMemoryMetricReader()
    provider = MeterProvider(
        [reader],
        resource=Resource.get_empty(),
        exemplar_filter=AlwaysOffExemplarFilter(),
        shutdown_on_exit=False,
    )
    seen = Captured(reader.get_metrics_data)
    logs = make_provider(Resource.get_empty())
    logs.add_log_record_processor(_Collector(seen.events))
    instruments.reset()
    instruments.bind(provider, private=True)
    events.bind(logs, limited=False)
    rejections.set_strict(strict=strict)
    try:
        yield seen
        # Collected while the provider is still bound: gauges are read, not recorded.
        frozen = reader.get_metrics_data()
    finally:
        rejections.set_strict(strict=False)
        instruments.reset()
        events.reset()
    seen._collect = lambda: frozen  # the values stay readable after the block


class _Collector(LogRecordProcessor):
    def __init__(self, sink: list[CapturedEvent]) -> None:
        self._sink = sink

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        record = log_record.log_record
        self._sink.append(
            CapturedEvent(
                name=record.event_name or "",
                attributes=dict(record.attributes or {}),
                body=record.body,
                trace_id=record.trace_id,
                span_id=record.span_id,
            )
        )

    def shutdown(self) -> None:
        """Do nothing: nothing is held."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: nothing waits."""
        del timeout_millis
        return True


def _value(point: Point) -> int | float:
    return point.value if isinstance(point, NumberDataPoint) else point.sum
