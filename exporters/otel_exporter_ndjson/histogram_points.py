"""The points of histograms of both kinds -> lines, by structs that `msgspec` encodes."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct
from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, HistogramDataPoint

from otel_exporter_ndjson.points import Points, exemplars_json
from otel_exporter_ndjson.values import number_json

__all__ = ["ExponentialPoints", "HistogramPoints"]

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
_UNLIKE: Final = (TypeError, ValueError, OverflowError)
"""What points raise that are not as the SDK makes them; each must then be looked at."""


class _Histogram(Struct, gc=False, tag_field="kind", tag="metric"):
    time: Raw
    start: Raw  # and behind it, in the same fragment, all that stays the same of a series
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


class _StructPoints(Points):
    """Series whose fragments `msgspec` copies into the line."""

    __slots__ = ()

    def _each(self, data: Sequence[Any]) -> bytes:
        return _encode_lines([self._line(index, point) for index, point in enumerate(data)])

    def _line(self, index: int, point: Any) -> Struct | Raw:
        struct = self._struct(index, point)
        return self._with_exemplars(struct, point) if point.exemplars else struct

    def _with_exemplars(self, struct: Struct | Raw, point: Any) -> Raw:
        return Raw(b"%b%b}" % (_encode(struct)[:-1], exemplars_json(point.exemplars, self.tally)))

    def _struct(self, index: int, point: Any) -> Struct:
        raise NotImplementedError

    def _finish(self, fragment: bytes) -> Raw:
        return Raw(fragment)


class HistogramPoints(_StructPoints):
    """The series of a histogram; the bounds are part of a series."""

    __slots__ = ()

    def _alike(self, data: Sequence[HistogramDataPoint]) -> bytes | None:
        try:
            return self._same_series(data)
        except _UNLIKE:
            return None

    def _same_series(self, data: Sequence[HistogramDataPoint]) -> bytes | None:
        if self.copies != self.attributes:
            return None
        time_ns = data[0].time_unix_nano
        time = Raw(self.clock.at(time_ns))
        structs: list[Struct | Raw] = [
            _Histogram(
                time, fragment, point.count, point.sum, point.min, point.max, point.bucket_counts
            )
            for point, attributes, start, bounds, fragment in zip(
                data, self.attributes, self.starts, self.bounds, self.fragments, strict=True
            )
            if point.attributes is attributes
            and point.start_time_unix_nano is start
            and point.explicit_bounds is bounds
            and point.time_unix_nano is time_ns
            and (point.sum + point.min + point.max) * 0.0 == 0.0  # neither NaN nor infinite
        ]
        if len(structs) != len(data):
            return None
        for index in [index for index, point in enumerate(data) if point.exemplars]:
            structs[index] = self._with_exemplars(structs[index], data[index])
        return _encode_lines(structs)

    def _struct(self, index: int, point: HistogramDataPoint) -> Struct:
        time = Raw(self.clock.at(point.time_unix_nano))
        fragment = self._fragment(index, point, point.explicit_bounds)
        return _Histogram(time, fragment, point.count, *_extremes(point), point.bucket_counts)


class ExponentialPoints(_StructPoints):
    """The series of an exponential histogram."""

    __slots__ = ()

    def _struct(self, index: int, point: ExponentialHistogramDataPoint) -> Struct:
        return _Exponential(
            Raw(self.clock.at(point.time_unix_nano)),
            self._fragment(index, point),
            point.count,
            *_extremes(point),
            point.scale,
            point.zero_count,
            _Buckets(point.positive.offset, point.positive.bucket_counts),
            _Buckets(point.negative.offset, point.negative.bucket_counts),
            point.flags,
        )


def _extremes(point: Any) -> tuple[Any, Any, Any]:
    """Return sum, least and greatest as they are where JSON can say them, else as text."""
    numbers = (point.sum, point.min, point.max)
    try:
        every: Any = sum(numbers)
    except _UNLIKE:
        every = None
    if every.__class__ is float and every - every == 0:
        return numbers
    total, least, most = [Raw(number_json(number)) for number in numbers]
    return total, least, most
