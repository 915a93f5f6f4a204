"""Metrics and events with all that OTLP can say, and what OTLP JSON says, for comparison.

The comparison is upstream's: its JSON encoder says what ought to be there, and its JSON reader
what is.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.json.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.json.common.metrics_encoder import encode_metrics
from opentelemetry.proto_json.collector.logs.v1.logs_service import ExportLogsServiceRequest
from opentelemetry.proto_json.collector.metrics.v1.metrics_service import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import TraceFlags

from otel_exporter_ndjson import (
    NdjsonLogRecordExporter,
    NdjsonMetricExporter,
    read_events,
    read_metrics,
)

T0 = 1_790_000_000_000_000_000
TRACE_ID = 0x0102030405060708090A0B0C0D0E0F10
SPAN_ID = 0x00000000000000FF
RESOURCE = Resource({"service.name": "shop", "port": 443, "zones": ("a", "b")}, "https://x/r")
SCOPE = InstrumentationScope("tests", "1.2", "https://x/s", {"team": "one"})
ATTRIBUTES: dict[str, Any] = {"a": "ü\u2028", "b": 2**62, "c": 0.1, "d": False, "e": ("x", "")}


def record_everything(folder: Path) -> None:
    """Write an archive with each kind of point and of event."""
    points = NdjsonMetricExporter(folder, compression="none")
    points.export(metrics())
    points.export(metrics(T0 + 10**9))
    points.shutdown()
    happened = NdjsonLogRecordExporter(folder, compression="none")
    happened.export(events())
    happened.shutdown()


def metrics(at: int = T0) -> MetricsData:
    """Return one collection with a metric of each kind."""
    cumulative, delta = AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA
    exemplar = Exemplar({"user": "x"}, 0.25, at, SPAN_ID, TRACE_ID)
    # Neither None nor empty: an exemplar outside of any span.
    bare = Exemplar({}, 7, at, None, None)
    numbers = [NumberDataPoint(ATTRIBUTES, T0, at, 2**53 + 1, [bare]), _number(1.5, at)]
    odd = [_number(value, at) for value in (math.nan, math.inf, -math.inf, 0, 0.0, -5)]
    classic = HistogramDataPoint(
        {"k": 1}, T0, at, 3, 4.75, (1, 2, 0), (0.5, 10.0), 0.25, 4.0, [exemplar]
    )
    empty = HistogramDataPoint({}, T0, at, 0, 0.0, (0, 0), (1.0,), math.inf, -math.inf, [])
    positive, negative = Buckets(-3, (1, 0, 2**40)), Buckets(5, (0,))
    exponential = ExponentialHistogramDataPoint(
        {}, T0, at, 2**40 + 1, 9.5, -2, 3, positive, negative, 0, 0.5, 8.0, [exemplar]
    )
    made = [
        Metric("runs", "What ran.", "{run}", Sum(numbers, cumulative, is_monotonic=True)),
        Metric("open", "", "", Sum([_number(-1, at)], delta, is_monotonic=False)),
        Metric("level", "", "1", Gauge(odd)),
        Metric("took", "", "s", Histogram([classic, empty], delta)),
        Metric("size", "", "By", ExponentialHistogram([exponential], cumulative)),
    ]
    scopes = [
        ScopeMetrics(SCOPE, made[:3], "https://x/s"),
        ScopeMetrics(InstrumentationScope("other"), made[3:], ""),
    ]
    return MetricsData([ResourceMetrics(RESOURCE, scopes, "https://x/r")])


def events() -> list[ReadableLogRecord]:
    """Return events with bodies of every type."""
    bodies: list[Any] = ["said", None, {"deep": [1, {"x": b"\xff\x00"}]}, math.nan, 2**63 - 1, True]
    made = []
    for number, body in enumerate(bodies):
        record = LogRecord(
            timestamp=T0 + number,
            observed_timestamp=T0 + 9,
            event_name=f"event.{number}",
            severity_text="WARN",
            severity_number=SeverityNumber.WARN2,
            body=body,
            attributes={**ATTRIBUTES, "map": {"inf": math.inf}},
        )
        record.trace_id, record.span_id = TRACE_ID, SPAN_ID
        record.trace_flags = TraceFlags(1)
        made.append(ReadableLogRecord(record, resource=RESOURCE, instrumentation_scope=SCOPE))
    return made


def of_archive(folder: Path) -> Counter[str]:
    """Return every record of an archive, as upstream says it in OTLP JSON."""
    requests = [encode_metrics(data).to_dict() for data in read_metrics(folder)]
    requests += [encode_logs([event]).to_dict() for event in read_events(folder)]
    return Counter(_records(requests))


def of_lines(lines: Iterable[str]) -> Counter[str]:
    """Return every record of OTLP JSON Lines, as upstream reads them."""
    requests: list[Any] = []
    for line in lines:
        kind = ExportLogsServiceRequest if "resourceLogs" in line else ExportMetricsServiceRequest
        requests.append(kind.from_json(line).to_dict())
    return Counter(_records(requests))


def _records(requests: Iterable[dict[str, Any]]) -> Iterator[str]:
    for request in requests:
        for resource in (*request.get("resourceMetrics", ()), *request.get("resourceLogs", ())):
            for scope in (*resource.pop("scopeMetrics", ()), *resource.pop("scopeLogs", ())):
                for metric in scope.pop("metrics", ()):
                    kind, data = next(
                        (key, metric.pop(key))
                        for key in tuple(metric)
                        if "dataPoints" in str(metric[key])
                    )
                    for point in data.pop("dataPoints"):
                        yield _text([resource, scope, metric, kind, data, point])
                for record in scope.pop("logRecords", ()):
                    yield _text([resource, scope, record])


def _text(parts: Sequence[Any]) -> str:
    return json.dumps(parts, sort_keys=True)


def _number(value: float, at: int) -> NumberDataPoint:
    return NumberDataPoint({"v": str(value)}, T0, at, value)
