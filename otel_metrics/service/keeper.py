"""Keeps what samples come to: windows, snapshots, and what a metric out of its band recommends.

Threads: `take` and `missed` run on the sampler's thread and wait at most `TAKE_WAIT_S` for the
file; what it does not take waits in a bounded queue. `otel-metrics-snapshots` writes what waits and
closes windows that are over, and holds `at_work` while it does; a fork takes that lock. `_lock`
guards queue and streaks.
"""

import logging
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Final

from otel_metrics import events
from otel_metrics.catalog.model import Metric
from otel_metrics.errors import OtelMetricsError
from otel_metrics.outages import Outage
from otel_metrics.rejections import reject
from otel_metrics.service.memory import MemoryStore
from otel_metrics.service.overview import OF_ONE
from otel_metrics.service.recommendations import playbook_of, recommendation_of
from otel_metrics.service.samples import BandName, Recommendation, Resource, Sample
from otel_metrics.service.snapshots import Latest, Plan, of_recommendation
from otel_metrics.service.store import Emit, ServiceStore
from otel_metrics.service.streaks import Streaks
from otel_metrics.service.windows import Entry, Kind, Observation, is_figure, window_of

__all__ = ["Keeper"]

WINDOW_S_MAX: Final = 86_400
"""The longest window."""
TAKE_WAIT_S: Final = 0.25
"""How long a sample waits for the file before it waits in the queue."""
WRITE_WAIT_S: Final = 5.0
"""How long what waits does for other processes."""
WAITING_MAX: Final = 50_000
"""Samples that wait for the file; what finds no room is counted."""
WRITTEN_AT_ONCE: Final = 500
"""Samples of one transaction."""
LOOK_INTERVAL_S: Final = 0.5
"""How often the thread looks for windows that are over."""
FORGET_INTERVAL_S: Final = 60.0
"""How often it removes what is too old."""
STOP_WAIT_S: Final = 0.5
"""A disk that hangs takes no more of an exit's time."""
SAMPLER_CHARS: Final = 8
"""What tells this process from the few others that sample in the same window."""
EVENT: Final = "service.recommendation"
NOT_A_NUMBER: Final = "not_a_number"
UNKNOWN: Final = Plan("avg", float("inf"))
"""How windows of a metric are closed that the catalog has no more."""

_logger = logging.getLogger("otel_metrics.service")


def _ignore(recommendation: Recommendation) -> None:
    del recommendation


class Keeper:
    """Takes samples, closes windows, and recommends.

    Args:
        metrics: of the catalog, by name; those with a source are kept.
        window_s: the length of a window, rounded to seconds; at least one, at most a day.
        store: the file that keeps windows; without one, what is open ends with the process.
        emit: emits an event.
        on_recommendation: is told after the event of a recommendation; must not wait.
        clock: Unix seconds.

    Attributes:
        at_work: held while the thread works; for forks.
        metrics, store: as given.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        *,
        window_s: float,
        store: ServiceStore | None = None,
        emit: Emit = events.emit,
        on_recommendation: Callable[[Recommendation], None] = _ignore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.metrics = metrics
        self._length_s = min(max(1, round(window_s)), WINDOW_S_MAX)
        self._emit = emit
        self._on_recommendation = on_recommendation
        self._clock = clock
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.at_work = threading.Lock()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._windows: ServiceStore | MemoryStore = self.store or MemoryStore()
        self._streaks = Streaks(lambda metric: self._plan(metric).interval_s)
        self._waiting: deque[Observation] = deque()
        self._heard_of: set[str] = set()
        self._sampler = uuid.uuid4().hex[:SAMPLER_CHARS]
        self._outage = Outage(_logger)
        self._forgot_at = 0.0

    def start(self) -> None:
        """Start the thread, which first closes what was over while no process ran."""
        threading.Thread(target=self._run, name="otel-metrics-snapshots", daemon=True).start()

    def stop(self, deadline_s: float) -> None:
        """Write what waits and close what is over, if there is time until that reading of the
        monotonic clock. With a store, windows that are open go on when the service starts again."""
        self._ending.set()
        wait_s = min(STOP_WAIT_S, deadline_s - time.monotonic())
        if self.at_work.acquire(timeout=max(0.0, wait_s)):
            try:
                self.close_due(self._clock(), deadline_s=deadline_s)
            finally:
                self.at_work.release()
            self._windows.close(deadline_s)

    def after_fork(self) -> None:
        """Begin anew in a forked child: what waits is the parent's, and so are its streaks."""
        self._begin_anew()
        self.start()

    def take(self, sample: Sample) -> None:
        """Let a sample count in its window, and recommend where it completes a run. Never raises.

        With a store, it is in the file when this returns, unless the file cannot be written: then
        it waits.
        """
        metric, entry = self.metrics.get(sample.metric), _entry(sample)
        if metric is None or metric.source is None:
            reject(sample.metric, "no_source", "a metric of the catalog that has a source")
            return
        if entry is None:
            self.missed(sample.metric, sample.resource, NOT_A_NUMBER)
            return
        self._heard_of.add(sample.metric)
        is_late = self._add(Observation(sample.metric, sample.resource, entry))
        with self._lock:
            if is_late:
                self._streaks.interrupt(sample.metric, sample.resource.id)
                return
            band = self._streaks.take(sample)
            values = self._streaks.values(sample.metric, sample.resource.id)
        if band is not None:
            self._recommend(sample, metric, band, values)

    def missed(self, metric: str, resource: Resource, reason: str) -> None:
        """Note that a sample is missing which should be there. Never raises.

        Args:
            reason: `not_a_number` counts apart; every other is a sample that is missing.
        """
        kind: Kind = "not_a_number" if reason == NOT_A_NUMBER else "missing"
        is_first = reason not in OF_ONE and metric not in self._heard_of
        self._heard_of.add(metric)
        entry = Entry(self._clock(), kind)
        self._add(Observation(metric, resource, entry, reason, hides_others=is_first))
        with self._lock:
            self._streaks.interrupt(metric, resource.id)

    def close_due(self, now: float, *, deadline_s: float = math.inf) -> bool:
        """Write what waits, close windows that are over by `now`, and emit their events, as far as
        there is time until that reading of the monotonic clock. Never raises.

        Returns:
            whether all of that is done.
        """
        steps = (
            self._write_some,
            partial(self._close_some, now),
            partial(self._announce_some, deadline_s),
        )
        try:
            for step in steps:
                while step(_time_left(deadline_s)):
                    if time.monotonic() >= deadline_s:
                        return False
            self._forget(now, _time_left(deadline_s))
        except OtelMetricsError as error:
            self._outage.goes_on("OTEL_PYTHON_METRICS_SERVICE_DB=%s; samples wait", error)
            return False
        self._outage.is_over("service telemetry: snapshots are kept again")
        return True

    def flush(self) -> bool:
        """Do now what the thread would do next, and tell whether all of it is done."""
        with self.at_work:
            return self.close_due(self._clock())

    def latest(self) -> list[Latest]:
        """Return what is known last of each metric and resource: by this process, or with a store
        by all of the service.

        Raises:
            DatabaseError: the file cannot be read.
        """
        return self._windows.latest()

    def knows(self, resource: Resource) -> bool:
        """Tell whether a resource has or had a value; one that was only asked for has not.

        Raises:
            DatabaseError: the file cannot be read.
        """
        return self._windows.knows(resource)

    def _run(self) -> None:
        ending, at_work = self._ending, self.at_work
        while not ending.is_set():
            with at_work:
                if not ending.is_set():
                    self._look()
            ending.wait(LOOK_INTERVAL_S)

    def _look(self) -> None:
        try:
            self.close_due(self._clock())
        except Exception:  # the thread must outlive whatever a disk or a processor of events does
            _logger.exception("service telemetry: windows could not be closed")

    def _write_some(self, wait_s: float) -> bool:
        """Write some of what waits; like the next two, tell whether there may be more."""
        with self._lock:
            batch = list(islice(self._waiting, WRITTEN_AT_ONCE))
        if batch:
            self._windows.add(batch, now=self._clock(), length_s=self._length_s, wait_s=wait_s)
        with self._lock:
            for _ in batch:
                self._waiting.popleft()
            return bool(self._waiting)

    def _close_some(self, now: float, wait_s: float) -> bool:
        return self._windows.close_due(
            now=now, length_s=self._length_s, plan=self._plan, wait_s=wait_s
        )

    def _announce_some(self, deadline_s: float, wait_s: float) -> bool:
        return self._windows.announce(self._emit, wait_s=wait_s, deadline_s=deadline_s)

    def _forget(self, now: float, wait_s: float) -> None:
        elapsed_s = time.monotonic() - self._forgot_at
        if self._forgot_at and elapsed_s < FORGET_INTERVAL_S:
            return
        self._forgot_at = time.monotonic()
        if self._windows.forget(now, wait_s=wait_s):
            self._forgot_at = 0.0  # the rest with the next look, or more would come than goes

    def _plan(self, name: str) -> Plan:
        metric = self.metrics.get(name)
        if metric is None or metric.source is None:
            return UNKNOWN
        return Plan(metric.source.aggregation, metric.source.interval_s)

    def _add(self, seen: Observation) -> bool:
        """Keep an observation, or let it wait; tell whether it is known to be late."""
        seen = seen._replace(entry=seen.entry._replace(sampler=self._sampler))
        if self._windows.is_full:
            reject(
                seen.metric,
                "windows_full",
                "samples for which open windows have room; sample less, or shorten windows",
            )
            return False
        with self._lock:
            if self._waiting:  # behind what came before it
                self._wait(seen)
                return False
        try:
            [is_late] = self._windows.add(
                [seen], now=self._clock(), length_s=self._length_s, wait_s=TAKE_WAIT_S
            )
        except OtelMetricsError:
            with self._lock:
                self._wait(seen)
            return False  # the thread tries again, and says what is wrong
        return is_late

    def _wait(self, seen: Observation) -> None:
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append(seen)
        else:
            reject(seen.metric, "queue_full", "samples for which the file has room")

    def _recommend(
        self, sample: Sample, metric: Metric, band: BandName, values: tuple[float, ...]
    ) -> None:
        playbook = playbook_of(metric, band)
        if playbook is None:
            return
        confidence = self._confidence(sample, band)
        recommendation = recommendation_of(
            sample, band, playbook, confidence=confidence, values=values
        )
        try:
            self._windows.recommend(recommendation, wait_s=TAKE_WAIT_S)
        except OtelMetricsError:  # told by the thread; what follows does not need the row
            reject(EVENT, "not_kept", "a file that can be written")
        self._emit(EVENT, of_recommendation(recommendation))
        self._act(recommendation)

    def _act(self, recommendation: Recommendation) -> None:
        try:
            self._on_recommendation(recommendation)
        except Exception:  # what is told may be anybody's
            _logger.exception("a recommendation was not taken")

    def _confidence(self, sample: Sample, band: BandName) -> float:
        """Return the share of the window's samples in a band; 1 where the file cannot say."""
        window = window_of(sample.observed_at, self._length_s)
        try:
            bands = self._windows.bands_in(
                sample.metric, sample.resource.id, window, wait_s=TAKE_WAIT_S
            )
        except OtelMetricsError:
            return 1.0
        return bands[band] / bands.total() if bands else 1.0


def _time_left(deadline_s: float) -> float:
    """Return how long a transaction may wait for other processes."""
    return min(WRITE_WAIT_S, max(0.0, deadline_s - time.monotonic()))


def _entry(sample: Sample) -> Entry | None:
    """Return a sample as it counts; None for one that no window can hold."""
    if not is_figure(sample.value, sample.observed_at):
        return None
    return Entry(sample.observed_at, "sample", sample.value, sample.band)
