"""The points of sums and gauges -> lines, put together from fragments and the text of numbers."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from opentelemetry.sdk.metrics.export import NumberDataPoint

from otel_exporter_ndjson.points import Points, exemplars_json
from otel_exporter_ndjson.values import number_json

__all__ = ["NumberPoints"]

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
_UNLIKE: Final = (TypeError, ValueError, OverflowError)
"""What numbers raise that are not simply int and float; each must then be looked at."""


class NumberPoints(Points):
    """The series of a sum or a gauge."""

    __slots__ = ()

    def _alike(self, data: Sequence[NumberDataPoint]) -> bytes | None:
        time_ns = data[0].time_unix_nano
        values = [
            point.value
            for point, attributes, start in zip(data, self.attributes, self.starts, strict=True)
            if point.attributes is attributes
            and point.start_time_unix_nano is start
            and point.time_unix_nano is time_ns
        ]
        if len(values) != len(data) or self.copies != self.attributes:
            return None
        try:
            texts = _encode_lines(values).split(b"\n")
            total: Any = sum(values)
            if total.__class__ not in (int, float) or total - total != 0:
                return None  # a sum shows whether one is NaN or infinite, which JSON cannot say
        except _UNLIKE:
            return None
        for index in [index for index, point in enumerate(data) if point.exemplars]:
            texts[index] += exemplars_json(data[index].exemplars, self.tally)
        head = b'{"kind":"metric","time":%b,"start":' % self.clock.at(time_ns)
        pieces = [b"}\n" + head] * (3 * len(values) + 1)
        pieces[0], pieces[-1] = head, b"}\n"
        pieces[1::3] = self.fragments
        pieces[2::3] = texts[:-1]
        return b"".join(pieces)

    def _each(self, data: Sequence[NumberDataPoint]) -> bytes:
        return b"".join([self._line(index, point) for index, point in enumerate(data)])

    def _line(self, index: int, point: NumberDataPoint) -> bytes:
        time = self.clock.at(point.time_unix_nano)
        fragment = self._fragment(index, point)
        exemplars = exemplars_json(point.exemplars, self.tally) if point.exemplars else b""
        value: Any = point.value
        kind: type = value.__class__
        plain = kind is int or (kind is float and value - value == 0)  # neither NaN nor infinite
        text = _encode(value) if plain else number_json(value)
        return b'{"kind":"metric","time":%b,"start":%b%b%b}\n' % (time, fragment, text, exemplars)

    def _finish(self, fragment: bytes) -> bytes:
        return fragment + b',"value":'
