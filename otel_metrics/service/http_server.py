"""What a service's own HTTP server metrics say of the time since the last question.

They are read from a collection of this process: `http.server.request.duration` (seconds), or
`http.server.duration` (milliseconds) of older instrumentation, and `http.server.active_requests`.
Their numbers count from the start of the process, so two collections are compared.

Threads: a question's own, one at a time a metric; each metric keeps what it saw last.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
)

from otel_metrics.catalog.model import Statistic
from otel_metrics.service.readings import Readings, SourceError
from otel_metrics.service.units import duration_in, share_in

__all__ = ["HttpServer", "Requests", "quantile"]

DURATIONS: Final[Mapping[str, float]] = {
    "http.server.request.duration": 1.0,
    "http.server.duration": 1e-3,
}
"""Each name of the histogram, the newer one first, and the seconds of its unit."""
ACTIVE: Final = "http.server.active_requests"
STATUS_KEYS: Final = ("http.response.status_code", "http.status_code")
SERVER_ERROR: Final = 500
QUANTILE: Final = 0.95

_Key = tuple[str, str, frozenset[tuple[str, object]]]


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests between two collections.

    Attributes:
        elapsed_s: the time between them.
        bounds: upper bounds of the buckets, in seconds.
        counts: requests of each bucket; one more than there are bounds.
        failed: those that were answered with 5xx.
    """

    elapsed_s: float
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    failed: int

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The histogram's points of one collection, by metric, scope and attributes."""

    at_ns: int
    points: Mapping[_Key, HistogramDataPoint]
    seconds: float


class HttpServer:
    """One figure of the service's HTTP server.

    Args:
        collect: a collection of this process's metrics, begun after the call.
        statistic: which figure.
        unit: of the metric.
        capacity: requests at once that are all of `saturation`.
    """

    def __init__(
        self,
        collect: Callable[[], MetricsData | None],
        statistic: Statistic | None,
        unit: str,
        capacity: float | None,
    ) -> None:
        self._collect = collect
        self._statistic = statistic
        self._unit = unit
        self._capacity = capacity
        self._before: _Seen | None = None
        self._active_ns = 0

    def read(self) -> Readings:
        """Return the figure; nothing before the second collection, and while no server is
        measured.

        Raises:
            SourceError: the collection hangs, or cannot be read.
        """
        try:
            collected = self._collect()
        except TimeoutError as error:
            raise SourceError("timeout", str(error)) from None
        if self._statistic == "saturation":
            return self._saturation(collected)
        before, self._before = self._before, _seen(collected)
        if before is None or not self._before.points:
            return {}
        _refuse_repeated(before.at_ns, self._before.at_ns)
        return {None: self._figure(_between(before, self._before))}

    def _saturation(self, collected: MetricsData | None) -> Readings:
        active = [
            point
            for _, metric in _metrics(collected, ACTIVE)
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
        ]
        if not active or not self._capacity:
            return {}
        at_ns = max(point.time_unix_nano for point in active)
        _refuse_repeated(self._active_ns, at_ns)
        self._active_ns = at_ns
        busy = sum(point.value for point in active)
        return {None: share_in(self._unit, max(0.0, busy / self._capacity))}

    def _figure(self, requests: Requests) -> float | None:
        """Return the figure of these requests; None where it is a share of nothing."""
        if self._statistic == "request_rate":
            return requests.total / requests.elapsed_s
        if not requests.total:
            return None
        if self._statistic == "error_ratio":
            return share_in(self._unit, requests.failed / requests.total)
        return duration_in(self._unit, quantile(QUANTILE, requests.bounds, requests.counts))


def quantile(share: float, bounds: tuple[float, ...], counts: tuple[int, ...]) -> float:
    """Return the value below which so large a share of a histogram's values lies.

    Linear within its bucket, of which the first begins at 0; what lies above the last bound counts
    as that bound, as in Prometheus' `histogram_quantile`. At least one value is there.
    """
    rank = share * sum(counts)
    passed = 0
    for index, bound in enumerate(bounds):
        count = counts[index]
        if count and passed + count >= rank:
            lower = bounds[index - 1] if index else min(0.0, bound)
            return lower + (bound - lower) * max(0.0, rank - passed) / count
        passed += count
    return bounds[-1] if bounds else 0.0


def _refuse_repeated(before_ns: int, now_ns: int) -> None:
    """Refuse a collection that was seen before: the hub hands it out while a callback hangs, and
    no request would have come since."""
    if now_ns <= before_ns:
        raise SourceError("timeout", "the collection did not end in time: a callback hangs")


def _seen(collected: MetricsData | None) -> _Seen:
    """Return the requests' histogram, of the first name that there is one of; perhaps none."""
    for name, seconds in DURATIONS.items():
        points = dict(_points(collected, name))
        if points:
            at_ns = max(point.time_unix_nano for point in points.values())
            return _Seen(at_ns, points, seconds)
    return _Seen(time.time_ns(), {}, 1.0)


def _points(collected: MetricsData | None, name: str) -> Iterator[tuple[_Key, HistogramDataPoint]]:
    for scope, metric in _metrics(collected, name):
        for point in metric.data.data_points:
            if isinstance(point, HistogramDataPoint):
                yield (name, scope, frozenset((point.attributes or {}).items())), point


def _metrics(collected: MetricsData | None, name: str) -> Iterator[tuple[str, Metric]]:
    """Give the metrics of a name, each with the name of what recorded it."""
    for of_resource in collected.resource_metrics if collected else ():
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                if metric.name == name:
                    yield of_scope.scope.name, metric


def _between(before: _Seen, now: _Seen) -> Requests:
    """Return what was added from one collection to the next; a series that is new, or that began
    anew, is all added."""
    layouts = {tuple(point.explicit_bounds) for point in now.points.values()}
    if len(layouts) > 1:
        raise SourceError("ambiguous", "HTTP server histograms of several buckets in one service")
    (bounds,) = layouts
    counts = [0] * (len(bounds) + 1)
    failed = 0
    for key, point in now.points.items():
        added = _added(before.points.get(key), point)
        counts = [count + more for count, more in zip(counts, added, strict=True)]
        failed += sum(added) if _status(point) >= SERVER_ERROR else 0
    return Requests(
        elapsed_s=(now.at_ns - before.at_ns) / 1e9,
        bounds=tuple(bound * now.seconds for bound in bounds),
        counts=tuple(counts),
        failed=failed,
    )


def _added(before: HistogramDataPoint | None, now: HistogramDataPoint) -> list[int]:
    counts = list(now.bucket_counts)
    if before is None or before.count > now.count or len(before.bucket_counts) != len(counts):
        return counts
    return [max(0, new - old) for new, old in zip(counts, before.bucket_counts, strict=True)]


def _status(point: HistogramDataPoint) -> int:
    for key in STATUS_KEYS:
        status = (point.attributes or {}).get(key)
        if isinstance(status, int | str) and str(status).isdecimal():
            return int(status)
    return 0
