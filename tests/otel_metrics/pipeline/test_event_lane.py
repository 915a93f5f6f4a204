"""The lane for events: batches, its bound, and what a flush may claim."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource

from otel_metrics.pipeline.delivery import DELIVERED, Outcome
from otel_metrics.pipeline.event_lane import EventLane


class Sender:
    """Keeps the batches that it is given; waits where a test says so."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.left = threading.Event()
        self.outcome = DELIVERED

    def export(self, records: Sequence[ReadableLogRecord], timeout_s: float) -> Outcome:
        self.entered.set()
        self.gate.wait(10)
        self.batches.append([str(record.log_record.event_name) for record in records])
        self.left.set()
        return self.outcome

    def shutdown(self, timeout_s: float) -> None:
        pass


def event(name: str) -> ReadableLogRecord:
    """Return a record with an event name."""
    return ReadableLogRecord(log_record=LogRecord(event_name=name), resource=Resource.get_empty())


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def lane(sender: Sender) -> Iterator[EventLane]:
    made = EventLane("e", sender, timeout_s=5, queue_max=10, batch_max=4, delay_s=30)
    made.start()
    yield made
    sender.gate.set()
    made.finish(time.monotonic())


def test_events_are_shipped_in_order_and_in_batches(lane: EventLane, sender: Sender) -> None:
    """A flush ships what waits, oldest first, no batch above its size."""
    for number in range(6):
        lane.put(event(str(number)))

    verdict = lane.wait(time.monotonic() + 5)

    assert verdict.ok
    assert [name for batch in sender.batches for name in batch] == list("012345")
    assert max(len(batch) for batch in sender.batches) <= 4


def test_a_full_queue_drops_and_counts(lane: EventLane, sender: Sender) -> None:
    """While the endpoint hangs the queue keeps its bound; nothing waits, the rest is counted."""
    sender.gate.clear()
    for _ in range(4):
        lane.put(event("first"))
    assert sender.entered.wait(5)

    for number in range(15):
        lane.put(event(str(number)))
    dropped = lane.stats().skipped
    sender.gate.set()
    lane.wait(time.monotonic() + 5)

    assert dropped == 5
    assert sum(len(batch) for batch in sender.batches) == 14


def test_a_flush_that_cannot_end_says_timed_out(lane: EventLane, sender: Sender) -> None:
    """The verdict comes at the deadline."""
    sender.gate.clear()
    lane.put(event("a"))

    assert lane.wait(time.monotonic() + 0.2).status == "timed_out"


def test_a_failed_batch_says_why(lane: EventLane, sender: Sender) -> None:
    """The reason is the endpoint's."""
    sender.outcome = Outcome(ok=False, reason="HTTP 503")
    lane.put(event("a"))

    verdict = lane.wait(time.monotonic() + 5)

    assert (verdict.status, verdict.reason) == ("failed", "1 events were lost: HTTP 503")


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome(ok=False, reason="HTTP 503", delivered=3), "1 events were lost: HTTP 503"),
        (Outcome(ok=True, reason="too large", left_out=2), "2 events were lost: too large"),
    ],
)
def test_only_what_did_not_arrive_is_lost(
    lane: EventLane, sender: Sender, outcome: Outcome, told: str
) -> None:
    """Of a batch that arrived in part, the events that did are not told as lost."""
    sender.outcome = outcome
    for number in range(4):
        lane.put(event(str(number)))

    verdict = lane.wait(time.monotonic() + 5)

    assert (verdict.status, verdict.reason) == ("failed", told)


def test_a_loss_is_told_by_one_flush(lane: EventLane, sender: Sender) -> None:
    """What was lost is not forgotten when the next batch arrives, and not repeated after that."""
    sender.outcome = Outcome(ok=False, reason="HTTP 503")
    lane.put(event("a"))
    lane.put(event("b"))
    lane.put(event("c"))
    lane.put(event("d"))
    assert sender.left.wait(5)
    sender.outcome = DELIVERED
    lane.put(event("e"))

    verdicts = [lane.wait(time.monotonic() + 5).status for _ in range(2)]

    assert verdicts == ["failed", "delivered"]


def test_a_flush_that_times_out_forgets_no_loss(lane: EventLane, sender: Sender) -> None:
    """What found no room is told by the next flush that comes to an end."""
    sender.gate.clear()
    for _ in range(4):
        lane.put(event("first"))
    assert sender.entered.wait(5)
    for _ in range(11):
        lane.put(event("later"))

    late = lane.wait(time.monotonic() + 0.2)
    sender.gate.set()
    told = lane.wait(time.monotonic() + 5)

    assert late.status == "timed_out"
    assert told.reason == "1 events were lost: the queue is full"


def test_an_exporter_that_raises_is_a_failure(lane: EventLane, sender: Sender) -> None:
    """An exception becomes the reason, and the lane goes on."""
    sender.gate = None  # type: ignore[assignment]  # makes the sender raise
    lane.put(event("a"))
    broken = lane.wait(time.monotonic() + 5)
    sender.gate = threading.Event()
    sender.gate.set()
    lane.put(event("b"))

    assert broken.status == "failed"
    assert "AttributeError" in (broken.reason or "")
    assert lane.wait(time.monotonic() + 5).ok


def test_what_waits_at_the_end_is_shipped(lane: EventLane, sender: Sender) -> None:
    """Finishing ships the rest without waiting for the delay."""
    lane.put(event("last"))
    deadline = time.monotonic() + 5

    lane.finish(deadline)
    lane.join(deadline)

    assert sender.batches == [["last"]]
