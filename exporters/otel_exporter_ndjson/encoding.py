"""`MetricsData` -> lines, at well under a microsecond a point.

Pure but for its memory of metrics and their series, which never holds more than the series of the
last batch (see `points`). Not thread-safe: an exporter guards it.
"""

from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.metrics.export import (
    ExponentialHistogram,
    Gauge,
    Histogram,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource

from otel_exporter_ndjson.errors import UnencodableError
from otel_exporter_ndjson.histogram_points import ExponentialPoints, HistogramPoints
from otel_exporter_ndjson.number_points import NumberPoints
from otel_exporter_ndjson.points import LINE_BYTES_MAX, Clock, Points
from otel_exporter_ndjson.streams import Batch, Origin, Part, Stream, origin_of, scope_json
from otel_exporter_ndjson.values import Tally, text_json

__all__ = ["MetricEncoder"]

SCOPES_MAX: Final = 1_000
"""Scopes whose streams are remembered; with more, all are forgotten and built again."""
STREAMS_MAX: Final = 10_000
"""Metrics of one scope that are remembered."""

_TYPES: Final[dict[type, tuple[str, type[Points]]]] = {
    Sum: ("sum", NumberPoints),
    Gauge: ("gauge", NumberPoints),
    Histogram: ("histogram", HistogramPoints),
    ExponentialHistogram: ("exponential_histogram", ExponentialPoints),
}
_FAULTS: Final = (TypeError, ValueError, OverflowError, AttributeError, RecursionError)
"""What data raises that no exporter should have been given; `UnencodableError` is one."""


class _Metric:
    """A stream of points, and its series."""

    __slots__ = ("points", "stream")

    def __init__(self, stream: Stream, points: Points) -> None:
        self.stream = stream
        self.points = points


class _Scope:
    """One scope of one resource; holds both, so that their ids stay theirs."""

    __slots__ = ("held", "json", "metrics", "name", "name_json", "origin")

    def __init__(
        self, group: ResourceMetrics, scoped: ScopeMetrics, origin: Origin, tally: Tally
    ) -> None:
        self.held = (group.resource, scoped.scope)
        self.origin = origin
        self.json = scope_json(scoped.scope, tally, scoped.schema_url)
        self.name = scoped.scope.name
        self.name_json = b"null" if self.name is None else text_json(self.name, tally)
        self.metrics: dict[tuple[object, ...], _Metric] = {}


class MetricEncoder:
    """Encodes one batch after the other; what it learns of a series serves the next batch."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.clock = Clock()
        self.dropped: dict[str, int] = {}
        self._scopes: dict[tuple[object, ...], _Scope] = {}
        self._origins: dict[tuple[int, str], tuple[Resource, Origin]] = {}

    def encode(self, data: MetricsData) -> Batch | None:
        """Return the lines of a batch, or None when it holds no data point.

        A point that no line can hold is left out and counted in `dropped` by reason.
        """
        if len(self._scopes) > SCOPES_MAX or len(self._origins) > SCOPES_MAX:
            self._scopes.clear()
            self._origins.clear()
        try:
            return _Walk(self, careful=False).batch(data)
        except _FAULTS:
            return _Walk(self, careful=True).batch(data)  # finds the one point that is to blame

    def drop(self, reason: str, points: int = 1) -> None:
        """Count points that cannot be written."""
        self.dropped[reason] = self.dropped.get(reason, 0) + points

    def origin(self, group: ResourceMetrics) -> Origin:
        """Return what is known of a resource."""
        key = (id(group.resource), group.schema_url)
        known = self._origins.get(key)
        if known is None:
            origin = origin_of(group.resource, self.tally, group.schema_url)
            known = self._origins[key] = (group.resource, origin)
        return known[1]

    def scope(self, group: ResourceMetrics, scoped: ScopeMetrics) -> _Scope:
        """Return what is known of a scope; objects of the SDK live as long as their provider."""
        key = (id(group.resource), group.schema_url, id(scoped.scope), scoped.schema_url)
        scope = self._scopes.get(key)
        if scope is None:
            scope = self._scopes[key] = _Scope(group, scoped, self.origin(group), self.tally)
        return scope

    def metric(self, scope: _Scope, metric: Metric) -> _Metric:
        """Return the stream of a metric."""
        data = metric.data
        temporality = getattr(data, "aggregation_temporality", None)
        monotonic = getattr(data, "is_monotonic", None)
        key = (metric.name, metric.description, metric.unit, type(data), temporality, monotonic)
        known = scope.metrics.get(key)
        if known is None:
            if len(scope.metrics) >= STREAMS_MAX:
                scope.metrics.clear()
            known = scope.metrics[key] = self._new(scope, metric)
        return known

    def _new(self, scope: _Scope, metric: Metric) -> _Metric:
        if type(metric.data) not in _TYPES:
            raise UnencodableError("unknown_type")
        kind, points = _TYPES[type(metric.data)]
        name, unit = text_json(metric.name, self.tally), _optional(metric.unit, self.tally)
        temporality = getattr(metric.data, "aggregation_temporality", None)
        monotonic = getattr(metric.data, "is_monotonic", None)
        shared = [b'"type":"%s"' % kind.encode(), b'"unit":%s' % unit]
        if temporality is not None:
            shared.append(b'"temporality":"%s"' % temporality.name.lower().encode())
        if monotonic is not None:
            shared.append(b'"monotonic":%s' % (b"true" if monotonic else b"false"))
        description = _optional(metric.description, self.tally)
        members = [b'"metric":%s' % name, b'"description":%s' % description, *shared]
        stream = Stream(
            (scope.name, metric.name, metric.unit, kind, temporality, monotonic),
            scope.origin,
            b",".join([*members, b'"scope":%s' % scope.json]),
        )
        head = b",".join([name, *shared, b'"scope":%s' % scope.name_json])
        return _Metric(stream, points(head, self.clock, self.tally))


class _Walk:
    """One pass over one batch."""

    def __init__(self, encoder: MetricEncoder, *, careful: bool) -> None:
        self.encoder = encoder
        self.careful = careful
        self.parts: list[Part] = []
        self.chunks: list[bytes] = []
        self.records = 0
        self.described: dict[tuple[object, ...], Stream] = {}
        self.shape: list[bytes] = []
        self.plain = True

    def batch(self, data: MetricsData) -> Batch | None:
        """Walk all groups; `plain` stays true while a reader could tell them from the lines."""
        before: Origin | None = None
        for group in data.resource_metrics:
            before = self._group(group, before)
        self._end_part()
        if not self.parts:
            return None
        first_ns, last_ns = self.encoder.clock.range()
        return Batch(
            parts=self.parts,
            records=sum([part.records for part in self.parts]),
            size=sum([len(part.body) for part in self.parts]),
            origin=self.parts[0].streams[0].origin,
            first_ns=first_ns,
            last_ns=last_ns,
            shape=None if self.plain else b"[%s]" % b",".join(self.shape),
            commit=True,
        )

    def _group(self, group: ResourceMetrics, before: Origin | None) -> Origin | None:
        if not self.careful:
            return self._resource(group, before)
        self._end_part()
        parts = len(self.parts)
        try:
            return self._resource(group, before)
        except _FAULTS as error:  # of the resource, a scope or a metric itself: all of it goes
            del self.parts[parts:]
            self.chunks, self.records, self.described, self.plain = [], 0, {}, False
            points = [
                metric.data.data_points
                for scoped in group.scope_metrics
                for metric in scoped.metrics
                if hasattr(metric.data, "data_points")
            ]
            self.encoder.drop(_reason(error), sum(map(len, points)))
            return before

    def _resource(self, group: ResourceMetrics, before: Origin | None) -> Origin:
        origin = self.encoder.origin(group)
        self.plain = self.plain and bool(group.scope_metrics)
        self.plain = self.plain and (before is None or before.json != origin.json)
        shapes: list[bytes] = []
        last: bytes | None = None
        for scoped in group.scope_metrics:
            scope = self.encoder.scope(group, scoped)
            self.plain = self.plain and bool(scoped.metrics) and scope.json != last
            last = scope.json
            counts = self._metrics(scope, scoped.metrics)
            shapes.append(b'{"scope":%s,"metrics":[%s]}' % (scope.json, b",".join(counts)))
        self.shape.append(b'{"resource":%s,"scopes":[%s]}' % (origin.json, b",".join(shapes)))
        return origin

    def _metrics(self, scope: _Scope, metrics: Sequence[Metric]) -> list[bytes]:
        counts: list[bytes] = []
        last: Stream | None = None
        for metric in metrics:
            known = self.encoder.metric(scope, metric)
            written = self._points(known, metric)
            if not written:
                self.plain = False
                counts.append(b"{%s}" % known.stream.members)
                continue
            self.plain = self.plain and (last is None or not last.same(known.stream))
            last = known.stream
            counts.append(b"%d" % written)
        return counts

    def _points(self, known: _Metric, metric: Metric) -> int:
        stream = known.stream
        described = self.described.setdefault(stream.key, stream)
        if not described.same(stream):
            self._end_part()
            self.described[stream.key] = stream
        before = self.records
        if self.careful:
            self._one_by_one(known, metric)
        else:
            self.chunks.append(known.points.lines(metric.data.data_points))
            self.records += len(metric.data.data_points)
        return self.records - before

    def _one_by_one(self, known: _Metric, metric: Metric) -> None:
        for point in metric.data.data_points:
            kind = type(known.points)
            try:
                points = kind(known.points.head, self.encoder.clock, self.encoder.tally)
                line = points.lines((point,))
                if len(line) > LINE_BYTES_MAX:
                    raise UnencodableError("too_large")
            except _FAULTS as error:
                self.encoder.drop(_reason(error))
            else:
                self.chunks.append(line)
                self.records += 1

    def _end_part(self) -> None:
        body = b"".join(self.chunks)
        long = len(body) > LINE_BYTES_MAX and not self.careful
        if long and max(map(len, body.split(b"\n"))) > LINE_BYTES_MAX:
            raise UnencodableError("too_large")
        if self.records:
            self.parts.append(Part(tuple(self.described.values()), body, self.records))
        self.chunks, self.records, self.described = [], 0, {}


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, UnencodableError) else "unencodable"


def _optional(text: str | None, tally: Tally) -> bytes:
    return b"null" if text is None else text_json(text, tally)
