"""One data point -> one line: the fast way for what the SDK makes, the exact way for the rest."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
)

from otel_exporter_ndjson.values import Tally, attributes_json, number_json, time_json

__all__ = [
    "LINE_BYTES_MAX",
    "Clock",
    "Points",
    "exponential_lines",
    "histogram_lines",
    "number_lines",
]

LINE_BYTES_MAX: Final = 2**20
"""A record whose line would be longer is dropped and counted: a reader must not need more."""

_encode = msgspec.json.Encoder().encode
_NEVER: Final = object()
_IMMUTABLE: Final = frozenset({str, int, float, bool, bytes, type(None)})


class _Number(Struct, gc=False, tag_field="kind", tag="metric"):
    time: Raw
    start: Raw  # and behind it, in the same fragment, all that stays the same of a series
    value: Any


class _Histogram(Struct, gc=False, tag_field="kind", tag="metric"):
    time: Raw
    start: Raw
    count: int
    sum: Any
    min: Any
    max: Any
    counts: Any


class _Buckets(Struct, gc=False):
    offset: int
    counts: Any


class _Exponential(Struct, gc=False, tag_field="kind", tag="metric"):
    time: Raw
    start: Raw
    count: int
    sum: Any
    min: Any
    max: Any
    scale: int
    zero_count: int
    positive: _Buckets
    negative: _Buckets
    flags: int


class Clock:
    """The time of the points at hand as JSON; the points of a collection share theirs."""

    __slots__ = ("raw", "time_ns", "times")

    def __init__(self) -> None:
        self.time_ns: int | None = None
        self.raw = Raw(b"null")
        self.times: set[int] = set()

    def at(self, time_ns: int | None) -> Raw:
        """Return a time as JSON, and remember it among the times of this batch."""
        if time_ns is None:
            return Raw(b"null")
        if time_ns != self.time_ns:
            self.raw = Raw(time_json(time_ns))
            self.time_ns = time_ns
        self.times.add(time_ns)
        return self.raw

    def range(self) -> tuple[int | None, int | None]:
        """Return the first and last time seen since the last call."""
        times, self.times = self.times, set()
        return min(times, default=None), max(times, default=None)


class _Series:
    """The fragment of one series, and what it was made from."""

    __slots__ = ("attributes", "bounds", "copy", "raw", "start")

    def __init__(self, point: Any, bounds: Sequence[float] | None, raw: Raw) -> None:
        self.attributes: object = point.attributes
        self.copy = None if point.attributes is None else dict(point.attributes)
        self.start = point.start_time_unix_nano
        self.bounds = bounds
        self.raw = raw
        if not self._lasting():
            self.attributes = _NEVER

    def _lasting(self) -> bool:
        """Whether nothing can change unseen inside what the fragment was made from."""
        values = self.copy.values() if self.copy else ()
        return all(type(value) in _IMMUTABLE for value in values) and (
            self.bounds is None or type(self.bounds) is tuple
        )

    def fits(self, point: Any, bounds: Sequence[float] | None) -> bool:
        """Whether the fragment is still what this point needs."""
        return (
            point.attributes is self.attributes
            and point.start_time_unix_nano == self.start
            and bounds is self.bounds
            and point.attributes == self.copy
        )


_NONE: Final = _Series.__new__(_Series)
_NONE.attributes = _NEVER


class Points:
    """The series of one metric, in the order of the last batch.

    The SDK gives the points of a metric in the same order at each collection, with the same
    attribute mapping for a series; what has moved is looked up by that mapping's identity.
    """

    __slots__ = ("_moved", "clock", "head", "series", "tally")

    def __init__(self, head: bytes, clock: Clock, tally: Tally) -> None:
        self.head = head
        self.clock = clock
        self.tally = tally
        self.series: list[_Series] = []
        self._moved: dict[int, _Series] | None = None

    def begin(self, count: int) -> list[_Series]:
        """Return as many series as a batch has points; those of the last batch come first."""
        self._moved = None
        if len(self.series) > count:
            self._moved = {id(series.attributes): series for series in self.series}
            del self.series[count:]
        elif len(self.series) < count:
            self.series += [_NONE] * (count - len(self.series))
        return self.series

    def find(self, index: int, point: Any, bounds: Sequence[float] | None = None) -> Raw:
        """Return the fragment of a series that is not where it was, or that is new."""
        if self._moved is None:
            self._moved = {id(series.attributes): series for series in self.series}
        series = self._moved.get(id(point.attributes))
        if series is None or not series.fits(point, bounds):
            series = self._new(point, bounds)
        self.series[index] = series
        return series.raw

    def _new(self, point: Any, bounds: Sequence[float] | None) -> _Series:
        text = [
            time_json(point.start_time_unix_nano),
            b'"metric":%s' % self.head,
            b'"attributes":%s' % attributes_json(point.attributes, self.tally),
        ]
        if bounds is not None:
            text.append(b'"bounds":[%s]' % b",".join([number_json(bound) for bound in bounds]))
        return _Series(point, bounds, Raw(b",".join(text)))


def number_lines(points: Points, data: Sequence[NumberDataPoint], lines: list[Any]) -> None:
    """Append the lines of a sum's or a gauge's points."""
    time_ns: int | None = None
    time = Raw(b"null")
    append = lines.append
    before = len(lines)
    for point, series in zip(data, points.begin(len(data)), strict=True):
        if point.time_unix_nano != time_ns:
            time_ns = point.time_unix_nano
            time = points.clock.at(time_ns)
        attributes = point.attributes
        if (
            series.attributes is attributes
            and series.start is point.start_time_unix_nano
            and series.copy == attributes
        ):
            raw = series.raw
        else:
            raw = points.find(len(lines) - before, point)
        value: Any = point.value
        kind: type = value.__class__
        if kind is int or (kind is float and value - value == 0):  # neither NaN nor infinite
            line: Any = _Number(time, raw, value)
        else:
            line = _Number(time, raw, Raw(number_json(value)))
        append(_with_exemplars(line, point.exemplars, points) if point.exemplars else line)


def histogram_lines(points: Points, data: Sequence[HistogramDataPoint], lines: list[Any]) -> None:
    """Append the lines of a histogram's points; the bounds are part of the series."""
    time_ns: int | None = None
    time = Raw(b"null")
    append = lines.append
    before = len(lines)
    for point, series in zip(data, points.begin(len(data)), strict=True):
        if point.time_unix_nano != time_ns:
            time_ns = point.time_unix_nano
            time = points.clock.at(time_ns)
        attributes = point.attributes
        bounds = point.explicit_bounds
        if (
            series.attributes is attributes
            and series.start is point.start_time_unix_nano
            and series.bounds is bounds
            and series.copy == attributes
        ):
            raw = series.raw
        else:
            raw = points.find(len(lines) - before, point, bounds)
        total: Any = point.sum
        least: Any = point.min
        most: Any = point.max
        try:
            every: Any = total + least + most  # a finite float only if all three can be written
        except (TypeError, OverflowError):
            every = None
        line: Any
        if every.__class__ is float and every - every == 0:
            line = _Histogram(time, raw, point.count, total, least, most, point.bucket_counts)
        else:
            line = _Histogram(time, raw, point.count, *_raw(point), point.bucket_counts)
        append(_with_exemplars(line, point.exemplars, points) if point.exemplars else line)


def exponential_lines(
    points: Points, data: Sequence[ExponentialHistogramDataPoint], lines: list[Any]
) -> None:
    """Append the lines of an exponential histogram's points."""
    for index, (point, series) in enumerate(zip(data, points.begin(len(data)), strict=True)):
        line = _Exponential(
            points.clock.at(point.time_unix_nano),
            series.raw if series.fits(point, None) else points.find(index, point),
            point.count,
            *_raw(point),
            point.scale,
            point.zero_count,
            _Buckets(point.positive.offset, point.positive.bucket_counts),
            _Buckets(point.negative.offset, point.negative.bucket_counts),
            point.flags,
        )
        exemplars = point.exemplars
        lines.append(_with_exemplars(line, exemplars, points) if exemplars else line)


def _raw(point: Any) -> tuple[Raw, Raw, Raw]:
    return Raw(number_json(point.sum)), Raw(number_json(point.min)), Raw(number_json(point.max))


def _with_exemplars(line: Struct, exemplars: Sequence[Exemplar], points: Points) -> Raw:
    listed = b",".join([_exemplar(exemplar, points.tally) for exemplar in exemplars])
    return Raw(b'%s,"exemplars":[%s]}' % (_encode(line)[:-1], listed))


def _exemplar(exemplar: Exemplar, tally: Tally) -> bytes:
    members = [
        b'"time":%s' % time_json(exemplar.time_unix_nano),
        b'"value":%s' % number_json(exemplar.value),
        b'"attributes":%s' % attributes_json(exemplar.filtered_attributes, tally),
    ]
    if exemplar.trace_id is not None:
        members.append(b'"trace_id":"%032x"' % exemplar.trace_id)
    if exemplar.span_id is not None:
        members.append(b'"span_id":"%016x"' % exemplar.span_id)
    return b"{%s}" % b",".join(members)
