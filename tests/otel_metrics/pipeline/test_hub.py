"""One collection for all: who gets it, who waits for whom, and what a flush may claim."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricsData
from opentelemetry.sdk.resources import Resource

from otel_metrics.pipeline.batch import cut_points
from otel_metrics.pipeline.delivery import DELIVERED, Outcome
from otel_metrics.pipeline.hub import Hub
from otel_metrics.pipeline.lanes import DeltaLane, MetricLane
from otel_metrics.pipeline.reader import BoundedReader


class Sender:
    """Keeps what it is given; waits where a test says so; fails where a test says so."""

    def __init__(self) -> None:
        self.batches: list[MetricsData] = []
        self.gate = threading.Event()
        self.gate.set()
        self.outcome = DELIVERED
        self.closed = False
        self.asked = threading.Event()

    def export(self, metrics_data: MetricsData, timeout_s: float) -> Outcome:
        self.asked.set()
        self.gate.wait(10)
        self.batches.append(metrics_data)
        return self.outcome

    def shutdown(self, timeout_s: float) -> None:
        self.closed = True


def value(batch: MetricsData, name: str = "orders") -> float:
    """Return the sum of a counter's points in a batch."""
    return sum(
        point.value
        for resource in batch.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
        if hasattr(point, "value")
    )


MakeHub = Callable[..., Hub]


@pytest.fixture
def provider() -> MeterProvider:
    return MeterProvider(
        resource=Resource.get_empty(),
        shutdown_on_exit=False,
        exemplar_filter=AlwaysOnExemplarFilter(),
    )


@pytest.fixture
def make_hub(provider: MeterProvider) -> Iterator[MakeHub]:
    """Start a hub over lanes; stop it after the test."""
    hubs: list[Hub] = []

    def make(*lanes: MetricLane, interval_s: float = 60.0) -> Hub:
        hub = Hub(provider, lanes, interval_s=interval_s, on_stop=lambda _: None)
        hub.start()
        hubs.append(hub)
        return hub

    yield make
    for hub in hubs:
        hub.stop(2)


def test_a_flush_delivers_what_was_recorded(provider: MeterProvider, make_hub: MakeHub) -> None:
    """What was recorded before a flush is with the exporter when it says delivered."""
    sender = Sender()
    hub = make_hub(MetricLane("a", sender, timeout_s=5))
    provider.get_meter("t").create_counter("orders").add(3)

    result = hub.flush(5)

    assert result.a.ok
    assert [value(batch) for batch in sender.batches] == [3]


def test_a_flush_with_nothing_recorded_is_delivered(make_hub: MakeHub) -> None:
    """A collection without points leaves nothing to deliver."""
    sender = Sender()

    assert make_hub(MetricLane("a", sender, timeout_s=5)).flush(5).ok
    assert sender.batches == []


def test_a_flush_that_fails_says_why(provider: MeterProvider, make_hub: MakeHub) -> None:
    """The verdict is failed, with the exporter's reason."""
    sender = Sender()
    sender.outcome = Outcome(ok=False, reason="UNAVAILABLE: nobody there")
    hub = make_hub(MetricLane("a", sender, timeout_s=5))
    provider.get_meter("t").create_counter("orders").add(1)

    verdict = hub.flush(5).a

    assert (verdict.status, verdict.reason) == ("failed", "UNAVAILABLE: nobody there")


def test_a_slow_exporter_delays_nobody(provider: MeterProvider, make_hub: MakeHub) -> None:
    """While one exporter hangs the other goes on, and the flush says which is which in time."""
    slow, quick = Sender(), Sender()
    slow.gate.clear()
    hub = make_hub(MetricLane("slow", slow, timeout_s=5), MetricLane("quick", quick, timeout_s=5))
    counter = provider.get_meter("t").create_counter("orders")
    counter.add(1)

    begun = time.monotonic()
    result = hub.flush(0.3)
    took = time.monotonic() - begun
    slow.gate.set()

    assert (result.slow.status, result.quick.status) == ("timed_out", "delivered")
    assert took < 2


def test_the_newest_batch_replaces_those_that_wait(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """A mailbox of one: what a hanging exporter missed is counted, and the newest says it all."""
    sender = Sender()
    sender.gate.clear()
    lane = MetricLane("a", sender, timeout_s=5)
    hub = make_hub(lane)
    counter = provider.get_meter("t").create_counter("orders")
    for _ in range(4):
        counter.add(1)
        hub.flush(0.2)
    sender.gate.set()

    assert hub.flush(5).ok
    assert value(sender.batches[-1]) == 4
    assert len(sender.batches) + lane.stats().skipped == 5


def test_the_hub_exports_each_interval(provider: MeterProvider, make_hub: MakeHub) -> None:
    """Without a flush, batches arrive by themselves."""
    sender = Sender()
    make_hub(MetricLane("a", sender, timeout_s=5), interval_s=0.05)
    provider.get_meter("t").create_counter("orders").add(1)

    assert sender.asked.wait(5)


def test_a_scrape_sees_what_was_just_recorded_and_exports_nothing(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """A scrape collects anew, and the lanes do not hear of it."""
    sender = Sender()
    hub = make_hub(MetricLane("a", sender, timeout_s=5))
    provider.get_meter("t").create_counter("orders").add(7)

    collected = hub.collect()

    assert collected is not None
    assert value(collected) == 7
    assert sender.batches == []


def test_many_scrapes_at_once_share_a_collection(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """Fifty scrapes that wait are answered by a few collections."""
    collections = []
    gate = threading.Event()

    def callback(options: object) -> list[Observation]:
        collections.append(1)
        gate.wait(5)
        return [Observation(1)]

    provider.get_meter("t").create_observable_gauge("g", [callback])
    hub = make_hub()
    threads = [threading.Thread(target=hub.collect) for _ in range(50)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()

    assert 1 <= len(collections) <= 5


def test_a_callback_that_hangs_leaves_the_last_page(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """The page is answered in time with what was collected last; a flush says timed_out."""
    gate = threading.Event()
    gate.set()
    provider.get_meter("t").create_observable_gauge(
        "g", [lambda options: [Observation(1)] if gate.wait(20) else []]
    )
    hub = make_hub(MetricLane("a", Sender(), timeout_s=5))
    provider.get_meter("t").create_counter("orders").add(1)
    assert hub.collect() is not None

    gate.clear()
    page = hub.collect(timeout_s=0.2)
    verdict = hub.flush(0.2).a
    gate.set()

    assert page is not None
    assert value(page) == 1
    assert verdict.status == "timed_out"


def test_a_scrape_takes_no_exemplar_from_the_exporters(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """An interval's exemplars are on every page and in the batch, though collecting takes them."""
    sender = Sender()
    hub = make_hub(MetricLane("a", sender, timeout_s=5))
    provider.get_meter("t").create_histogram("took").record(1.5, {"k": "v"})

    pages = [hub.collect(), hub.collect()]
    hub.flush(5)

    exemplars = [
        [exemplar.value for exemplar in point.exemplars]
        for batch in (*pages, sender.batches[0])
        if batch is not None
        for point in batch.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    ]
    assert exemplars == [[1.5]] * 3


def test_the_page_keeps_the_exemplars_that_an_interval_took(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """After a batch was exported its exemplars are still on the page, and not in the next batch."""
    sender = Sender()
    hub = make_hub(MetricLane("a", sender, timeout_s=5))
    provider.get_meter("t").create_histogram("took").record(1.5)
    hub.flush(5)

    page = hub.collect()
    hub.flush(5)

    assert page is not None
    assert [_exemplars(batch) for batch in (page, *sender.batches)] == [[1.5], [1.5], []]


def _exemplars(batch: MetricsData) -> list[float]:
    metric = batch.resource_metrics[0].scope_metrics[0].metrics[0]
    return [exemplar.value for point in metric.data.data_points for exemplar in point.exemplars]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_callback_cannot_end_the_hub(
    provider: MeterProvider, make_hub: MakeHub, error: type[BaseException]
) -> None:
    """Whatever a callback raises, collecting goes on with the next interval."""
    sender = Sender()
    hub = make_hub(MetricLane("a", sender, timeout_s=5))
    raising = [True]

    def callback(options: object) -> list[Observation]:
        if raising:
            raise error
        return [Observation(1)]

    provider.get_meter("t").create_observable_gauge("g", [callback])
    provider.get_meter("t").create_counter("orders").add(1)
    first = hub.flush(5)
    raising.clear()

    assert not first.ok
    assert hub.flush(5).ok
    assert value(sender.batches[-1]) == 1


def test_a_first_collection_that_hangs_is_no_empty_page(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """Where nothing was ever collected, a scrape fails; it is not told that there are no series."""
    gate = threading.Event()
    hub = make_hub()
    provider.get_meter("t").create_observable_gauge(
        "g", [lambda options: [Observation(1)] if gate.wait(20) else []]
    )

    with pytest.raises(TimeoutError):
        hub.collect(timeout_s=0.2)
    gate.set()


def test_what_was_left_out_is_not_delivered(provider: MeterProvider, make_hub: MakeHub) -> None:
    """An exporter that took a batch without some points says so, and the verdict follows."""
    sender = Sender()
    sender.outcome = Outcome(ok=True, reason="1 could not be encoded and were left out: orders")
    hub = make_hub(MetricLane("a", sender, timeout_s=5))
    provider.get_meter("t").create_counter("orders").add(1)

    verdict = hub.flush(5).a

    assert (verdict.status, verdict.reason) == ("failed", sender.outcome.reason)


def test_an_exporter_that_flaps_is_said_once_a_minute(
    provider: MeterProvider, make_hub: MakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    """Up and down ten times is one line each."""
    sender = Sender()
    hub = make_hub(MetricLane("a", sender, timeout_s=5))
    provider.get_meter("t").create_counter("orders").add(1)
    for _ in range(10):
        sender.outcome = Outcome(ok=False, reason="down")
        hub.flush(5)
        sender.outcome = DELIVERED
        hub.flush(5)

    lines = [r.getMessage() for r in caplog.records if r.name == "otel_metrics.pipeline"]
    assert lines == ["exporter a: down: down", "exporter a: up again"]


def test_a_flush_that_a_shutdown_overtakes_claims_nothing(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """While a callback hangs, neither a flush under way nor one after the end says delivered."""
    gate = threading.Event()
    hub = make_hub(MetricLane("a", Sender(), timeout_s=5))
    provider.get_meter("t").create_observable_gauge(
        "g", [lambda options: [Observation(1)] if gate.wait(20) else []]
    )
    verdicts: list[str] = []
    flushing = threading.Thread(target=lambda: verdicts.append(hub.flush(5).a.status))
    flushing.start()
    hub.stop(0.2)
    flushing.join()
    verdicts.append(hub.flush(0.2).a.status)
    gate.set()

    assert verdicts == ["timed_out", "timed_out"]


def test_stopping_exports_a_last_time_and_closes(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """What was recorded just before the end is exported, and the exporter is closed."""
    sender = Sender()
    hub = make_hub(MetricLane("a", sender, timeout_s=5))
    provider.get_meter("t").create_counter("orders").add(9)

    hub.stop(5)

    assert [value(batch) for batch in sender.batches] == [9]
    assert sender.closed


def test_stopping_ends_within_its_budget(provider: MeterProvider, make_hub: MakeHub) -> None:
    """An exporter that hangs costs the exit its budget and no more; the others are closed."""
    stuck, well = Sender(), Sender()
    stuck.gate.clear()
    hub = make_hub(MetricLane("stuck", stuck, timeout_s=5), MetricLane("well", well, timeout_s=5))
    provider.get_meter("t").create_counter("orders").add(1)

    begun = time.monotonic()
    hub.stop(0.5)
    took = time.monotonic() - begun
    stuck.gate.set()

    assert took < 1.5
    assert well.closed


def test_a_delta_exporter_gets_each_change_once(provider: MeterProvider, make_hub: MakeHub) -> None:
    """A batch that failed is sent again unchanged, and the next one holds only what came after."""
    sender = Sender()
    lane = DeltaLane("d", sender, timeout_s=5, make_reader=_delta_reader)
    hub = make_hub(lane)
    counter = provider.get_meter("t").create_counter("orders")
    counter.add(1)
    sender.outcome = Outcome(ok=False, reason="down")
    assert not hub.flush(5).ok
    counter.add(10)
    assert not hub.flush(5).ok
    sender.outcome = DELIVERED
    assert hub.flush(5).ok

    assert [value(batch) for batch in sender.batches] == [1, 1, 1, 10]


def test_a_delta_batch_that_arrived_in_part_is_sent_again_without_that(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """What the other side took of it is not sent a second time."""
    sender = Sender()
    hub = make_hub(DeltaLane("d", sender, timeout_s=5, make_reader=_delta_reader))
    for number in range(4):
        provider.get_meter("t").create_counter("orders").add(1, {"n": number})
    sender.outcome = Outcome(ok=False, reason="down")
    assert not hub.flush(5).ok
    first, second = cut_points(sender.batches[0], 2)
    sender.outcome = Outcome(ok=False, reason="down", delivered=2, rest=second)
    assert not hub.flush(5).ok
    sender.outcome = DELIVERED
    assert hub.flush(5).ok

    assert [value(batch) for batch in sender.batches] == [4, 4, 2]
    assert value(first) == 2


def test_a_delta_batch_that_is_refused_for_good_is_let_go(
    provider: MeterProvider, make_hub: MakeHub
) -> None:
    """What the other side will never take is sent once, and what comes after still arrives."""
    sender = Sender()
    hub = make_hub(DeltaLane("d", sender, timeout_s=5, make_reader=_delta_reader))
    counter = provider.get_meter("t").create_counter("orders")
    counter.add(1)
    sender.outcome = Outcome(ok=False, reason="HTTP 400", final=True)
    assert not hub.flush(5).ok
    counter.add(10)
    sender.outcome = DELIVERED
    assert hub.flush(5).ok

    assert [value(batch) for batch in sender.batches] == [1, 10]


def _delta_reader() -> BoundedReader:

    return BoundedReader(preferred_temporality={Counter: AggregationTemporality.DELTA})


def test_a_state_is_logged_once(
    provider: MeterProvider, make_hub: MakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten failures make one line, the recovery one more."""
    sender = Sender()
    sender.outcome = Outcome(ok=False, reason="down")
    hub = make_hub(MetricLane("a", sender, timeout_s=5))
    provider.get_meter("t").create_counter("orders").add(1)
    for _ in range(10):
        hub.flush(5)
    sender.outcome = DELIVERED
    hub.flush(5)
    hub.stop(5)

    lines = [r.getMessage() for r in caplog.records if r.name == "otel_metrics.pipeline"]
    assert lines == ["exporter a: down: down", "exporter a: up again"]
