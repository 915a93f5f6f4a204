"""Whatever is exported, a reader gives back the same."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
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
    MetricExportResult,
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
    Finding,
    NdjsonLogRecordExporter,
    NdjsonMetricExporter,
    find_segments,
    read,
    read_events,
    read_metrics,
)
from otel_exporter_ndjson.files import read_lines
from otel_exporter_ndjson.scan import check

AWKWARD = (
    "\x00\x07\n\r\x1f\x7f\x80\x85\x9f\u061c\u200e\u2028\u2029\u202e\u2066\ufeff\ud800\udfff"
    "\U0001f600$"
)
texts = st.text(st.one_of(st.characters(), st.sampled_from(AWKWARD)), max_size=6)
names = st.one_of(st.sampled_from(["a", "b"]), texts)
optional = st.one_of(st.none(), names)
times = st.one_of(
    st.integers(0, 2**63),
    st.sampled_from([0, 1, -1, 10**9, 2**64, 10**30, 253_402_300_800 * 10**9, -(10**20)]),
)
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([1.0, -0.0, 2**63, 10**400, True]))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, st.binary(max_size=4))
keys = st.one_of(texts.filter(bool), st.sampled_from(["$float", "$bytes", "$map", "$", "k"]))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
attributes = st.one_of(st.none(), st.dictionaries(keys, values, max_size=4))
counts = st.lists(st.integers(0, 2**64), max_size=4).map(tuple)
exemplars = st.lists(
    st.builds(
        Exemplar,
        filtered_attributes=attributes,
        value=numbers,
        time_unix_nano=times,
        span_id=st.one_of(st.none(), st.integers(0, 2**64 - 1)),
        trace_id=st.one_of(st.none(), st.integers(0, 2**128 - 1)),
    ),
    max_size=2,
)
POINT: dict[str, Any] = {
    "attributes": attributes,
    "start_time_unix_nano": st.one_of(st.none(), times),
    "time_unix_nano": times,
    "exemplars": exemplars,
}
EXTREMES: dict[str, Any] = {
    "count": st.integers(0, 2**64),
    "sum": numbers,
    "min": st.one_of(st.none(), numbers),
    "max": st.one_of(st.none(), numbers),
}
buckets = st.builds(Buckets, offset=st.integers(-1000, 1000), bucket_counts=counts)
temporality = st.sampled_from(AggregationTemporality)
number_points = st.lists(st.builds(NumberDataPoint, value=numbers, **POINT), max_size=3)
histogram_points = st.lists(
    st.builds(
        HistogramDataPoint,
        bucket_counts=counts,
        explicit_bounds=st.lists(numbers, max_size=3).map(tuple),
        **POINT,
        **EXTREMES,
    ),
    max_size=3,
)
exponential_points = st.lists(
    st.builds(
        ExponentialHistogramDataPoint,
        scale=st.integers(-10, 20),
        zero_count=st.integers(0, 2**64),
        positive=buckets,
        negative=buckets,
        flags=st.integers(0, 1),
        **POINT,
        **EXTREMES,
    ),
    max_size=3,
)
metrics = st.builds(
    Metric,
    name=names,
    description=optional,
    unit=optional,
    data=st.one_of(
        st.builds(Sum, number_points, temporality, st.booleans()),
        st.builds(Gauge, number_points),
        st.builds(Histogram, histogram_points, temporality),
        st.builds(ExponentialHistogram, exponential_points, temporality),
    ),
)
scopes = st.builds(
    InstrumentationScope, name=names, version=optional, schema_url=optional, attributes=attributes
)
resources = st.builds(Resource, attributes, optional)
metrics_data = st.builds(
    MetricsData,
    st.lists(
        st.builds(
            ResourceMetrics,
            resource=resources,
            scope_metrics=st.lists(
                st.builds(
                    ScopeMetrics,
                    scope=scopes,
                    metrics=st.lists(metrics, max_size=3),
                    schema_url=names,
                ),
                max_size=2,
            ),
            schema_url=names,
        ),
        max_size=2,
    ),
)


@st.composite
def log_records(draw: st.DrawFn) -> ReadableLogRecord:
    record: Any = LogRecord(context=Context())
    record.timestamp = draw(st.one_of(st.none(), times))
    record.observed_timestamp = draw(st.one_of(st.none(), times))
    record.trace_id = draw(st.one_of(st.none(), st.integers(0, 2**128 - 1)))
    record.span_id = draw(st.one_of(st.none(), st.integers(0, 2**64 - 1)))
    record.trace_flags = draw(st.one_of(st.none(), st.integers(0, 255).map(TraceFlags)))
    record.severity_text = draw(optional)
    record.severity_number = draw(st.one_of(st.none(), st.sampled_from(SeverityNumber)))
    record.body = draw(values)
    record.event_name = draw(optional)
    given_attributes = draw(attributes)
    if given_attributes is not None:
        record.attributes = BoundedAttributes(
            maxlen=draw(st.integers(0, 5)), attributes=given_attributes
        )
    scope = draw(st.one_of(st.none(), scopes))
    return ReadableLogRecord(record, resource=draw(resources), instrumentation_scope=scope)


def canonical(value: Any) -> Any:
    """Return a value so that equal means the same to the last bit: types, NaN, order of keys.

    What an archive does not promise is levelled: lone surrogates, and the class of a sequence.
    """
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if value is None or isinstance(value, bool | bytes):
        return value
    if isinstance(value, int | float):
        return (
            type(value).__name__ if value != value else (type(value).__name__, repr(value))
        )  # NaN
    if isinstance(value, Mapping):
        return {canonical(key): canonical(member) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [canonical(item) for item in value]
    if isinstance(value, AggregationTemporality | SeverityNumber):
        return value
    if isinstance(value, LogRecord):
        members = {
            **vars(value),
            "context": None,
            "dropped": getattr(value.attributes, "dropped", 0),
        }
        return canonical(members)
    if isinstance(value, InstrumentationScope):
        scope = [value.name, value.version, value.schema_url, value.attributes]
        return canonical(scope)
    if isinstance(value, Resource):
        return canonical([value.schema_url, value.attributes])
    return type(value).__name__, canonical(vars(value))


def sound(folder: str) -> bool:
    """Whether every line of an archive is one line to everybody, and every hash holds."""
    for segment in find_segments(folder):
        lines = [line for _, _, line in read_lines(segment)]
        if check(lines).damages or any(len(line.decode().splitlines()) != 1 for line in lines):
            return False
    return True


@settings(max_examples=60, deadline=None)
@given(st.lists(metrics_data, min_size=1, max_size=3))
def test_any_metrics_come_back_as_they_were(batches: list[MetricsData]) -> None:
    """Each batch that holds a point is read back equal, int and float, NaN and order included."""
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        exporter = NdjsonMetricExporter(folder, sync="never", compression="none")
        results = [exporter.export(batch) for batch in batches for _ in range(2)]
        exporter.shutdown()
        back = list(read_metrics(folder, findings=findings))

        assert results == [MetricExportResult.SUCCESS] * len(results)
        assert not exporter.stats().dropped
        assert sound(folder)
    expected = [batch for batch in batches for _ in range(2) if points(batch)]
    assert [canonical(batch) for batch in back] == [canonical(batch) for batch in expected]
    assert not findings


def points(batch: MetricsData) -> list[Any]:
    return [
        point
        for group in batch.resource_metrics
        for scoped in group.scope_metrics
        for metric in scoped.metrics
        for point in metric.data.data_points
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(log_records(), min_size=1, max_size=4))
def test_any_log_records_come_back_as_they_were(records: list[ReadableLogRecord]) -> None:
    """Each log record is read back equal, with its scope, resource, ids and dropped count."""
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        exporter = NdjsonLogRecordExporter(folder, sync="never", compression="none")
        results = [exporter.export(records), exporter.export(records[:1])]
        exporter.shutdown()
        back = list(read_events(folder, findings=findings))
        lines = list(read(folder))

        assert results == [LogRecordExportResult.SUCCESS] * 2
        assert not exporter.stats().dropped
        assert sound(folder)
    expected = [*records, records[0]]
    assert [canonical(record) for record in back] == [canonical(record) for record in expected]
    assert len(lines) == len(expected)
    assert not findings
