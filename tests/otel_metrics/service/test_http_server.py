"""What a service's own HTTP server metrics say of the time since the last sample.

The instruments are those that instrumentation creates, recorded by hand under its names.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData

from otel_metrics.catalog.loader import builtin
from otel_metrics.catalog.model import Statistic
from otel_metrics.service.http_server import HttpServer, quantile
from otel_metrics.service.readings import SourceError
from otel_metrics.testing import Captured
from tests.e2e.services import until
from tests.otel_metrics.service.sampling import declared, sampling

SECONDS = "http.server.request.duration"
MILLISECONDS = "http.server.duration"
BOUNDS = (0.1, 0.2, 0.4)


@dataclass
class Shop:
    """A service with HTTP metrics, and what is collected of it."""

    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    provider: MeterProvider = field(init=False)

    def __post_init__(self) -> None:
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def meter(self, name: str = "opentelemetry.instrumentation.asgi") -> Meter:
        """Return the meter of an instrumentation."""
        return self.provider.get_meter(name)

    def serve(
        self,
        durations_s: Sequence[float],
        *,
        status: int = 200,
        scope: str = "opentelemetry.instrumentation.asgi",
        bounds: Sequence[float] = BOUNDS,
    ) -> None:
        """Record requests as instrumentation does that follows the stable conventions."""
        histogram = self.meter(scope).create_histogram(
            SECONDS, unit="s", explicit_bucket_boundaries_advisory=list(bounds)
        )
        for duration_s in durations_s:
            histogram.record(
                duration_s, {"http.response.status_code": status, "http.route": "/orders"}
            )

    def collect(self) -> MetricsData | None:
        """Collect as the hub does."""
        return self.reader.get_metrics_data()

    def figure(self, statistic: Statistic, unit: str = "s", capacity: float = 40) -> HttpServer:
        """Return one figure of it, that has looked once."""
        found = HttpServer(self.collect, statistic, unit, capacity)
        found.read()
        return found


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A service with HTTP metrics."""
    made = Shop()
    yield made
    made.provider.shutdown()


def test_latency_is_of_the_requests_since_the_last_sample(shop: Shop) -> None:
    """Those before it, however slow, are of the sample before."""
    shop.serve([0.35] * 100)
    latency = shop.figure("latency_p95", "ms")
    shop.serve([0.15] * 100)

    (value,) = latency.read().values()
    assert value == pytest.approx(195.0)


def test_errors_are_the_share_of_5xx(shop: Shop) -> None:
    """Of all requests since the last sample; 4xx are none of ours."""
    shop.serve([0.1] * 5, status=500)
    ratio = shop.figure("error_ratio", "{ratio}")
    shop.serve([0.1] * 94)
    shop.serve([0.1] * 2, status=404)
    shop.serve([0.1] * 3, status=500)
    shop.serve([0.1], status=503)

    assert ratio.read() == {None: 0.04}
    shop.serve([0.1])
    assert ratio.read() == {None: 0.0}


def test_the_rate_is_per_second_between_the_collections(shop: Shop) -> None:
    """By their own times, whenever they are compared."""
    shop.serve([0.1] * 7)
    collected: list[MetricsData] = []

    def collect() -> MetricsData | None:
        found = shop.collect()
        assert found is not None
        collected.append(found)
        return found

    rate = HttpServer(collect, "request_rate", "{request}/s", None)
    rate.read()
    shop.serve([0.1] * 50)
    (value,) = rate.read().values()

    first, second = (
        each.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0].time_unix_nano
        for each in collected
    )
    assert value == pytest.approx(50 / ((second - first) / 1e9))


def test_without_requests_only_the_rate_has_a_value(shop: Shop) -> None:
    """It is 0; a share of nothing is not published."""
    shop.serve([0.1])
    figures = [shop.figure(each) for each in ("request_rate", "error_ratio", "latency_p95")]

    assert [list(each.read().values()) for each in figures] == [[0.0], [None], [None]]


def test_nothing_is_said_without_a_server(shop: Shop) -> None:
    """A service that serves no HTTP has no figures, and no errors."""
    kinds: tuple[Statistic, ...] = ("request_rate", "error_ratio", "latency_p95", "saturation")

    assert [shop.figure(each).read() for each in kinds] == [{}] * 4


def test_the_first_requests_of_a_service_count(shop: Shop) -> None:
    """The histogram is made with the first of them, after the first look."""
    ratio = shop.figure("error_ratio")
    shop.serve([0.1] * 3)
    shop.serve([0.1], status=500)

    assert ratio.read() == {None: 0.25}


def test_saturation_is_the_share_of_the_capacity_that_is_in_use(shop: Shop) -> None:
    """Now, over all routes; it needs no second look."""
    active = shop.meter().create_up_down_counter("http.server.active_requests", "{request}")
    active.add(3, {"http.request.method": "GET"})
    active.add(5, {"http.request.method": "POST"})

    assert HttpServer(shop.collect, "saturation", "%", 40).read() == {None: 20.0}


def test_older_instrumentation_is_understood(shop: Shop) -> None:
    """Its histogram is in milliseconds and names the status otherwise."""
    histogram = shop.meter().create_histogram(
        MILLISECONDS, unit="ms", explicit_bucket_boundaries_advisory=[100, 200, 400]
    )
    histogram.record(1, {"http.status_code": 200})
    latency, ratio = shop.figure("latency_p95", "ms"), shop.figure("error_ratio")
    for _ in range(100):
        histogram.record(150, {"http.status_code": 502})

    assert latency.read() == {None: pytest.approx(195.0)}
    assert ratio.read() == {None: 1.0}


def test_instrumentation_that_records_both_ways_counts_once(shop: Shop) -> None:
    """As it does while a service moves to the stable conventions."""
    older = shop.meter().create_histogram(MILLISECONDS, unit="ms")
    shop.serve([0.1])
    ratio = shop.figure("error_ratio")
    older.record(100, {"http.status_code": 500})
    shop.serve([0.1] * 4)

    assert ratio.read() == {None: 0.0}


def test_requests_of_several_frameworks_are_added(shop: Shop) -> None:
    """Each keeps its own counts, under the same attributes."""
    shop.serve([0.1], scope="asgi")
    shop.serve([0.1], scope="wsgi")
    ratio = shop.figure("error_ratio")
    shop.serve([0.1] * 2, scope="asgi")
    shop.serve([0.1] * 2, scope="wsgi", status=500)

    assert ratio.read() == {None: 0.5}


def test_histograms_of_different_buckets_are_not_mixed(shop: Shop) -> None:
    """There is no quantile of both."""
    shop.serve([0.1], scope="asgi")
    latency = shop.figure("latency_p95")
    shop.serve([0.1], scope="wsgi", bounds=(1.0, 2.0))

    with pytest.raises(SourceError, match="several buckets") as raised:
        latency.read()
    assert raised.value.kind == "ambiguous"


def test_a_collection_that_was_seen_before_is_not_a_quiet_time(shop: Shop) -> None:
    """The hub hands the last one out while a callback hangs: then there is no value, also where
    that would be 0."""
    shop.serve([0.1])
    active = shop.meter().create_up_down_counter("http.server.active_requests", "{request}")
    active.add(3)
    seen = shop.collect()

    for statistic in ("request_rate", "saturation"):
        figure = HttpServer(lambda: seen, statistic, "%", 40)
        figure.read()
        with pytest.raises(SourceError) as raised:
            figure.read()
        assert raised.value.kind == "timeout"


def test_a_collection_that_hangs_is_no_answer(shop: Shop) -> None:
    """As the hub says where there is no last one."""

    def hang() -> MetricsData | None:
        raise TimeoutError("the first collection does not end: a callback hangs")

    with pytest.raises(SourceError) as raised:
        HttpServer(hang, "request_rate", "{request}/s", None).read()
    assert raised.value.kind == "timeout"


def test_the_api_metrics_of_the_catalog_are_sampled(
    captured_telemetry: Captured, shop: Shop
) -> None:
    """All four, of the service, in their units."""
    names = ["api.latency_p95", "api.error_rate", "api.request_rate", "api.saturation"]
    metrics = [
        declared(
            name,
            unit=entry.unit,
            type="http_server",
            scope="service",
            statistic=entry.source.statistic,
            capacity=entry.source.capacity,
        )
        for name in names
        for entry in [builtin().metrics[name]]
        if entry.source is not None
    ]
    active = shop.meter().create_up_down_counter("http.server.active_requests", "{request}")
    active.add(10)
    with sampling(*metrics, collect=shop.collect) as kept:

        def all_are_there() -> bool:
            shop.serve([0.15] * 19)
            shop.serve([0.15], status=500)
            return all(kept.values(name) for name in names)

        until(all_are_there)
        found = {sample.metric: sample.value for sample in kept.samples}

    assert found["api.latency_p95"] == pytest.approx(195.0)
    assert found["api.error_rate"] == pytest.approx(0.05, abs=0.04)
    assert found["api.request_rate"] > 0
    assert found["api.saturation"] == 25.0
    assert {sample.resource.id for sample in kept.samples} == {"shop"}


BUCKETS = st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any)


@given(BUCKETS, st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_its_rank(counts: list[int], share: float) -> None:
    """Between the bounds of the bucket in which so many values have been passed; above the last
    bound it is that bound."""
    bounds = tuple(float(index + 1) for index in range(len(counts) - 1))
    found = quantile(share, bounds, tuple(counts))

    rank = share * sum(counts)
    passed = itertools.accumulate(counts)
    index = next(i for i, below in enumerate(passed) if counts[i] and below >= rank)
    lower = bounds[index - 1] if index else 0.0
    upper = bounds[index] if index < len(bounds) else lower
    assert lower <= found <= max(upper, lower) + 1e-9


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(any))
def test_quantiles_rise_with_their_share(counts: list[int]) -> None:
    """So p95 is never below the median."""
    bounds = (1.0, 2.0)
    found = [quantile(share / 20, bounds, tuple(counts)) for share in range(1, 21)]

    assert found == sorted(found)
