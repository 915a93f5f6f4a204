"""The short way into the SDK counts what the SDK's own way counts, whatever readers there are."""

import os
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_metrics import direct
from otel_metrics.pipeline import sdk_fork

ABOUT = {"skill": "triage", "agent": "support"}
OTHER = {"skill": "triage", "agent": "sales"}


def sums(reader: InMemoryMetricReader) -> dict[str, float]:
    """Return what a reader collects now, added over the series of each metric."""
    data = reader.get_metrics_data()
    return {
        metric.name: sum(getattr(p, "value", getattr(p, "sum", 0)) for p in metric.data.data_points)
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def record(provider: MeterProvider, times: int = 5) -> list[direct.Measure]:
    """Record into a counter and a histogram, of two series each."""
    meter = provider.get_meter("test")
    counter, histogram = meter.create_counter("c"), meter.create_histogram("h")
    short = [direct.measure(counter, counter.add), direct.measure(histogram, histogram.record)]
    again(short, times)
    return short


def again(short: list[direct.Measure], times: int = 5) -> None:
    """Record once more through the same measures."""
    for _ in range(times):
        for measure in short:
            measure(1, ABOUT)
            measure(2, OTHER)


def test_all_is_counted() -> None:
    """Also after a collection, and in every reader."""
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    short = record(MeterProvider(readers))
    first = [sums(reader) for reader in readers]
    again(short)

    assert first == [{"c": 15, "h": 15}] * 2
    assert [sums(reader) for reader in readers] == [{"c": 30, "h": 30}] * 2


def test_it_is_the_short_way_that_counts() -> None:
    """The instrument itself is asked for the first measurement of a series only."""
    counter = MeterProvider([InMemoryMetricReader()]).get_meter("test").create_counter("c")
    asked: list[float] = []

    def usual(value: float, series: Any) -> None:
        asked.append(value)
        counter.add(value, series)

    measure = direct.measure(counter, usual)
    for value in (1, 2, 3):
        measure(value, ABOUT)

    assert asked == [1]


def test_sums_that_are_dropped_at_each_collection_are_right() -> None:
    """A reader of delta temporality beside a cumulative one."""
    delta = InMemoryMetricReader(preferred_temporality={Counter: AggregationTemporality.DELTA})
    total = InMemoryMetricReader()
    short = record(MeterProvider([delta, total]))
    assert (sums(delta)["c"], sums(total)["c"]) == (15, 15)
    again(short)

    assert (sums(delta)["c"], sums(total)["c"]) == (15, 30)


def test_a_reader_that_joins_sees_what_follows() -> None:
    """Nothing remembered of before hides it."""
    provider = MeterProvider([InMemoryMetricReader()])
    short = record(provider)
    late = InMemoryMetricReader()
    provider.add_metric_reader(late)
    again(short)

    assert sums(late) == {"c": 15, "h": 15}


def test_views_hold() -> None:
    """One that keeps fewer attributes, under another name, and one that drops."""
    reader = InMemoryMetricReader()
    views = [View(instrument_name="c", name="fewer", attribute_keys={"skill"})]
    record(MeterProvider([reader], views=views))

    assert sums(reader) == {"fewer": 15, "h": 15}


def test_a_reader_over_its_limit_counts_in_its_overflow() -> None:
    """And loses nothing."""
    reader = InMemoryMetricReader(cardinality_limits={Counter: 1})
    record(MeterProvider([reader]))

    assert sums(reader)["c"] == 15


def test_a_measurement_inside_a_span_is_an_exemplar() -> None:
    """With the trace that it was made in."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], exemplar_filter=AlwaysOnExemplarFilter())
    short = record(provider)
    reader.get_metrics_data()  # which takes the exemplars of before
    span = SpanContext(trace_id=7, span_id=9, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(span)):
        again(short, 20)

    data = reader.get_metrics_data()
    assert data is not None
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert {exemplar.trace_id for point in points for exemplar in point.exemplars} == {7}


def test_a_forked_child_counts_from_zero() -> None:
    """Its storages are new, and are the ones that are counted into."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    short = record(provider)
    pid = os.fork()
    if pid == 0:
        sdk_fork.renew(provider)
        again(short)
        os._exit(int(sums(reader) != {"c": 15, "h": 15}))
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("instrument", [object(), None])
def test_an_instrument_of_another_kind_is_called_as_it_is(instrument: object) -> None:
    """A proxy, or one of another SDK."""
    asked: list[float] = []

    direct.measure(instrument, lambda value, _: asked.append(value))(5, ABOUT)

    assert asked == [5]
