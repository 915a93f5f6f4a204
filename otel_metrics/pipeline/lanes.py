"""A lane is one exporter with a thread and a mailbox of its own, so that none delays another.

Cumulative batches wait in a mailbox of one: the newest holds all that an older one said, and what
it replaces is counted. An exporter that wants delta temporality has a reader of its own, and keeps
a batch that failed until it is delivered. The lane for events is in `event_lane.py`.

Threads: `otel-metrics-<name>` alone calls the exporter, holding `_exporting`, which a fork takes.
`_condition` guards mailbox and verdict.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData

from otel_metrics import instruments
from otel_metrics.pipeline.batch import count_points
from otel_metrics.pipeline.delivery import DELIVERED, MetricSender, Outcome, Verdict
from otel_metrics.pipeline.quiet import suppressed
from otel_metrics.pipeline.reader import BoundedReader

__all__ = ["DeltaLane", "Lane", "LaneStats", "MetricLane"]

CHANGE_INTERVAL_S: Final = 60.0
"""An exporter that goes up and down is said to at most this often, each."""
REMINDER_INTERVAL_S: Final = 300.0
"""An exporter that stays down is named again at most this often."""

ERROR_TYPE_CHARS_MAX: Final = 60
"""Characters of a failure's reason that become `error.type`."""

_logger = logging.getLogger("otel_metrics.pipeline")

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class LaneStats:
    """Plain numbers of one lane, for the catalog's observable instruments.

    `skipped` counts batches that a newer one replaced, or events that found the queue full;
    `rejected` what the exporter could not encode, by reason.
    """

    name: str
    up: bool
    skipped: int
    rejected: Mapping[str, int]


class Lane(Generic[Batch]):
    """The thread, the verdict and the state of one exporter.

    Args:
        name: what the exporter is called in verdicts, logs and metrics.
        timeout_s: seconds that one export may take.
    """

    _sender: object

    def __init__(self, name: str, *, timeout_s: float) -> None:
        self.name = name
        self._timeout_s = timeout_s
        self._outcome = DELIVERED
        self._up = True
        self._logged_at: dict[bool, float] = {}  # by state: up, down
        self._skipped = 0
        self._reset_state()

    def _reset_state(self) -> None:
        self._condition = threading.Condition()
        self._exporting = threading.Lock()
        self._posted = 0
        self._done = 0
        self._close_by: float | None = None  # set once: end when nothing is posted any more
        self._closing = self._closed = False

    def start(self) -> None:
        """Start the lane's thread."""
        name = f"otel-metrics-{self.name}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def wait(self, deadline: float) -> Verdict:
        """Return the verdict on what was posted last, by `deadline` (`time.monotonic`)."""
        with self._condition:
            number = self._posted
            in_time = self._condition.wait_for(
                lambda: self._done >= number, timeout=max(0.0, deadline - time.monotonic())
            )
            outcome = self._outcome
        if not in_time:
            down = "" if outcome.ok else f"; the last attempt failed: {outcome.reason}"
            return Verdict("timed_out", f"still under way at the deadline{down}")
        # A reason with what went well names what was left out of it.
        whole = outcome.ok and outcome.reason is None
        return Verdict("delivered") if whole else Verdict("failed", outcome.reason)

    def finish(self, deadline: float) -> None:
        """Let the lane export what it holds, close its exporter and end. Does not wait."""
        with self._condition:
            self._close_by = deadline
            self._condition.notify_all()

    def join(self, deadline: float) -> None:
        """Wait until the lane has ended, at most until `deadline`."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._closed, timeout=max(0.0, deadline - time.monotonic())
            )
            interrupt = not self._closed
        if interrupt:
            self._close_exporter(0.0)  # ends an export that is still under way

    @property
    def at_work(self) -> threading.Lock:
        """Held while the lane exports. A fork takes it, so that no thread is copied at work: what
        it imports or sends just then would leave its locks behind in the child."""
        return self._exporting

    def after_fork(self) -> None:
        """Begin anew in a forked child; the thread is started by `start`."""
        self._outcome = DELIVERED
        self._up = True
        self._skipped = 0
        self._reset_state()

    def stats(self) -> LaneStats:
        """Return the counts so far."""
        return LaneStats(self.name, self._up, self._skipped, self._rejected())

    def _rejected(self) -> Mapping[str, int]:
        """Return what the exporter says that it left out, where it keeps count."""
        stats = getattr(self._sender, "stats", None)
        return getattr(stats(), "rejected", {}) if callable(stats) else {}

    def _run(self) -> None:
        with suppressed():
            while self._export_next():
                pass
            assert self._close_by is not None
            self._close_exporter(max(0.0, self._close_by - time.monotonic()))
            with self._condition:
                self._closed = True
                self._condition.notify_all()

    def _export_next(self) -> bool:
        """Export what is posted next; False once there is nothing and the lane is to end."""
        with self._condition:
            self._condition.wait_for(lambda: self._close_by is not None or self._has_posted())
            if not self._has_posted():
                return False
            batch, number = self._take()
        try:
            with self._exporting:
                outcome = self._export(batch)
        except BaseException as error:  # noqa: BLE001  # the thread must outlive any exporter
            outcome = Outcome(ok=False, reason=f"{type(error).__qualname__}: {error}")
        with self._condition:
            self._outcome = outcome
            self._done = number
            self._condition.notify_all()
        self._note(outcome)
        return True

    def _measure(self, name: str, items: int, outcome: Outcome, begun: float) -> None:
        """Count what one export took along, and time it (semantic conventions 1.44)."""
        attributes: dict[str, object] = {
            "otel.component.name": f"{self.name}/0",
            "otel.component.type": self.name,
        }
        exported = instruments.metric(name)
        if outcome.delivered:
            exported.add(outcome.delivered, dict(attributes))
        if outcome.reason is not None and not outcome.ok:
            attributes["error.type"] = outcome.reason.partition(":")[0][:ERROR_TYPE_CHARS_MAX]
        duration_s = time.perf_counter() - begun
        instruments.metric("otel.sdk.exporter.operation.duration").record(duration_s, attributes)
        exported.add(items - outcome.delivered, attributes)

    def _has_posted(self) -> bool:
        return self._posted > self._done

    def _close_exporter(self, timeout_s: float) -> None:
        """Close the exporter, once, on whichever thread comes first."""
        with self._condition:
            if self._closing:
                return
            self._closing = True
        try:
            self._close(timeout_s)
        except Exception as error:  # noqa: BLE001  # as in an export
            _logger.warning("exporter %s: shutdown failed: %s", self.name, error)

    def _note(self, outcome: Outcome) -> None:
        """Log a change of state once, at most one of a kind a minute, and one that lasts at most
        every five minutes."""
        now = time.monotonic()
        changed = outcome.ok != self._up
        due_s = CHANGE_INTERVAL_S if changed else REMINDER_INTERVAL_S
        if now - self._logged_at.get(outcome.ok, -due_s) >= due_s:
            if outcome.ok and changed:
                self._logged_at[True] = now
                _logger.warning("exporter %s: up again", self.name)
            elif not outcome.ok:
                self._logged_at[False] = now
                state = "down" if changed else "still down"
                _logger.warning("exporter %s: %s: %s", self.name, state, outcome.reason)
        self._up = outcome.ok

    def _take(self) -> tuple[Batch, int]:
        """Return the batch to export, and the number up to which that answers what was posted.

        Called with the condition held.
        """
        raise NotImplementedError

    def _export(self, batch: Batch) -> Outcome:
        raise NotImplementedError

    def _close(self, timeout_s: float) -> None:
        raise NotImplementedError


class MetricLane(Lane[MetricsData | None]):
    """A lane for cumulative metrics: a mailbox of one."""

    def __init__(self, name: str, sender: MetricSender, *, timeout_s: float) -> None:
        super().__init__(name, timeout_s=timeout_s)
        self._sender: MetricSender = sender

    def _reset_state(self) -> None:
        super()._reset_state()
        self._mailbox: MetricsData | None = None

    def join_provider(self, provider: MeterProvider) -> None:
        """Join the provider with a reader of the lane's own, where it has one. Before `start`."""

    def leave_provider(self, provider: MeterProvider) -> None:
        """Take back the lane's own reader, where it has one. After the lane has ended."""

    def post(self, collected: MetricsData | None) -> None:
        """Hand over what was collected; never waits."""
        with self._condition:
            if self._mailbox is not None:
                self._skipped += 1
            self._mailbox = collected
            self._posted += 1
            self._condition.notify_all()

    def _take(self) -> tuple[MetricsData | None, int]:
        taken, self._mailbox = self._mailbox, None
        return taken, self._posted

    def _export(self, batch: MetricsData | None) -> Outcome:
        return DELIVERED if batch is None else self._send(batch)

    def _send(self, batch: MetricsData) -> Outcome:
        begun = time.perf_counter()
        outcome = self._sender.export(batch, self._timeout_s)
        name = "otel.sdk.exporter.metric_data_point.exported"
        self._measure(name, count_points(batch), outcome, begun)
        return outcome

    def _close(self, timeout_s: float) -> None:
        self._sender.shutdown(timeout_s)


class DeltaLane(MetricLane):
    """A lane with a reader of its own, for an exporter that wants delta temporality or another
    histogram aggregation. It collects only when the last batch was delivered; one that failed is
    sent again, unchanged, unless the other side will never take it.

    Args:
        make_reader: makes the reader, here and again in a forked child.
    """

    def __init__(
        self,
        name: str,
        sender: MetricSender,
        *,
        timeout_s: float,
        make_reader: Callable[[], BoundedReader],
    ) -> None:
        super().__init__(name, sender, timeout_s=timeout_s)
        self._make_reader = make_reader
        self._reader: BoundedReader | None = None
        self._pending: MetricsData | None = None

    def join_provider(self, provider: MeterProvider) -> None:
        """Join the provider with a new reader, in place of one that a parent process joined."""
        inherited, self._reader = self._reader, self._make_reader()
        if inherited is not None:
            provider.remove_metric_reader(inherited)
        provider.add_metric_reader(self._reader)

    def leave_provider(self, provider: MeterProvider) -> None:
        """Take back the lane's own reader."""
        if self._reader is not None:
            provider.remove_metric_reader(self._reader)
            self._reader = None

    def after_fork(self) -> None:
        """Begin anew; what the parent had not delivered stays the parent's."""
        super().after_fork()
        self._pending = None

    def post(self, collected: MetricsData | None) -> None:
        """Note that it is time; the lane collects for itself."""
        del collected
        super().post(None)

    def _export(self, batch: MetricsData | None) -> Outcome:
        del batch
        if self._pending is not None:
            outcome = self._send_pending(self._pending)
            if not outcome.ok:
                return outcome
        assert self._reader is not None
        self._pending = self._reader.take(self._timeout_s)
        return DELIVERED if self._pending is None else self._send_pending(self._pending)

    def _send_pending(self, batch: MetricsData) -> Outcome:
        """Send what is pending, and let go what is delivered or never will be."""
        outcome = self._send(batch)
        if outcome.ok or outcome.final or outcome.rest is not None:
            self._pending = outcome.rest
        return outcome
