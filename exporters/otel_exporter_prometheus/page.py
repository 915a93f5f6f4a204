"""The page of a service: collected once for everybody who asks at the same time, and put together
with what the service's other processes published.

Threads: `otel-prometheus-collect` does every collection, so that a callback that hangs holds up no
request for longer than `COLLECT_TIMEOUT_S`; after that the last collection is shown. While there
are other processes it also collects once in `PUBLISH_INTERVAL_S`, so that they have what is new.
`_condition` guards what is asked for and what was collected; `_writing` is held by who makes
something of a collection; `at_work` is held around each collection and taken by a fork.
"""

import gzip
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from opentelemetry.context import attach, set_value
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_prometheus.complaints import Complaints
from otel_exporter_prometheus.encoding import Encoder, Shown
from otel_exporter_prometheus.gauge_times import GaugeTimes
from otel_exporter_prometheus.merge import Family, Rule, together
from otel_exporter_prometheus.tally import Tally
from otel_exporter_prometheus.workers import Workers

__all__ = ["COLLECT_TIMEOUT_S", "PUBLISH_INTERVAL_S", "Page", "Stats"]

COLLECT_TIMEOUT_S: Final = 5.0
"""A request waits this long for a collection, then gets the last one."""
PUBLISH_INTERVAL_S: Final = 1.0
"""A process publishes what changed this often, while there are others."""
SHARED_AGE_S: Final = 1.0
"""Under pressure requests share a collection that is at most this old."""
GZIP_LEVEL: Final = 1
"""Nine tenths of what level 9 saves, in a fifth of its time."""
UNSHARED_S: Final = 300.0
"""That the folder cannot be used is said at most this often."""
OMITTED: Final = ("service.instance.id", "process.")
"""What `target_info` leaves out: it is of one process, and the page is of all."""

T = TypeVar("T")

_SUPPRESS: Final = "suppress_instrumentation"
"""The key under which OpenTelemetry's instrumentations look whether to stay out."""

_logger = logging.getLogger("otel_exporter_prometheus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What happened since the start.

    Attributes:
        scrapes: pages that were read.
        collections: collections that were made for them.
        errors: what went wrong, counted by kind each time: `collect`, `timeout`, `publish`,
            `worker`, `fold`, `read`, `write`, `refused`, `thread`, `serve`, `tls`, `auth`,
            `throttled`, and the reasons of `dropped`.
        dropped: metrics that the last page could not show, or not whole, by reason.
        replaced: characters for which U+FFFD stands.
    """

    scrapes: int
    collections: int
    errors: Mapping[str, int]
    dropped: Mapping[str, int]
    replaced: int


class _Collected:
    """One collection and the pages written from it."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.at = time.monotonic()
        self.pages: dict[tuple[bool, bool], bytes] = {}  # by format, and whether compressed


class Page:
    """Collects, puts together, writes, and counts what could not be shown.

    Args:
        collect: returns this process's metrics, or None when there are none. Called by one thread
            at a time.
        folder: the name of the folder that this process shares with others of its service; None
            where it shows itself alone.
        scope_labels: whether series carry `otel_scope_*` labels.
        rules: by metric, how its series of several processes become one. Without, counters,
            up-down counters and histograms are added, and of a gauge the newest value stays.
        timed: tells of a metric whether `collect` says when each value was set, in nanoseconds of
            `time.monotonic_ns`. Of others it is when the value was first seen.

    Attributes:
        errors: what went wrong, by kind. Who serves the page adds to it.
        folds: whether this process looks after what ended ones left.
    """

    def __init__(
        self,
        collect: Callable[[], MetricsData | None],
        *,
        folder: str | None = None,
        scope_labels: bool = False,
        rules: Mapping[str, Rule] = {},
        timed: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._collect = collect
        self._encoder = Encoder(scope_labels=scope_labels, rules=rules, omitted=OMITTED)
        self.errors = Tally()
        self.folds = False
        self._workers = None if folder is None else Workers(folder, self.errors)
        self._times = GaugeTimes(timed)
        self._begin()

    def _begin(self) -> None:
        self.at_work = threading.Lock()
        self._condition = threading.Condition()
        self._writing = threading.Lock()
        self._wanted = self._begun = self._finished = 0
        self._latest: _Collected | None = None
        self._failing = self._final = self._stopping = self._closed = False
        self._thread: threading.Thread | None = None
        self._unshared_at = float("-inf")
        self._complaints = Complaints()
        self._collections = self._scrapes = self._replaced = 0
        self._dropped: Mapping[str, int] = {}

    def start(self) -> None:
        """Start the thread that collects, which first joins the service's other processes."""
        self._thread = threading.Thread(
            target=self._run, name="otel-prometheus-collect", daemon=True
        )
        self._thread.start()

    def publish(self, data: MetricsData | None) -> None:
        """Let the other processes have what this one has recorded until its end."""
        with self._writing:
            if data is not None and not self._closed:
                self._show(data)
                self._final = True  # what was collected before must not replace it

    def stop(self) -> None:
        """Let the thread end; requests that wait go without a page."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        with self._writing:
            self._closed = True
            if self._workers is not None:
                self._workers.leave()

    def read(
        self, *, openmetrics: bool, packed: bool = False, pressed: bool = False
    ) -> bytes | None:
        """Return the page with all that was recorded before the call; None when there is none.

        Args:
            openmetrics: OpenMetrics instead of text.
            packed: compressed by gzip.
            pressed: many ask: the page may be up to `SHARED_AGE_S` old.
        """
        collected = self._collected(pressed=pressed)
        if collected is None:
            return None
        with self._writing:
            self._scrapes += 1
            body = collected.pages.get((openmetrics, False))
            if body is None:
                body = self._write(collected.shown, openmetrics=openmetrics)
                collected.pages[openmetrics, False] = body
            if not packed:
                return body
            compressed = collected.pages.get((openmetrics, True))
            if compressed is None:
                compressed = gzip.compress(body, compresslevel=GZIP_LEVEL, mtime=0)
                collected.pages[openmetrics, True] = compressed
            return compressed

    def families(self) -> list[Family] | None:
        """Return what the page shows, of all processes; None when there is none. At most
        `SHARED_AGE_S` old."""
        collected = self._collected(pressed=True)
        return None if collected is None else collected.shown.families

    def write(self, data: MetricsData | None, *, openmetrics: bool) -> bytes:
        """Return the page of `data`, which the caller collected, of this process alone."""
        with self._writing:
            return self._write(self._encoder.show(data), openmetrics=openmetrics)

    def stats(self) -> Stats:
        """Return what happened since the start."""
        return Stats(
            scrapes=self._scrapes,
            collections=self._collections,
            errors=self.errors.counts(),
            dropped=dict(self._dropped),
            replaced=self._replaced,
        )

    def after_fork(self) -> None:
        """Begin anew in a forked child, where threads are gone and locks may be held. `start` lets
        the child share the page for itself."""
        self.errors.after_fork()
        self.folds = False
        if self._workers is not None:
            self._workers.after_fork()
        self._times.clear()
        self._begin()

    def refresh(self, timeout_s: float) -> None:
        """Collect and publish, and wait for that, at most so long."""
        self._collected(pressed=False, timeout_s=timeout_s)

    def _collected(
        self, *, pressed: bool, timeout_s: float = COLLECT_TIMEOUT_S
    ) -> _Collected | None:
        with self._condition:
            latest = self._latest
            if pressed and latest and time.monotonic() - latest.at < SHARED_AGE_S:
                return latest
            number = self._begun + 1
            self._wanted = max(self._wanted, number)
            self._condition.notify_all()
            in_time = self._condition.wait_for(
                lambda: self._finished >= number or self._stopping, timeout=timeout_s
            )
            if not in_time:
                self.errors.add("timeout")
            elif self._failing or self._stopping:
                return None
            return self._latest

    def _run(self) -> None:
        attach(set_value(_SUPPRESS, value=True))
        with self.at_work, self._writing:
            self._shared(Workers.join)
        due = time.monotonic() + PUBLISH_INTERVAL_S
        while True:
            with self._condition:
                asked = self._condition.wait_for(
                    lambda: self._stopping or self._wanted > self._begun,
                    timeout=None if self._workers is None else max(0.0, due - time.monotonic()),
                )
                if self._stopping:
                    return
                if asked:
                    self._begun += 1
            if not asked:
                due = time.monotonic() + PUBLISH_INTERVAL_S
                with self.at_work:
                    self._keep_up()
                continue
            number = self._begun
            with self.at_work:
                collected = self._collect_once()
            with self._condition:
                self._failing = collected is None
                self._latest = collected or self._latest
                self._finished = number
                self._collections += 1
                self._condition.notify_all()

    def _collect_once(self) -> _Collected | None:
        try:
            data = self._collect()
            with self._writing:
                self._fold()
                return _Collected(self._with_others(self._show(data)))
        except Exception as error:  # noqa: BLE001  # the service's callbacks; and the thread goes on
            self.errors.add("collect")
            if not self._failing:
                _logger.warning("the metrics page is unavailable, collecting failed: %s", error)
            return None

    def _keep_up(self) -> None:
        """Do what is due once a second: fold what is dead, publish where others may want it."""
        try:
            with self._writing:
                self._fold()
                several = self._shared(Workers.are_several)
            if several:
                data = self._collect()
                with self._writing:
                    self._show(data)
        except Exception:  # noqa: BLE001  # said when somebody wants the page
            self.errors.add("collect")

    def _show(self, data: MetricsData | None) -> Shown:
        """Return what this process shows, and publish it. Called with `_writing` held."""
        shown = self._encoder.show(data)
        if self._workers is None:
            return shown
        families = self._times.stamped(shown.families)
        published = None
        if not self._final:
            published = self._shared(lambda workers: workers.publish(families))
        own, dropped = published or (self._workers.own(families), [])
        return replace(shown, families=own, dropped=(*shown.dropped, *dropped))

    def _with_others(self, shown: Shown) -> Shown:
        found = self._shared(Workers.others)
        if found is None and not self._closed and self._workers and self._workers.joined:
            # Without the others every number would go down, which reads as a restart.
            raise OSError("what the other processes published cannot be read")
        if not found or not any(found):
            return shown
        families, dropped = together([shown.families, *found])
        return replace(shown, families=families, dropped=(*shown.dropped, *dropped))

    def _fold(self) -> None:
        """Look after what ended processes left, where that is this one's."""
        if self.folds:
            self._shared(Workers.fold)

    def _shared(self, step: Callable[[Workers], T]) -> T | None:
        """Do one thing in the folder that is shared; None where that cannot be, which is counted
        and said, and ends nothing else: a disk may be too full for one step and not for the next.

        Called with `_writing` held.
        """
        if self._workers is None or self._closed:
            return None
        try:
            self._workers.join()
            return step(self._workers)
        except (OSError, ValueError) as error:  # ValueError: bytes that are no text
            self.errors.add("publish")
            now = time.monotonic()
            if now - self._unshared_at >= UNSHARED_S:
                self._unshared_at = now
                _logger.warning("the metrics page is not shared with other processes: %s", error)
            return None

    def _write(self, shown: Shown, *, openmetrics: bool) -> bytes:
        encoding = self._encoder.write(shown, openmetrics=openmetrics)
        self._replaced += encoding.replaced
        reasons = [dropped.reason for dropped in encoding.dropped]
        self._dropped = Counter(reasons)
        self.errors.add_all(reasons)
        for dropped in encoding.dropped:
            self._complaints.add(dropped)
        return encoding.body
