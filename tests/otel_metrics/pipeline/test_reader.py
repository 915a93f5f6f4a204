"""How many attribute sets the hub's reader keeps of instruments that no handle is in front of."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.metrics.view import View

from otel_metrics import instruments, rejections
from otel_metrics.catalog.loader import builtin
from otel_metrics.catalog.model import SERIES_BUDGET, Catalog, Metric
from otel_metrics.pipeline.reader import HubReader

OVERFLOW = {"otel.metric.overflow": True}


@pytest.fixture(autouse=True)
def _built_in_catalog() -> Iterator[None]:
    yield
    instruments.reset()


def catalog_with_budget(series_budget: int) -> Catalog:
    """The built-in catalog and `test.metric`, a counter with that budget."""
    made = Metric(
        name="test.metric",
        instrument="counter",
        unit="{item}",
        brief="An item.",
        prometheus="test_metric_total",
        value_type="int",
        domain="test",
        attributes=("user",),
        series_budget=series_budget,
    )
    base = builtin()
    return Catalog(
        metrics={**base.metrics, made.name: made}, attributes=base.attributes, events=base.events
    )


def points(collected: MetricsData | None, name: str) -> list[Any]:
    assert collected is not None
    return [
        point
        for resource_metrics in collected.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


def overflowed() -> dict[str, float]:
    """What `metric.overflow` says, by metric."""
    return {str(series["metric"]): total for total, series in rejections.read_overflowed()}


def joined(reader: HubReader, *views: View) -> MeterProvider:
    return MeterProvider([reader], views=views, shutdown_on_exit=False)


def record_users(call: Callable[..., None], users: int) -> None:
    for number in range(users):
        call(1, {"user": f"u{number}", "route": "/pay"})


def test_a_service_s_own_instrument_is_bounded() -> None:
    """It keeps what the largest budget allows and the overflow series, and loses no count."""
    reader = HubReader()
    record_users(joined(reader).get_meter("shop").create_counter("orders").add, 10_000)

    kept = points(reader.take(5), "orders")

    assert len(kept) == SERIES_BUDGET + 2
    assert sum(point.value for point in kept) == 10_000


def test_a_metric_of_the_catalog_is_never_cut_short() -> None:
    """Every set of a budget beyond the SDK's limit is there, and the overflow is the handle's."""
    instruments.use_catalog(catalog_with_budget(5_000))
    reader = HubReader()
    instruments.bind(joined(reader))
    handle = instruments.metric("test.metric")
    for number in range(5_100):
        handle.add(1, {"user": f"u{number}"})

    kept = points(reader.take(5), "test.metric")

    assert len(kept) == 5_001
    assert {point.value for point in kept} == {1, 100}
    assert overflowed() == {"test.metric": 100}


def test_an_overflow_that_comes_early_takes_no_place() -> None:
    """The last set that a budget admits is kept when the overflow series came before it."""
    reader = HubReader()
    counter = joined(reader).get_meter("shop").create_counter("orders")
    counter.add(1, OVERFLOW)
    record_users(counter.add, SERIES_BUDGET)

    assert len(points(reader.take(5), "orders")) == SERIES_BUDGET + 1


def test_an_overflow_of_the_service_s_own_names_the_attribute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line says which metric and which attribute, however long it lasts."""
    reader = HubReader()
    counter = joined(reader).get_meter("shop").create_counter("orders")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            record_users(counter.add, 2_100)
            reader.take(5)

    (record,) = caplog.records
    assert record.getMessage() == (
        "orders: more than 2001 attribute sets; further ones count under "
        "otel.metric.overflow=true. Most values: attribute user, 2001 of them. "
        "Give it fewer values, or raise its limit by a View (aggregation_cardinality_limit)"
    )


def test_an_overflow_is_counted_while_it_goes_on() -> None:
    """Of a histogram each measurement, of a counter one for each collection with new ones."""
    reader = HubReader()
    meter = joined(reader).get_meter("shop")
    histogram, counter = meter.create_histogram("times"), meter.create_counter("orders")
    record_users(counter.add, 2_050)
    for users in (2_021, 2_011):
        record_users(histogram.record, users)
        reader.take(5)
    for _ in range(3):
        reader.take(5)

    assert overflowed() == {"times": 20 + 10, "orders": 1}


def test_a_limit_that_the_service_set_is_watched_too(caplog: pytest.LogCaptureFixture) -> None:
    """A View's own limit holds, and what is over it is told."""
    reader = HubReader()
    provider = joined(reader, View(instrument_name="orders", aggregation_cardinality_limit=10))
    record_users(provider.get_meter("shop").create_up_down_counter("orders").add, 12)
    with caplog.at_level(logging.WARNING):
        kept = points(reader.take(5), "orders")

    assert len(kept) == 11
    assert "orders: more than 10 attribute sets" in caplog.text
    assert overflowed() == {"orders": 1}


def test_nothing_is_told_at_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    """A metric that is just full has lost nothing."""
    reader = HubReader()
    record_users(joined(reader).get_meter("shop").create_counter("orders").add, SERIES_BUDGET + 1)
    reader.take(5)

    assert (caplog.records, overflowed()) == ([], {})
