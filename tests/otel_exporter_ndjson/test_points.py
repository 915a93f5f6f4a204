"""What is remembered of a series never shows in a line: each is as if it were the first."""

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.metrics import Exemplar, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_ndjson.encoding import MetricEncoder

RESOURCE = Resource({"service.name": "shop"})
SCOPE = InstrumentationScope("tests")
BOUNDS = (1.0, 5.0)
START, TIME = 10**18, 10**18 + 10**9
CUMULATIVE = AggregationTemporality.CUMULATIVE


class Level(enum.IntEnum):
    """An integer that is not only one."""

    HIGH = 3


class Seconds(float):
    """A float that is not only one, as those of numpy are."""


ODD = (math.nan, math.inf, -math.inf, 10**400, 2**64, True, Level.HIGH, Seconds(1.5), -0.0, 7)


def number(name: str, value: float = 1, **other: Any) -> NumberDataPoint:
    return NumberDataPoint({"skill": name}, START, TIME, value, **other)


def histogram(name: str, **other: Any) -> HistogramDataPoint:
    point = HistogramDataPoint({"skill": name}, START, TIME, 2, 3.5, (1, 1, 0), BOUNDS, 0.5, 3.0)
    return replace(point, **other)


def exponential(name: str, **other: Any) -> ExponentialHistogramDataPoint:
    some = Buckets(0, (1, 1))
    point = ExponentialHistogramDataPoint(
        {"skill": name}, START, TIME, 2, 3.5, 1, 0, some, Buckets(0, ()), 0, 0.5, 3.0
    )
    return replace(point, **other)


MAKERS = pytest.mark.parametrize("make", [number, histogram, exponential])


def lines(encoder: MetricEncoder, points: Sequence[Any]) -> bytes:
    data: Any = Gauge(points)
    if isinstance(points[0], HistogramDataPoint):
        data = Histogram(points, CUMULATIVE)
    if isinstance(points[0], ExponentialHistogramDataPoint):
        data = ExponentialHistogram(points, CUMULATIVE)
    scoped = ScopeMetrics(SCOPE, [Metric("m", "", "1", data)], "")
    batch = encoder.encode(MetricsData([ResourceMetrics(RESOURCE, [scoped], "")]))
    assert batch is not None
    assert batch.records == batch.parts[0].body.count(b"\n")
    return batch.parts[0].body


def as_if_new(before: Sequence[Any], after: Sequence[Any]) -> bool:
    """Whether an encoder that knows the series says what one says that does not."""
    encoder = MetricEncoder()
    lines(encoder, before)
    lines(encoder, before)
    return lines(encoder, after) == lines(MetricEncoder(), after)


@MAKERS
def test_a_mapping_changed_in_place_gives_no_stale_line(make: Callable[..., Any]) -> None:
    """Attributes are read as they are now, also where the mapping is the one of the last batch."""
    encoder = MetricEncoder()
    points = [make("a"), make("b"), make("c")]
    lines(encoder, points)
    points[1].attributes["skill"] = "another"
    after = lines(encoder, points)

    assert after == lines(MetricEncoder(), points)
    assert b'"another"' in after


@MAKERS
def test_a_list_changed_inside_attributes_gives_no_stale_line(make: Callable[..., Any]) -> None:
    """What could change unseen inside a mapping is read anew each time."""
    encoder = MetricEncoder()
    points = [make("a", attributes={"skills": ["x"]})] if make is not number else []
    points = points or [NumberDataPoint({"skills": ["x"]}, START, TIME, 1)]
    lines(encoder, points)
    points[0].attributes["skills"].append("another")

    assert b'"another"' in lines(encoder, points)


@MAKERS
@pytest.mark.parametrize(
    "change",
    [
        lambda points: points[::-1],
        lambda points: points[1:],
        lambda points: [*points[:1], *points[2:]],
        lambda points: [*points, points[0]],
        lambda points: [points[0], replace(points[1], start_time_unix_nano=START + 1), points[2]],
        lambda points: [points[0], replace(points[1], start_time_unix_nano=None), points[2]],
        lambda points: [*points[:2], replace(points[2], time_unix_nano=TIME + 1)],
        lambda points: [points[0], replace(points[1], attributes=None), points[2]],
        lambda points: [replace(point, attributes=dict(point.attributes)) for point in points],
        lambda points: [replace(points[0], exemplars=[Exemplar({}, 1, TIME, 1, 2)]), *points[1:]],
    ],
    ids=[
        "reversed",
        "fewer",
        "gap",
        "twice",
        "restarted",
        "startless",
        "late",
        "bare",
        "copied",
        "exemplars",
    ],
)
def test_series_that_move_or_change_keep_their_own_lines(
    make: Callable[..., Any], change: Callable[..., Any]
) -> None:
    """Whatever a batch has in common with the one before, its lines are its own."""
    points = [make("a"), make("b"), make("c")]

    assert as_if_new(points, change(points))


@pytest.mark.parametrize("value", ODD)
def test_an_odd_value_among_others_is_written_exactly(value: float) -> None:
    """One value that JSON or the fast way cannot say changes no line but its own."""
    points = [number("a", 0.5), number("b"), number("c", 2)]
    after = [points[0], replace(points[1], value=value), points[2]]

    assert as_if_new(points, after)
    assert b"null" not in lines(MetricEncoder(), after).replace(b'"description":null', b"")


@pytest.mark.parametrize("field", ["sum", "min", "max"])
@pytest.mark.parametrize("value", [*ODD, None])
def test_an_odd_extreme_among_others_is_written_exactly(field: str, value: float | None) -> None:
    """The same of the numbers of a histogram."""
    points = [histogram("a"), histogram("b"), histogram("c")]
    change: dict[str, Any] = {field: value}
    after = [points[0], replace(points[1], **change), points[2]]

    assert as_if_new(points, after)


def test_bounds_that_change_are_written() -> None:
    """Bounds are part of a series, and a list of them may change unseen."""
    bounds = [1.0, 5.0]
    points = [histogram("a", explicit_bounds=bounds)]
    encoder = MetricEncoder()
    lines(encoder, points)
    bounds[1] = 6.0

    assert b'"bounds":[1.0,6.0]' in lines(encoder, points)


def test_collections_of_the_sdk_are_as_if_each_were_the_first() -> None:
    """Sums, gauges and histograms of a reader, with series that come later."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("tests")
    counter, gauge = meter.create_counter("calls"), meter.create_gauge("level")
    duration = meter.create_histogram("duration")
    encoder = MetricEncoder()
    for collection in range(6):
        for skill in range(1 + collection // 2):
            attributes = {"skill": f"skill-{skill}"}
            counter.add(1, attributes)
            gauge.set(skill / 2, attributes)
            duration.record(collection + skill, attributes)
        data = reader.get_metrics_data()
        assert data is not None

        known, new = encoder.encode(data), MetricEncoder().encode(data)
        assert known is not None
        assert new is not None
        assert [part.body for part in known.parts] == [part.body for part in new.parts]
