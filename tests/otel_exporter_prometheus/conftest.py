"""What several tests of the page need: a provider to record with, and the official parsers."""

from collections.abc import Callable, Iterator

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource

from otel_exporter_prometheus import PrometheusMetricReader


@pytest.fixture
def reader() -> Iterator[PrometheusMetricReader]:
    """A reader without a page of its own."""
    reader = PrometheusMetricReader(serve=False)
    yield reader
    reader.shutdown()


@pytest.fixture
def meter(reader: PrometheusMetricReader) -> Meter:
    """A meter whose instruments `reader` shows."""
    provider = MeterProvider(
        metric_readers=[reader],
        resource=Resource({"service.name": "shop"}),
        shutdown_on_exit=False,
    )
    return provider.get_meter("test")


@pytest.fixture
def lines(reader: PrometheusMetricReader) -> Callable[..., list[str]]:
    """The page's lines without `target_info`."""

    def read(*, openmetrics: bool = False) -> list[str]:
        page = reader.page(openmetrics=openmetrics).decode()
        return [line for line in page.splitlines() if "target" not in line]

    return read
