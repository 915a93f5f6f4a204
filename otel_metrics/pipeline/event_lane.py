"""The lane for events: a bounded queue, sent in batches. What is lost is counted, and told by the
next flush.

Threads: as in `lanes.py`; `put` runs on the thread that records and never waits.
"""

import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from opentelemetry.sdk._logs import ReadableLogRecord

from otel_metrics.pipeline.delivery import Outcome, Verdict
from otel_metrics.pipeline.lanes import Lane

__all__ = ["EventLane", "EventSender"]


class EventSender(Protocol):
    """The push side of an event exporter, as a lane calls it."""

    def export(self, records: Sequence[ReadableLogRecord], timeout_s: float) -> Outcome:
        """Deliver the records within `timeout_s` seconds; never raise."""

    def shutdown(self, timeout_s: float) -> None:
        """End what is under way and release what is held, within `timeout_s` seconds."""


class EventLane(Lane[list[ReadableLogRecord]]):
    """A lane for events: a bounded queue, sent in batches. What does not fit is counted.

    Args:
        queue_max: records that wait (`OTEL_BLRP_MAX_QUEUE_SIZE`).
        batch_max: records of one export (`OTEL_BLRP_MAX_EXPORT_BATCH_SIZE`).
        delay_s: how long a record may wait for others (`OTEL_BLRP_SCHEDULE_DELAY`).
    """

    def __init__(
        self,
        name: str,
        sender: EventSender,
        *,
        timeout_s: float,
        queue_max: int,
        batch_max: int,
        delay_s: float,
    ) -> None:
        self._sender: EventSender = sender
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._delay_s = delay_s
        super().__init__(name, timeout_s=timeout_s)

    def _reset_state(self) -> None:
        super()._reset_state()
        self._queue: deque[ReadableLogRecord] = deque()
        self._urgent = False
        self._lost = 0  # since a flush last said so
        self._lost_reason: str | None = None

    def put(self, record: ReadableLogRecord) -> None:
        """Queue one record; never waits."""
        with self._condition:
            if len(self._queue) >= self._queue_max or self._close_by is not None:
                self._skipped += 1
                self._lose(1, "the queue is full" if self._close_by is None else "shut down")
                return
            self._queue.append(record)
            self._posted += 1
            if self._posted - self._done == 1 or len(self._queue) >= self._batch_max:
                self._condition.notify_all()

    def wait(self, deadline: float) -> Verdict:
        """Send what waits now, and return the verdict by `deadline`."""
        with self._condition:
            self._urgent = self._has_posted()
            self._condition.notify_all()
        verdict = super().wait(deadline)
        if verdict.status == "timed_out":
            return verdict  # what was lost is told by the flush that sees the end of it
        with self._condition:
            lost, self._lost = self._lost, 0
        if lost:
            return Verdict("failed", f"{lost} events were lost: {self._lost_reason}")
        return Verdict("delivered")

    def _lose(self, records: int, reason: str | None) -> None:
        """Note records that will not arrive. Called with the condition held."""
        self._lost += records
        self._lost_reason = reason

    def _take(self) -> tuple[list[ReadableLogRecord], int]:
        self._condition.wait_for(self._is_due, timeout=self._delay_s)
        size = min(len(self._queue), self._batch_max)
        batch = [self._queue.popleft() for _ in range(size)]
        self._urgent = self._urgent and bool(self._queue)
        return batch, self._done + size

    def _is_due(self) -> bool:
        return self._close_by is not None or self._urgent or len(self._queue) >= self._batch_max

    def _export(self, batch: list[ReadableLogRecord]) -> Outcome:
        begun = time.perf_counter()
        try:
            outcome = self._sender.export(batch, self._timeout_s)
        except Exception as error:  # noqa: BLE001  # an exporter of the service's may raise
            outcome = Outcome(ok=False, reason=f"{type(error).__qualname__}: {error}")
        self._measure("otel.sdk.exporter.log.exported", len(batch), outcome, begun)
        lost = outcome.left_out if outcome.ok else len(batch) - outcome.delivered
        if lost:
            with self._condition:
                self._lose(lost, outcome.reason)
        return outcome

    def _close(self, timeout_s: float) -> None:
        self._sender.shutdown(timeout_s)
