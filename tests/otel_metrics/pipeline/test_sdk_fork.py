"""What a forked child gets of the SDK: locks that nobody holds, and storages without sums.

`renew` is called as in a child; threads that hang here stand for those that are gone there.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.metrics import CallbackOptions, CallbackT, Observation
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    Counter,
    MeterProvider,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)

from otel_metrics.pipeline import sdk_fork

PROMPTLY_S = 10.0


class Gate:
    """Where threads hang until the test has ended, but for who comes later."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def hang(self) -> None:
        """Wait, the first time."""
        if not self.reached.is_set():
            self.reached.set()
            self._open.wait()

    def enter(self, work: Callable[[], object]) -> None:
        """Have a thread do what hangs; in a child it would be gone, so its end does not matter."""

        def work_() -> None:
            with contextlib.suppress(Exception):
                work()

        threading.Thread(target=work_, daemon=True).start()
        assert self.reached.wait(PROMPTLY_S)

    def open(self) -> None:
        """Let it go on."""
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


def promptly(work: Callable[[], object]) -> bool:
    """Tell whether something ends."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PROMPTLY_S)
    return not thread.is_alive()


def provider(*readers: Any, **arguments: Any) -> MeterProvider:
    return MeterProvider(readers, shutdown_on_exit=False, **arguments)


def metrics(reader: InMemoryMetricReader) -> dict[str, Metric]:
    """Return what a reader collects, by name."""
    collected = reader.get_metrics_data()
    return {
        metric.name: metric
        for resource_metrics in (collected.resource_metrics if collected else [])
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
    }


def values(reader: InMemoryMetricReader, name: str) -> list[Any]:
    """Return the values of a metric's points."""
    found = metrics(reader).get(name)
    return [] if found is None else [point.value for point in found.data.data_points]  # type: ignore[union-attr]  # of counters and gauges


def test_nothing_is_missing_in_this_sdk() -> None:
    """All that is replaced is there, of every part that it is replaced in."""
    made = provider(InMemoryMetricReader())
    made.get_meter("shop").create_counter("orders").add(1)

    assert sdk_fork.missing(made) == []


def test_a_changed_sdk_is_left_alone_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """Where a part is not what it was, nothing is replaced by halves, and one line says so."""
    reader = InMemoryMetricReader()
    made: Any = provider(reader)
    made.get_meter("shop").create_counter("orders").add(7)
    kept = made._measurement_consumer.__dict__.pop("_lock")
    with caplog.at_level(logging.WARNING, "otel_metrics.pipeline"):
        renewed = [sdk_fork.renew(made), sdk_fork.renew(made)]
    made._measurement_consumer._lock = kept

    assert renewed == [False, False]
    (record,) = caplog.records
    assert "has no SynchronousMeasurementConsumer._lock: a forked child may hang" in record.message
    assert values(reader, "orders") == [7]


def test_what_is_missing_is_named_by_its_part() -> None:
    """In the provider, in what takes measurements, in readers, storages and meters."""
    reader = InMemoryMetricReader()
    made: Any = provider(reader)
    meter = made.get_meter("shop")
    parts = [
        (made, "_meter_lock"),
        (meter, "_instrument_ids"),
        (reader, "_instrument_class_aggregation"),
        (made._measurement_consumer._reader_storages[reader], "_lock"),
        (made._measurement_consumer, "_sdk_config"),
    ]
    for part, name in parts:
        del part.__dict__[name]

    assert sdk_fork.missing(made) == sorted(f"{type(part).__name__}.{name}" for part, name in parts)


def test_every_reader_starts_from_zero() -> None:
    """Cumulative or not; what was made before goes on counting."""
    one = InMemoryMetricReader()
    other = InMemoryMetricReader(preferred_temporality={Counter: AggregationTemporality.DELTA})
    made = provider(one, other)
    counter = made.get_meter("shop").create_counter("orders")
    counter.add(100)

    assert sdk_fork.renew(made)
    assert [values(one, "orders"), values(other, "orders")] == [[], []]
    counter.add(10)
    assert [values(one, "orders"), values(other, "orders")] == [[10], [10]]


def test_views_and_limits_are_kept() -> None:
    """A renewed storage aggregates as the service said."""
    reader = InMemoryMetricReader(cardinality_limits={Counter: 2})
    views = [
        View(instrument_name="waits", aggregation=ExponentialBucketHistogramAggregation()),
        View(instrument_name="noise", aggregation=DropAggregation()),
        View(instrument_name="orders", name="sold", attribute_keys={"user"}),
    ]
    made = provider(reader, views=views)
    meter = made.get_meter("shop")
    orders, waits, noise = (
        meter.create_counter("orders"),
        meter.create_histogram("waits"),
        meter.create_counter("noise"),
    )

    def record() -> dict[str, tuple[str, int]]:
        waits.record(1)
        noise.add(1)
        for number in range(5):
            orders.add(1, {"user": number, "route": number})
        return {
            name: (type(metric.data).__name__, len(metric.data.data_points))
            for name, metric in metrics(reader).items()
        }

    before = record()
    sdk_fork.renew(made)

    assert record() == before
    assert set(before) == {"waits", "sold"}


@pytest.mark.parametrize(
    ("chosen", "kept"), [(AlwaysOnExemplarFilter(), 1), (AlwaysOffExemplarFilter(), 0)]
)
def test_the_exemplar_filter_is_kept(chosen: Any, kept: int) -> None:
    """Always, or never."""
    reader = InMemoryMetricReader()
    made = provider(reader, exemplar_filter=chosen)
    counter = made.get_meter("shop").create_counter("orders")
    sdk_fork.renew(made)
    counter.add(1)
    (point,) = metrics(reader)["orders"].data.data_points

    assert len(point.exemplars) == kept


def test_callbacks_are_kept() -> None:
    """An observable instrument is asked once in each collection."""
    reader = InMemoryMetricReader()
    made = provider(reader)
    made.get_meter("shop").create_observable_gauge("open", [lambda _: [Observation(3)]])
    sdk_fork.renew(made)

    assert values(reader, "open") == [3]


def test_a_collection_that_hangs_holds_nothing(gate: Gate) -> None:
    """What a thread locked in a callback is free: to collect, to join and to leave."""
    reader = InMemoryMetricReader()
    made = provider(reader)

    def hang(_: CallbackOptions) -> list[Observation]:
        gate.hang()
        return [Observation(3)]

    made.get_meter("shop").create_observable_gauge("open", [hang])
    gate.enter(reader.get_metrics_data)
    sdk_fork.renew(made)

    assert promptly(reader.get_metrics_data)
    assert promptly(lambda: made.add_metric_reader(InMemoryMetricReader()))
    assert promptly(lambda: made.remove_metric_reader(reader))


def test_an_instrument_that_was_half_made_can_be_made(gate: Gate) -> None:
    """Its name is not taken by what is not there, and the meter makes others."""
    reader = InMemoryMetricReader()
    made = provider(reader)
    meter = made.get_meter("shop")

    class Callbacks(list[CallbackT]):
        def __iter__(self) -> Iterator[CallbackT]:
            gate.hang()
            return super().__iter__()

    def create(callbacks: Sequence[CallbackT]) -> None:
        meter.create_observable_gauge("open", callbacks)

    gate.enter(lambda: create(Callbacks()))
    sdk_fork.renew(made)

    assert promptly(lambda: meter.create_counter("orders").add(1))
    assert promptly(lambda: create([lambda _: [Observation(3)]]))
    assert (values(reader, "orders"), values(reader, "open")) == ([1], [3])


def test_a_periodic_reader_that_was_exporting_exports(gate: Gate) -> None:
    """The lock around its exports is free, too."""

    class Hanging(MetricExporter):
        def export(
            self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
        ) -> MetricExportResult:
            gate.hang()
            return MetricExportResult.SUCCESS

        def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
            pass

        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            return True

    reader = PeriodicExportingMetricReader(Hanging(), export_interval_millis=float("inf"))
    made = provider(reader)
    made.get_meter("shop").create_counter("orders").add(1)
    gate.enter(reader.force_flush)
    sdk_fork.renew(made)
    made.get_meter("shop").create_counter("orders").add(1)

    assert promptly(reader.force_flush)
