"""An append-only archive of OpenTelemetry metrics and log records, one JSON object a line."""

from otel_exporter_ndjson.errors import (
    DamagedError,
    NdjsonError,
    SettingError,
    UnencodableError,
    UnsafeArchiveError,
)
from otel_exporter_ndjson.exporter import NdjsonLogRecordExporter, NdjsonMetricExporter
from otel_exporter_ndjson.files import Finding, Segment, find_segments
from otel_exporter_ndjson.reader import Record, read, read_events, read_metrics
from otel_exporter_ndjson.settings import Problem, Settings
from otel_exporter_ndjson.stats import Stats

__all__ = [
    "DamagedError",
    "Finding",
    "NdjsonError",
    "NdjsonLogRecordExporter",
    "NdjsonMetricExporter",
    "Problem",
    "Record",
    "Segment",
    "SettingError",
    "Settings",
    "Stats",
    "UnencodableError",
    "UnsafeArchiveError",
    "find_segments",
    "read",
    "read_events",
    "read_metrics",
]
