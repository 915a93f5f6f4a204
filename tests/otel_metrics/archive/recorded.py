"""What the tests of archives record: points said outright, so that every total is known."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
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

from otel_exporter_ndjson import NdjsonLogRecordExporter, NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.recovery import recover_service

T0 = 1_790_000_000_000_000_000
S = 1_000_000_000
CUMULATIVE = AggregationTemporality.CUMULATIVE
DELTA = AggregationTemporality.DELTA
BOUNDS = (1.0, 10.0)

Attributes = Mapping[str, str | int | float | bool]


def exporter(folder: Path, *, rotate_bytes: int = 2**26) -> NdjsonMetricExporter:
    """Return an exporter that leaves its segments uncompressed."""
    return NdjsonMetricExporter(folder, sync="never", compression="none", rotate_bytes=rotate_bytes)


def total(
    value: float,
    at_s: float,
    *,
    start_s: float = 0,
    name: str = "jobs",
    attributes: Attributes | None = None,
    temporality: AggregationTemporality = CUMULATIVE,
    monotonic: bool = True,
) -> Metric:
    """Return one point of a sum."""
    point = NumberDataPoint(attributes or {}, _ns(start_s), _ns(at_s), value)
    return Metric(name, "", "{job}", Sum([point], temporality, monotonic))


def gauge(value: float, at_s: float, *, name: str = "level", unit: str = "1") -> Metric:
    """Return one point of a gauge."""
    point = NumberDataPoint({}, None, _ns(at_s), value)  # type: ignore[arg-type] # as the SDK has it
    return Metric(name, "", unit, Gauge([point]))


def histogram(
    counts: tuple[int, int, int],
    amount: float,
    at_s: float,
    *,
    start_s: float = 0,
    name: str = "took",
    attributes: Attributes | None = None,
    least: float = 0.5,
    most: float = 20.0,
) -> Metric:
    """Return one point of a histogram with the bounds 1 and 10."""
    point = HistogramDataPoint(
        attributes or {}, _ns(start_s), _ns(at_s), sum(counts), amount, counts, BOUNDS, least, most
    )
    return Metric(name, "", "s", Histogram([point], CUMULATIVE))


def batch(*metrics: Metric, service: str = "shop") -> MetricsData:
    """Return metrics as one collection of a service."""
    scope = ScopeMetrics(InstrumentationScope("tests"), metrics, "")
    return MetricsData([ResourceMetrics(Resource({"service.name": service}), [scope], "")])


def record(folder: Path, *batches: Sequence[Metric], service: str = "shop") -> None:
    """Let one writer record collections, and end."""
    writer = exporter(folder)
    for metrics in batches:
        writer.export(batch(*metrics, service=service))
    writer.shutdown()


def compress(folder: Path) -> None:
    """Compress every sealed segment."""
    fs = RealFs()
    for service in {segment.folder_of_service for segment in find_segments(folder)}:
        recover_service(fs, fs.open_root(service), compress=True)


def emit(folder: Path, *events: LogRecord, service: str = "shop") -> None:
    """Let one writer record events, and end."""
    provider = LoggerProvider(Resource({"service.name": service}))
    provider.add_log_record_processor(
        SimpleLogRecordProcessor(NdjsonLogRecordExporter(folder, compression="none"))
    )
    for event in events:
        provider.get_logger("tests").emit(event)
    provider.shutdown()


def event(name: str, at_s: float, **attributes: object) -> LogRecord:
    """Return an event."""
    return LogRecord(
        timestamp=_ns(at_s),
        observed_timestamp=_ns(at_s),
        event_name=name,
        severity_text="INFO",
        severity_number=SeverityNumber.INFO,
        body="said",
        attributes=attributes,  # type: ignore[arg-type] # any value, as an exporter sees them
    )


def segment_path(folder: Path) -> str:
    """Return the path of the only segment."""
    (segment,) = find_segments(folder)
    return segment.path


def append(path: str, data: bytes) -> None:
    """Append bytes to a file, whatever its mode."""
    os.chmod(path, 0o640)
    with open(path, "ab") as file:
        file.write(data)


def _ns(seconds: float) -> int:
    return T0 + round(seconds * S)
