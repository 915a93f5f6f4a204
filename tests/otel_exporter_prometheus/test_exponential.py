"""Exponential histograms keep count, sum and every observation in classic buckets."""

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    InMemoryMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from otel_exporter_prometheus.exponential import BOUNDS_MAX, explicit, octaves


def point(
    scale: int, positive: Buckets, *, zero: int = 0, negative: Buckets | None = None
) -> ExponentialHistogramDataPoint:
    return ExponentialHistogramDataPoint(
        attributes={},
        start_time_unix_nano=1,
        time_unix_nano=2,
        count=0,
        sum=0.0,
        scale=scale,
        zero_count=zero,
        positive=positive,
        negative=negative or Buckets(0, []),
        flags=0,
        min=0.0,
        max=0.0,
    )


@given(st.lists(st.floats(min_value=1e-9, max_value=1e12), min_size=1, max_size=50))
def test_every_observation_is_in_its_bucket(values: list[float]) -> None:
    """What the SDK recorded exponentially is found at the right bounds, without estimates."""
    reader = InMemoryMetricReader(
        preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()}
    )
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    histogram = provider.get_meter("test").create_histogram("h")
    for value in values:
        histogram.record(value)
    data = reader.get_metrics_data()
    assert data is not None
    given_data = data.resource_metrics[0].scope_metrics[0].metrics[0].data
    assert isinstance(given_data, ExponentialHistogram)

    bounds, points = explicit({"": octaves(given_data.data_points[0])})

    expected = [0] * (len(bounds) + 1)
    for value in values:
        expected[bisect_left(bounds, value)] += 1
    assert list(points[""].bucket_counts) == expected


def test_bounds_do_not_depend_on_the_scale() -> None:
    """A series keeps its bounds when the SDK lowers its scale."""
    fine, _ = explicit({"": octaves(point(3, Buckets(0, [1] * 16)))})
    coarse, _ = explicit({"": octaves(point(0, Buckets(0, [8, 8])))})

    assert fine == coarse == (0.0, 2.0, 4.0)


def test_zero_and_negative_observations_are_at_zero() -> None:
    """Observations that are not positive are counted, at `le="0.0"`."""
    bounds, points = explicit(
        {"": octaves(point(0, Buckets(0, [5]), zero=2, negative=Buckets(3, [1, 1])))}
    )

    assert (bounds, list(points[""].bucket_counts)) == ((0.0, 2.0), [4, 5, 0])


def test_the_number_of_bounds_is_limited() -> None:
    """The widest possible range still has few buckets, and loses no observation."""
    wide = octaves(point(0, Buckets(-1074, [1] * 2097)))

    bounds, points = explicit({"": wide})

    assert len(bounds) <= BOUNDS_MAX + 1
    assert sum(points[""].bucket_counts) == 2097


def test_series_of_a_family_share_their_bounds() -> None:
    """Quantiles over several series need the same bounds in each."""
    _, points = explicit(
        {
            "a": octaves(point(0, Buckets(0, [1]))),
            "b": octaves(point(-2, Buckets(1, [1]))),
        }
    )

    assert [list(each.bucket_counts) for each in points.values()] == [
        [0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    ]


def test_junk_offsets_are_bounded() -> None:
    """Indexes beyond any float end in the last bucket, or in the least."""
    bounds, points = explicit({"": octaves(point(0, Buckets(10**9, [1])))})

    assert (bounds, list(points[""].bucket_counts)) == ((0.0,), [0, 1])
