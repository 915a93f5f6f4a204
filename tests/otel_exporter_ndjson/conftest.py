"""Records to archive: one batch of metrics and one log record, made as the SDK makes them."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

_RESOURCE = Resource({"service.name": "shop"})
_SCOPE = InstrumentationScope("tests", "1")


@pytest.fixture
def batch() -> Callable[..., MetricsData]:
    """Make a batch with one counter of the given values."""

    def make(*values: int, service: str = "shop") -> MetricsData:
        resource = _RESOURCE if service == "shop" else Resource({"service.name": service})
        points = [NumberDataPoint({"n": n}, 1, time.time_ns(), n) for n in values]
        total: Any = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        scoped = ScopeMetrics(_SCOPE, [Metric("orders", "Orders.", "1", total)], "")
        return MetricsData([ResourceMetrics(resource, [scoped], "")])

    return make


@pytest.fixture
def event() -> Callable[..., ReadableLogRecord]:
    """Make a log record with a number and, if wanted, a text of some size."""

    def make(number: int, text: str = "") -> ReadableLogRecord:
        record = LogRecord(
            timestamp=time.time_ns(),
            event_name="order.placed",
            attributes={"n": number, "text": text},
            context=Context(),
        )
        return ReadableLogRecord(record, resource=_RESOURCE, instrumentation_scope=_SCOPE)

    return make


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Every thread of an exporter ends with its shutdown; compression with its last segment."""
    others = frozenset(threading.enumerate())
    yield
    for thread in threading.enumerate():
        if thread not in others and thread.name.startswith("otel-exporter-ndjson"):
            thread.join(30)  # a disk that others use, too
            assert not thread.is_alive(), thread.name
