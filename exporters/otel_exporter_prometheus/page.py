"""The page of one process: collected once for everybody who asks at the same time.

Threads: `otel-prometheus-collect` does every collection, so that a callback that hangs holds up no
request for longer than `COLLECT_TIMEOUT_S`; after that the last collection is shown. `_condition`
guards what is asked for and what was collected; `_encoding` lets one request write at a time.
"""

import gzip
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.context import attach, set_value
from opentelemetry.sdk.metrics.export import MetricsData

from otel_exporter_prometheus.encoding import Encoder
from otel_exporter_prometheus.labels import join, labels_of
from otel_exporter_prometheus.merge import Dropped, Family, families
from otel_exporter_prometheus.tally import Tally

__all__ = ["COLLECT_TIMEOUT_S", "Page", "Stats"]

COLLECT_TIMEOUT_S: Final = 5.0
"""A request waits this long for a collection, then gets the last one."""
SHARED_AGE_S: Final = 1.0
"""Under pressure requests share a collection that is at most this old."""
GZIP_LEVEL: Final = 1
"""Nine tenths of what level 9 saves, in a fifth of its time."""
NAMES_MAX: Final = 10_000
"""So many metrics are remembered as already complained about."""

_SUPPRESS: Final = "suppress_instrumentation"
"""The key under which OpenTelemetry's instrumentations look whether to stay out."""

_logger = logging.getLogger("otel_exporter_prometheus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What happened since the start.

    Attributes:
        scrapes: pages that were read.
        collections: collections that were made for them.
        errors: what went wrong, counted by kind each time: `collect`, `timeout`, `read`, `write`,
            `refused`, `thread`, `serve`, `tls`, `auth`, `throttled`, and the reasons of `dropped`.
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

    def __init__(self, data: MetricsData | None) -> None:
        self.data = data
        self.at = time.monotonic()
        self.pages: dict[tuple[bool, bool], bytes] = {}  # by format, and whether compressed


class Page:
    """Collects, writes, and counts what could not be shown.

    Args:
        collect: returns the metrics, or None when there are none. Called by one thread at a time.
        scope_labels: whether series carry `otel_scope_*` labels.

    Attributes:
        errors: what went wrong, by kind. Who serves the page adds to it.
    """

    def __init__(
        self, collect: Callable[[], MetricsData | None], *, scope_labels: bool = False
    ) -> None:
        self._collect = collect
        self._encoder = Encoder(scope_labels=scope_labels)
        self._condition = threading.Condition()
        self._encoding = threading.Lock()
        self._wanted = self._begun = self._finished = 0
        self._latest: _Collected | None = None
        self._failing = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._complained: set[tuple[str, str]] = set()
        self._collections = self._scrapes = self._replaced = 0
        self._dropped: Mapping[str, int] = {}
        self.errors = Tally()

    def start(self) -> None:
        """Start the thread that collects."""
        self._thread = threading.Thread(
            target=self._run, name="otel-prometheus-collect", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end, and requests that wait go without a page."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

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
        with self._encoding:
            self._scrapes += 1
            body = collected.pages.get((openmetrics, False))
            if body is None:
                body = self._encode(collected.data, openmetrics=openmetrics)
                collected.pages[openmetrics, False] = body
            if not packed:
                return body
            compressed = collected.pages.get((openmetrics, True))
            if compressed is None:
                compressed = gzip.compress(body, compresslevel=GZIP_LEVEL, mtime=0)
                collected.pages[openmetrics, True] = compressed
            return compressed

    def families(self) -> list[Family] | None:
        """Return what the page shows, at most `SHARED_AGE_S` old; None when there is none."""
        collected = self._collected(pressed=True)
        if collected is None:
            return None
        return [] if collected.data is None else families(collected.data, _labels)[0]

    def write(self, data: MetricsData | None, *, openmetrics: bool) -> bytes:
        """Return the page of `data`, which the caller collected."""
        with self._encoding:
            return self._encode(data, openmetrics=openmetrics)

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
        """Make `write` work in a forked child, where threads are gone and locks may be held."""
        self._condition = threading.Condition()
        self._encoding = threading.Lock()
        self._thread = self._latest = None
        self._collections = self._scrapes = self._replaced = 0
        self.errors.after_fork()

    def _collected(self, *, pressed: bool) -> _Collected | None:
        with self._condition:
            latest = self._latest
            if pressed and latest and time.monotonic() - latest.at < SHARED_AGE_S:
                return latest
            number = self._begun + 1
            self._wanted = max(self._wanted, number)
            self._condition.notify_all()
            in_time = self._condition.wait_for(
                lambda: self._finished >= number or self._stopping, timeout=COLLECT_TIMEOUT_S
            )
            if not in_time:
                self.errors.add("timeout")
            elif self._failing or self._stopping:
                return None
            return self._latest

    def _run(self) -> None:
        attach(set_value(_SUPPRESS, value=True))
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._stopping or self._wanted > self._begun)
                if self._stopping:
                    return
                self._begun = number = self._begun + 1
                self._wanted = max(self._wanted, number)
            collected = self._collect_once()
            with self._condition:
                self._failing = collected is None
                self._latest = collected or self._latest
                self._finished = number
                self._collections += 1
                self._condition.notify_all()

    def _collect_once(self) -> _Collected | None:
        try:
            return _Collected(self._collect())
        except Exception as error:  # noqa: BLE001  # callbacks are the service's code
            self.errors.add("collect")
            if not self._failing:
                _logger.warning("the metrics page is unavailable, collecting failed: %s", error)
            return None

    def _encode(self, data: MetricsData | None, *, openmetrics: bool) -> bytes:
        encoding = self._encoder.encode(data, openmetrics=openmetrics)
        self._replaced += encoding.replaced
        reasons = [dropped.reason for dropped in encoding.dropped]
        self._dropped = Counter(reasons)
        self.errors.add_all(reasons)
        for dropped in encoding.dropped:
            self._complain(dropped)
        return encoding.body

    def _complain(self, dropped: Dropped) -> None:
        key = (dropped.metric, dropped.reason)
        if key not in self._complained and len(self._complained) < NAMES_MAX:
            self._complained.add(key)
            _logger.warning(
                "metric %s is not or only in part on the metrics page: %s",
                ascii(dropped.metric),
                dropped.message,
            )


def _labels(_scope: object, _kind: object) -> Callable[[Mapping[str, object] | None], str]:
    return lambda attributes: join(labels_of(attributes))
