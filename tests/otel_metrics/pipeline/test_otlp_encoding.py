"""Any batch is encoded; what cannot be is left out and counted, and nothing else is lost."""

import enum
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
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

from otel_metrics.pipeline.otlp_encoding import encode_log_batch, encode_metric_batch

CUMULATIVE = AggregationTemporality.CUMULATIVE
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
GOOD = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats() | TEXT | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
BAD = st.sampled_from([2**63, -(2**63) - 1, "\ud800", object(), {1, 2}, [[2**64]], {"k": "\udfff"}])
ATTRIBUTES = st.dictionaries(TEXT, GOOD, max_size=3)
NUMBERS = INT64 | st.floats()
BAD_NUMBERS = st.sampled_from([True, 2**63, "1", None])


class Colour(enum.IntEnum):
    """A number that is not quite an int."""

    RED = 1


@st.composite
def number_points(draw: st.DrawFn) -> tuple[NumberDataPoint, bool]:
    """A point, and whether it can be sent."""
    attributes: dict[str, Any] = draw(ATTRIBUTES)
    is_sound = draw(st.booleans())
    value: Any = draw(NUMBERS)
    if not is_sound and draw(st.booleans()):
        value = draw(BAD_NUMBERS)
    elif not is_sound:
        attributes["bad"] = draw(BAD)
    return NumberDataPoint(attributes, 1, 2, value), is_sound


@st.composite
def metrics(draw: st.DrawFn) -> tuple[Metric, list[NumberDataPoint]]:
    """A metric of numbers, and those of its points that can be sent."""
    drawn = draw(st.lists(number_points(), max_size=4))
    points = [point for point, _ in drawn]
    data: Any = draw(st.sampled_from([Gauge(points), Sum(points, CUMULATIVE, is_monotonic=True)]))
    name = draw(TEXT)
    return Metric(name, "", "", data), [point for point, is_sound in drawn if is_sound]


@st.composite
def batches(draw: st.DrawFn) -> tuple[MetricsData, list[Any], int]:
    """A batch, the attributes of its points that can be sent in order, and how many cannot be."""
    resources, kept, total = [], [], 0
    scope = st.sampled_from(["a", "b", "\ud800"]).map(InstrumentationScope)
    resource = st.sampled_from([Resource({}), Resource({"r": 1}), Resource({"r": "\ud800"})])
    for scope_count in draw(st.lists(st.integers(0, 3), max_size=2)):
        scopes = []
        for _ in range(scope_count):
            drawn = draw(st.lists(metrics(), max_size=3))
            scopes.append(ScopeMetrics(draw(scope), [metric for metric, _ in drawn], ""))
            kept += [point for _, points in drawn for point in points]
            total += sum(len(metric.data.data_points) for metric, _ in drawn)
        resources.append(ResourceMetrics(draw(resource), scopes, ""))
    return MetricsData(resources), kept, total - len(kept)


def _sent(request: bytes) -> list[Any]:
    message = ExportMetricsServiceRequest.FromString(request)
    return [
        point
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in (*metric.gauge.data_points, *metric.sum.data_points)
    ]


def _alone(point: NumberDataPoint) -> Any:
    """Return a point as upstream's encoder makes it."""
    return _sent(encode_metrics(_batch(Gauge([point]))).SerializeToString())[0]


def _batch(*data: Any) -> MetricsData:
    made = [Metric("m", "", "", each) for each in data]
    scope = ScopeMetrics(InstrumentationScope("s"), made, "")
    return MetricsData([ResourceMetrics(Resource({}), [scope], "")])


@pytest.fixture(autouse=True)
def _upstream_logs_nothing(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert caplog.messages == []


@given(batches())
@settings(max_examples=60)
def test_the_rest_of_any_batch_arrives(drawn: tuple[MetricsData, list[Any], int]) -> None:
    """Each point that can be sent is, exactly; the others are counted, one by one."""
    batch, kept, rejected = drawn

    encoded = encode_metric_batch(batch)

    sent = [point.SerializeToString() for point in _sent(encoded.request)]
    for point, original in zip(_sent(encoded.request), kept, strict=True):
        assert point.attributes == _alone(original).attributes or "nan" in str(point)
    assert len(sent) == encoded.items == len(kept)
    assert sum(encoded.rejected.values()) == rejected


def test_a_sound_batch_is_upstreams_request() -> None:
    """Histograms of both kinds, exemplars and bounds are upstream's own, byte for byte."""
    exemplar = Exemplar({"user": "u"}, 1.5, 3, 7, 8)
    histogram = HistogramDataPoint({"a": 1}, 1, 2, 3, 4.5, [1, 2], [10.0], 0.5, 3.0, [exemplar])
    exponential = ExponentialHistogramDataPoint(
        {"a": Colour.RED}, 1, 2, 3, 4.5, 2, 1, Buckets(1, [1, 2]), Buckets(0, []), 0, 0.5, 3.0
    )
    batch = _batch(
        Histogram([histogram], CUMULATIVE),
        ExponentialHistogram([exponential], CUMULATIVE),
        Gauge([NumberDataPoint({}, 0, 2, float("nan"))]),
    )

    encoded = encode_metric_batch(batch)

    assert encoded.request == encode_metrics(batch).SerializeToString()
    assert (encoded.items, encoded.rejected) == (3, {})


def test_a_bad_exemplar_does_not_cost_its_point() -> None:
    """The point is sent without its exemplars, which is counted apart."""
    exemplar = Exemplar({"user": "\ud800"}, 1, 3, 7, 8)
    batch = _batch(Gauge([NumberDataPoint({"a": 1}, 1, 2, 3, [exemplar])]))

    encoded = encode_metric_batch(batch)

    [point] = _sent(encoded.request)
    assert (point.as_int, list(point.exemplars)) == (3, [])
    assert encoded.rejected == {"unencodable_exemplar": 1}


def test_a_bad_name_costs_its_metric_only() -> None:
    """A metric whose name cannot be sent is named among what was left out."""
    made = [
        Metric(name, "", "", Gauge([NumberDataPoint({}, 1, 2, value)]))
        for name, value in (("\ud800", 3), ("good", 4))
    ]
    scope = ScopeMetrics(InstrumentationScope("s"), made, "")

    encoded = encode_metric_batch(MetricsData([ResourceMetrics(Resource({}), [scope], "")]))

    assert [point.as_int for point in _sent(encoded.request)] == [4]
    assert encoded.rejected == {"unencodable": 1}


def test_the_same_resource_and_scope_twice_is_no_loss() -> None:
    """Upstream's encoder keeps the last of several; here all arrive."""
    one, two = (_batch(Gauge([NumberDataPoint({}, 1, 2, value)])) for value in (1, 2))
    scopes = [batch.resource_metrics[0].scope_metrics[0] for batch in (one, two)]
    resources = [ResourceMetrics(Resource({}), scopes, ""), *one.resource_metrics]

    encoded = encode_metric_batch(MetricsData(resources))

    assert [point.as_int for point in _sent(encoded.request)] == [1, 2, 1]


def test_a_nested_attribute_may_be_too_deep() -> None:
    """A point whose attribute has no end is left out."""
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    batch = _batch(Gauge([NumberDataPoint({"a": deep}, 1, 2, 3), NumberDataPoint({}, 1, 2, 4)]))

    encoded = encode_metric_batch(batch)

    assert [point.as_int for point in _sent(encoded.request)] == [4]
    assert encoded.rejected == {"unencodable": 1}


def _record(attributes: dict[str, Any], body: Any = None) -> ReadableLogRecord:
    record = LogRecord(
        timestamp=1, observed_timestamp=2, event_name="e", attributes=attributes, body=body
    )
    return ReadableLogRecord(record, Resource({"r": 1}), InstrumentationScope("s"))


def _records(request: bytes) -> list[Any]:
    message = ExportLogsServiceRequest.FromString(request)
    return [
        record
        for resource in message.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


@given(st.lists(st.tuples(ATTRIBUTES, GOOD, st.none() | BAD, st.booleans()), max_size=4))
def test_the_rest_of_any_records_arrives(drawn: list[Any]) -> None:
    """Each record that can be sent is, as upstream makes it; the others are counted."""
    records, sound = [], []
    for attributes, body, bad, in_body in drawn:
        if bad is None:
            sound.append(_record(attributes, body))
            records.append(sound[-1])
        elif in_body:
            records.append(_record(attributes, bad))
        else:
            records.append(_record({**attributes, "bad": bad}, body))

    encoded = encode_log_batch(records)

    expected = _records(encode_logs(sound).SerializeToString())
    assert [r.SerializeToString() for r in _records(encoded.request)] == [
        r.SerializeToString() for r in expected
    ]
    assert encoded.items == len(sound)
    assert sum(encoded.rejected.values()) == len(records) - len(sound)


def test_a_records_bad_resource_costs_its_attribute_only() -> None:
    """What describes the sender is sent as far as it can be."""
    resource = Resource({"bad": "\ud800", "good": 1})
    record = ReadableLogRecord(LogRecord(timestamp=1, observed_timestamp=1, body="x"), resource)

    encoded = encode_log_batch([record])

    message = ExportLogsServiceRequest.FromString(encoded.request)
    [attribute] = message.resource_logs[0].resource.attributes
    assert (attribute.key, encoded.items, encoded.rejected) == ("good", 1, {})
