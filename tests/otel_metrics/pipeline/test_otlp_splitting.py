"""Requests that are too large: sent in parts that a real server takes, and never refused again."""

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_metrics.pipeline import otlp
from otel_metrics.pipeline.batch import count_points, cut, cut_points, joined, with_points
from otel_metrics.pipeline.delivery import DELIVERED, Outcome
from otel_metrics.pipeline.otlp_splitting import FORGET_S, RequestSize, Sizes

Make = Callable[..., Any]
LIMIT = 10_000


@pytest.fixture
def limited(http_collector: Make, grpc_collector: Make, request: Any) -> Any:
    """A collector that takes no request over 10 kB, over either protocol."""
    make = grpc_collector if request.param == "grpc" else http_collector
    return make(bytes_max=LIMIT)


both = pytest.mark.parametrize(
    "limited", ["http/protobuf", pytest.param("grpc", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture
def sized(batch: Make) -> Make:
    """Make a batch of points, each with a text of the length given."""

    def make(*lengths: int) -> MetricsData:
        made: MetricsData = batch(*range(len(lengths)))
        scope = made.resource_metrics[0].scope_metrics[0]
        points: list[Any] = [*scope.metrics[0].data.data_points]
        texts = [
            dataclasses.replace(point, attributes={"n": n, "text": "x" * lengths[n]})
            for n, point in enumerate(points)
        ]
        metric = with_points(scope.metrics[0], texts)
        scopes = [dataclasses.replace(scope, metrics=[metric])]
        return MetricsData([dataclasses.replace(made.resource_metrics[0], scope_metrics=scopes)])

    return make


def arrived(collector: Any) -> list[int]:
    """Return the values of the points that a collector took."""
    return sorted(
        point.as_int
        for message in collector.messages
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.sum.data_points
    )


@both
def test_all_that_fits_is_delivered(limited: Any, metric_exporter: Make, sized: Make) -> None:
    """A batch that a server refuses arrives in parts, each point once."""
    outcome = metric_exporter(limited).export(sized(*[50] * 1000), 10)

    assert outcome == DELIVERED
    assert arrived(limited) == [*range(1000)]


@both
def test_the_next_batch_is_not_refused(limited: Any, metric_exporter: Make, sized: Make) -> None:
    """What the server took is remembered, also for a batch that has grown."""
    exporter = metric_exporter(limited)
    exporter.export(sized(*[50] * 300), 10)
    refused = limited.refused
    limited.messages.clear()

    outcomes = [exporter.export(sized(*[50] * size), 10) for size in (300, 310, 450, 900)]

    assert outcomes == [DELIVERED] * 4
    assert len(arrived(limited)) == 300 + 310 + 450 + 900
    assert (refused > 0, limited.refused) == (True, refused)


@both
def test_a_point_that_is_too_large_is_left_out_and_counted(
    limited: Any, metric_exporter: Make, sized: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The others arrive in the same export; the verdict names it; it is not sent again."""
    exporter = metric_exporter(limited)
    lengths = [50] * 500 + [20_000] + [50] * 500 + [30_000]

    first = exporter.export(sized(*lengths), 10)
    refused = limited.refused
    second = exporter.export(sized(*lengths), 10)

    said = "2 were too large for the server and left out: runs"
    good = [*range(500), *range(501, 1001)]
    assert [first, second] == [Outcome(True, said)] * 2
    assert arrived(limited) == sorted(good * 2)
    assert exporter.stats().rejected == {"too_large": 4}
    assert exporter.stats().exported == 2000
    assert limited.refused == refused
    assert caplog.messages == [f"exporter otlp (metrics): {said}"]


@both
def test_a_batch_of_nothing_else_is_failed(
    limited: Any, metric_exporter: Make, sized: Make
) -> None:
    """Where nothing of a batch was taken the reason is the server's, and it is not sent again."""
    outcome = metric_exporter(limited).export(sized(20_000), 10)

    assert (outcome.ok, outcome.final) == (False, True)
    assert "too large" in outcome.reason or "larger than max" in outcome.reason


@both
def test_events_arrive_in_parts(limited: Any, log_exporter: Make) -> None:
    """Records are cut likewise; one that is too large is counted, the others arrive in order."""
    texts = ["a" * 90] * 200 + ["b" * 20_000] + ["c" * 90] * 200
    exporter = log_exporter(limited)
    records = [
        ReadableLogRecord(LogRecord(timestamp=n, body=text, event_name="e"), Resource({}))
        for n, text in enumerate(texts)
    ]

    outcome = exporter.export(records, 10)

    times = [
        record.time_unix_nano
        for message in limited.messages
        for resource in message.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]
    assert outcome == Outcome(True, "1 were too large for the server and left out: e")
    assert outcome.left_out == 1
    assert times == [*range(200), *range(201, 401)]


def test_compressed_requests_are_cut_likewise(
    http_collector: Make, metric_exporter: Make, batch: Make
) -> None:
    """A server that looks at the bytes on the wire gets what it takes, too."""
    collector = http_collector(bytes_max=LIMIT, counts_packed=True)
    numbers = random.Random(1)
    exporter = metric_exporter(collector, compression="gzip")

    outcomes = [
        exporter.export(batch(*(numbers.getrandbits(62) for _ in range(3000))), 10)
        for _ in range(2)
    ]

    assert outcomes == [DELIVERED] * 2
    assert len(arrived(collector)) == 6000


def test_a_server_that_takes_nothing_is_left_alone(
    http_collector: Make, metric_exporter: Make, sized: Make
) -> None:
    """It is not sent thousands of requests, one a point."""
    collector = http_collector(bytes_max=0)
    exporter = metric_exporter(collector)

    outcome = exporter.export(sized(*[50] * 3000), 10)

    assert (outcome.ok, outcome.final) == (False, True)
    assert collector.refused < 50


def test_what_failed_half_way_is_sent_again_without_what_arrived(
    http_collector: Make, metric_exporter: Make, sized: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that a server does not take now leaves the rest to be sent, and no point twice."""
    monkeypatch.setattr(otlp, "ATTEMPTS_MAX", 1)
    collector = http_collector(bytes_max=LIMIT)
    exporter = metric_exporter(collector)
    exporter.export(sized(*[50] * 300), 10)
    collector.messages.clear()
    answer = type(collector.next_answer())
    collector.answers = [answer(), answer(status=503)]

    failed = exporter.export(sized(*[50] * 300), 10)
    later = exporter.export(failed.rest, 10)

    unwanted = collector.messages.pop(1)  # the request that was answered by 503
    assert (failed.ok, failed.final, later) == (False, False, DELIVERED)
    assert failed.delivered + count_points(failed.rest) == 300
    assert unwanted.resource_metrics
    assert arrived(collector) == [*range(300)]


def test_what_a_server_rejects_of_one_part_does_not_keep_the_others_back(
    http_collector: Make, metric_exporter: Make, sized: Make
) -> None:
    """The other parts are sent all the same, and the verdict counts what was rejected."""
    collector = http_collector(bytes_max=LIMIT)
    exporter = metric_exporter(collector)
    exporter.export(sized(*[50] * 300), 10)
    collector.messages.clear()
    answer = type(collector.next_answer())
    body = b"\x0a\x02\x08\x07"  # a partial success that rejects 7
    collector.answers = [answer(body=body)]

    outcome = exporter.export(sized(*[50] * 300), 10)

    assert outcome == Outcome(False, "partial success: 7 data points rejected")
    assert (outcome.rejected, outcome.delivered, outcome.final) == (7, 293, True)
    assert arrived(collector) == [*range(300)]


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(1, 40))
def test_parts_hold_what_the_batch_held(points: list[int], parts: int) -> None:
    """However a batch is cut, its parts are not empty, and hold each point once, in its metric."""
    template: MetricsData = _batch(points)

    made = cut_points(template, parts)

    assert len(made) == max(1, min(parts, sum(points)))
    assert [item for part in made for item in _flat(part)] == _flat(template)
    assert _flat(joined(made)) == _flat(template)
    sizes = [count_points(part) for part in made]
    assert max(sizes) - min(sizes) <= 1


def _batch(points: list[int]) -> MetricsData:
    metrics = [
        Metric(f"m{at}", "", "", Gauge([NumberDataPoint({}, 1, 2, n) for n in range(count)]))
        for at, count in enumerate(points)
    ]
    scopes = [ScopeMetrics(InstrumentationScope(metric.name), [metric], "") for metric in metrics]
    return MetricsData(
        [ResourceMetrics(Resource({"half": half}), scopes[half::2], "") for half in (0, 1)]
    )


def _flat(data: MetricsData) -> list[tuple[Any, ...]]:
    return [
        (
            dict(resource.resource.attributes),
            scope.scope.name,
            metric.name,
            getattr(point, "value", None),
        )
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


def test_a_sequence_is_cut_in_order() -> None:
    """No part is empty, and none is much larger than another."""
    assert cut(range(7), 3) == [range(2), range(2, 4), range(4, 7)]
    assert cut([], 3) == [[]]
    assert cut([1, 2], 9) == [[1], [2]]


def test_a_refusal_is_forgotten_in_time() -> None:
    """A server that was given more memory gets whole batches again."""
    sizes = Sizes()
    sizes.take(RequestSize(1000, 1000), 10)
    sizes.refuse(RequestSize(1000, 1000), now=5.0)
    sizes.begin(6.0)
    held = sizes.parts(10)
    sizes.begin(5.0 + FORGET_S)

    assert (held, sizes.parts(10)) == (2, 1)
    assert not sizes.is_refused(RequestSize(5000, 5000), 1)


def test_a_server_that_takes_less_than_it_did_is_believed() -> None:
    """A size that was taken once counts no more when a smaller one is refused."""
    sizes = Sizes()
    sizes.refuse(RequestSize(9000, 9000), now=0.0)
    sizes.take(RequestSize(8000, 8000), 80)
    sizes.refuse(RequestSize(4000, 4000), now=1.0)
    sizes.begin(2.0)

    assert sizes.parts(80) == 4
