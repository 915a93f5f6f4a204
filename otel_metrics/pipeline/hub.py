"""One collection, many exporters: the hub collects on its own thread and hands the result to lanes.

The SDK aggregates once for each reader, so there is one. It collects once an interval, for a flush,
and when a scrape asks; a slow disk or a dead endpoint delays nobody, since each exporter has a
lane of its own (`lanes.py`).

Threads: `otel-metrics-hub` does every collection. Scrapes and flushes ask it and wait, so that
many at once share one collection, and none hangs when a callback of the service does.
`_condition` guards what is asked for and what was collected last; `_collecting` is held by that
thread while it works, and taken by a fork, so that no lock of the SDK is copied while it is held.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData

from otel_metrics.pipeline import sdk_fork
from otel_metrics.pipeline.delivery import FlushResult, Verdict
from otel_metrics.pipeline.exemplars import ExemplarKeeper, with_value
from otel_metrics.pipeline.lanes import MetricLane
from otel_metrics.pipeline.quiet import suppressed
from otel_metrics.pipeline.reader import HubReader

__all__ = ["PAGE_TIMEOUT_S", "Hub"]

PAGE_TIMEOUT_S: Final = 4.0
"""A scrape waits this long for a collection, then takes the last one: the page answers within 5."""
COLLECT_TIMEOUT_S: Final = 100 * 366 * 86_400.0
"""What the SDK is given for all callbacks of one collection: for ever. It compares wall clocks
between two callbacks, so that a clock which is set forward meanwhile ends the collection, and it
cannot end a callback that hangs; whoever waits for a collection has a timeout of its own."""

_logger = logging.getLogger("otel_metrics.pipeline")


class Hub:
    """Collects for every exporter of the process.

    Args:
        provider: the provider whose instruments are collected; it is joined, never replaced.
        lanes: one for each push exporter; the archive's first.
        interval_s: seconds between collections.
        on_stop: run once on the hub's thread after the last one (seal the event archive), with
            what it brought; None in a forked child that recorded nothing.
        observed: metrics that have values whatever the service does. A forked child in which there
            are no others has recorded nothing, and exports nothing.
    """

    def __init__(
        self,
        provider: MeterProvider,
        lanes: Sequence[MetricLane],
        *,
        interval_s: float,
        on_stop: Callable[[MetricsData | None], None],
        observed: Collection[str] = (),
    ) -> None:
        self._provider = provider
        self._lanes = tuple(lanes)
        self._interval_s = interval_s
        self._on_stop = on_stop
        self._observed = frozenset(observed)
        self._forked = False
        self._collecting = threading.Lock()
        self._reset_state()
        provider.add_metric_reader(self._reader)

    def _reset_state(self) -> None:
        self._reader = HubReader()
        self._exemplars = ExemplarKeeper()
        self._condition = threading.Condition()
        self._wanted = 0  # collections asked for so far
        self._wanted_for_lanes = False
        self._begun = 0  # the last collection begun had this number
        self._finished = 0
        self._latest: MetricsData | None = None
        self._latest_at = time.monotonic()
        self._failure: str | None = None  # why the last collection brought nothing
        self._hangs = False
        self._stopping = self._stopped = False
        self._thread: threading.Thread | None = None

    @property
    def lanes(self) -> tuple[MetricLane, ...]:
        """The lanes, in the order in which they are handed a batch."""
        return self._lanes

    @property
    def progress_age_s(self) -> float:
        """Seconds since a collection ended well."""
        return time.monotonic() - self._latest_at

    def start(self) -> None:
        """Start the hub's thread and the lanes'."""
        for lane in self._lanes:
            lane.join_provider(self._provider)
            lane.start()
        self._thread = threading.Thread(target=self._run, name="otel-metrics-hub", daemon=True)
        self._thread.start()

    def collect(self, timeout_s: float = PAGE_TIMEOUT_S) -> MetricsData | None:
        """Return a collection begun after this call, or the last one when that takes too long.

        Raises:
            TimeoutError: it takes too long, and there is no last one.
        """
        in_time = self._await_collection(time.monotonic() + timeout_s, for_lanes=False)
        self._note_hang(hangs=not in_time)
        latest = self._latest
        if not in_time and latest is None:
            raise TimeoutError("the first collection does not end: a callback hangs")
        return (
            latest
            if in_time or latest is None
            else with_value(latest, "pipeline.progress.age", self.progress_age_s)
        )

    def flush(self, timeout_s: float) -> FlushResult:
        """Collect now, and say what became of it for each push exporter, within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        collected = self._await_collection(deadline, for_lanes=True)
        self._note_hang(hangs=not collected)
        if not collected:
            late = Verdict("timed_out", "the collection did not end in time: a callback hangs")
            return FlushResult({lane.name: late for lane in self._lanes})
        if self._failure is not None:
            failed = Verdict("failed", self._failure)
            return FlushResult({lane.name: failed for lane in self._lanes})
        return FlushResult({lane.name: lane.wait(deadline) for lane in self._lanes})

    def stop(self, timeout_s: float) -> None:
        """Collect a last time, let every lane export that and end, all within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        began = self._thread is not None and not self._stopping
        if not self._await_collection(deadline, for_lanes=True) and began and not self._stopping:
            _logger.warning(
                "the last collection did not end within %.1f s: a callback hangs, or others keep "
                "the processor; metrics recorded since the one before are not exported",
                timeout_s,
            )
        for lane in self._lanes:
            lane.finish(deadline)
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        for lane in self._lanes:
            lane.join(deadline)
        with self._condition:
            self._condition.wait_for(
                lambda: self._stopped, timeout=max(0.0, deadline - time.monotonic())
            )

    def leave(self) -> None:
        """Take the readers back from the provider, once the hub has stopped.

        While a callback hangs the SDK holds the lock that this needs: then they stay.
        """
        if not self._stopped:
            return
        self._provider.remove_metric_reader(self._reader)
        for lane in self._lanes:
            lane.leave_provider(self._provider)

    def _await_collection(self, deadline: float, *, for_lanes: bool) -> bool:
        with self._condition:
            if self._stopping or self._thread is None:
                return False
            number = self._begun + 1
            self._wanted = max(self._wanted, number)
            self._wanted_for_lanes = self._wanted_for_lanes or for_lanes
            self._condition.notify_all()
            self._condition.wait_for(
                lambda: self._finished >= number or self._stopping,
                timeout=max(0.0, deadline - time.monotonic()),
            )
            return self._finished >= number

    def _note_hang(self, *, hangs: bool) -> None:
        """Log once that a collection does not end, and once that they end again."""
        if hangs == self._hangs or self._stopping:
            return
        self._hangs = hangs
        if hangs:
            _logger.warning(
                "a collection of metrics does not end: a callback of the service hangs; "
                "the page shows what was collected last"
            )
        else:
            _logger.warning("collections of metrics end again")

    def _run(self) -> None:
        with suppressed():
            due = time.monotonic() + self._interval_s
            while True:
                for_lanes = self._await_turn(due)
                if for_lanes is None:
                    break
                if for_lanes:
                    due = time.monotonic() + self._interval_s
                self._collect_once(for_lanes=for_lanes)
                with self._condition:
                    self._finished = self._begun
                    self._condition.notify_all()
            final = self._latest
            idle = self._forked and final is not None and self._is_idle(final)
            _guarded(lambda: self._on_stop(None if idle else final))
            with self._condition:
                self._stopped = True
                self._condition.notify_all()

    def _await_turn(self, due: float) -> bool | None:
        """Wait for the next collection; say whether it is for the lanes too, None at the end."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._stopping or self._wanted > self._begun,
                timeout=max(0.0, due - time.monotonic()),
            )
            if self._stopping:
                return None
            for_lanes = self._wanted_for_lanes or time.monotonic() >= due
            self._wanted_for_lanes = False
            self._begun += 1
            self._wanted = max(self._wanted, self._begun)
            return for_lanes

    def _collect_once(self, *, for_lanes: bool) -> None:
        try:
            with self._collecting:
                collected = self._reader.take(COLLECT_TIMEOUT_S)
            page, batch = self._exemplars.keep(collected, renew=for_lanes)
        except BaseException as error:  # noqa: BLE001  # callbacks are the service's code
            if self._failure is None:
                _logger.warning("metrics cannot be collected, tried again each interval: %s", error)
            self._failure = f"collection failed: {error}"
            return
        self._failure = None
        self._latest = page
        self._latest_at = time.monotonic()
        if for_lanes:
            if self._forked and batch is not None and self._is_idle(batch):
                batch = None
            for lane in self._lanes:
                lane.post(batch)

    def _is_idle(self, batch: MetricsData) -> bool:
        """Tell whether this process has recorded nothing so far; not asked again once it has."""
        self._forked = all(
            metric.name in self._observed
            for resource_metrics in batch.resource_metrics
            for scope_metrics in resource_metrics.scope_metrics
            for metric in scope_metrics.metrics
        )
        return self._forked

    @property
    def at_work(self) -> threading.Lock:
        """Held while the hub collects. A fork takes it, so that no lock of the SDK is held then."""
        return self._collecting

    def after_fork_in_child(self) -> None:
        """Begin anew in the child: own reader that starts from zero, own locks, lanes, threads."""
        inherited = self._reader
        self._forked = True
        sdk_fork.renew(self._provider)
        self._collecting = threading.Lock()
        self._reset_state()
        self._provider.remove_metric_reader(inherited)
        self._provider.add_metric_reader(self._reader)
        for lane in self._lanes:
            lane.after_fork()
        self.start()


def _guarded(step: Callable[[], None]) -> None:
    try:
        step()
    except BaseException:  # the hub's thread must outlive it
        _logger.exception("the hub goes on without this step")
