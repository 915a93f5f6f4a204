"""What a process publishes to the others of its service: its families, as bytes (MessagePack).

Pure. Lossless for what a page shows: numbers keep int and float apart, NaN and infinities included.
A family that cannot be encoded is left out, and said. What was read is trusted as far as its form:
the folder is this user's alone.
"""

from collections.abc import Iterable, Mapping
from typing import Final, cast

import msgspec
from msgspec import Struct

from otel_exporter_prometheus.exemplars import shown
from otel_exporter_prometheus.merge import UNSET_BOUNDS, Dropped, Family, Kind, Rule
from otel_exporter_prometheus.naming import Instrument
from otel_exporter_prometheus.numbers import number
from otel_exporter_prometheus.points import Buckets, Number, Octaves, Point

__all__ = ["FORMAT", "Folded", "decode", "decode_folded", "encode", "encode_folded", "totals"]

FORMAT: Final = 1
"""Processes that write another format do not share a page with this one."""


class _Family(Struct, array_like=True, gc=False):
    name: str
    kind: Kind
    unit: str
    description: str
    metric: str
    instrument: Instrument
    rule: Rule
    bounds: tuple[float, ...]
    numbers: dict[str, Number] = {}
    buckets: dict[str, Buckets] = {}
    octaves: dict[str, Octaves] = {}


class Folded(Struct, kw_only=True):
    """What ended processes have counted, together, and which are in it.

    Attributes:
        folded: when each process whose numbers are in it was added, in seconds since the epoch.
        families: their counters and histograms.
    """

    folded: dict[str, float]
    families: list[_Family]

    def shown(self) -> list[Family]:
        """Return the families as `merge.together` takes them."""
        return [_family(family) for family in self.families]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[_Family])
_folded_decoder: Final = msgspec.msgpack.Decoder(Folded)


def encode(families: Iterable[Family]) -> tuple[bytes, list[Dropped]]:
    """Return what a process publishes, and what of it cannot be."""
    published, dropped = _published(families)
    try:
        return _encoder.encode(published), dropped
    except _UNENCODABLE:
        return _encoder.encode(_sound(published, dropped)), dropped


_UNENCODABLE: Final = (TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def _sound(published: Iterable[_Family], dropped: list[Dropped]) -> list[_Family]:
    """Return what can be encoded, and note in `dropped` what cannot."""
    sound = []
    for family in published:
        try:
            sound.append(_encodable(family))
        except _UNENCODABLE as error:
            dropped.append(_cannot(family.metric, error))
    return sound


def _encodable(family: _Family) -> _Family:
    """Return a family with integers as floats where they are too large for MessagePack."""
    for point in family.numbers.values():
        if isinstance(point.value, int) and not -(2**63) <= point.value < 2**64:
            point.value = float(point.value)
    _encoder.encode(family)
    return family


def decode(published: bytes) -> list[Family]:
    """Return the families that a process published.

    Raises:
        ValueError: it is damaged.
    """
    return [_family(family) for family in _decoder.decode(published)]


def encode_folded(folded: Mapping[str, float], families: Iterable[Family]) -> bytes:
    """Return what is kept of ended processes."""
    published, dropped = _published(families)
    kept = Folded(folded=dict(folded), families=published)
    try:
        return _encoder.encode(kept)
    except _UNENCODABLE:  # sums grow beyond 64 bits
        kept.families = _sound(published, dropped)
        return _encoder.encode(kept)


def decode_folded(kept: bytes) -> Folded:
    """Return what is kept of ended processes.

    Raises:
        ValueError: it is damaged.
    """
    return _folded_decoder.decode(kept)


def totals(families: Iterable[Family]) -> list[Family]:
    """Return those families of an ended process that count on: what it gauged ends with it."""
    return [family for family in families if family.source[1] in ("counter", "histogram")]


def _published(families: Iterable[Family]) -> tuple[list[_Family], list[Dropped]]:
    published, dropped = [], []
    for family in families:
        try:
            published.append(_publish(family))
        except _UNENCODABLE as error:
            dropped.append(_cannot(family.source[0], error))
    return published, dropped


def _cannot(metric: str, error: Exception) -> Dropped:
    return Dropped(metric, "junk", f"cannot be published: {type(error).__name__}: {error}")


def _publish(family: Family) -> _Family:
    made = _Family(
        name=family.name,
        kind=family.kind,
        unit=family.unit,
        description=family.description,
        metric=family.source[0],
        instrument=family.source[1],
        rule=family.rule,
        bounds=() if family.bounds == UNSET_BOUNDS else tuple(map(float, family.bounds)),
    )
    if family.bounds == UNSET_BOUNDS:
        made.octaves = _octaves(cast("Mapping[str, Octaves]", family.series))
    elif family.kind == "histogram":
        made.buckets = _buckets(cast("Mapping[str, Buckets]", family.series))
    else:
        made.numbers = _numbers(
            cast("Mapping[str, Number]", family.series), timed=family.source[1] == "gauge"
        )
    return made


def _numbers(series: Mapping[str, Number], *, timed: bool) -> dict[str, Number]:
    return {
        labels: Number(
            value if type(value := point.value) in _PLAIN else number(value),
            point.time_unix_nano if timed else 0,
            shown(point.exemplars, most=1) if point.exemplars else (),
        )
        for labels, point in series.items()
    }


_PLAIN: Final = (int, float)


def _buckets(series: Mapping[str, Buckets]) -> dict[str, Buckets]:
    return {
        labels: Buckets(
            point.bucket_counts,
            None if point.sum is None else number(point.sum),
            shown(point.exemplars),
        )
        for labels, point in series.items()
    }


def _octaves(series: Mapping[str, Octaves]) -> dict[str, Octaves]:
    return {
        labels: Octaves(point.least, point.counts, number(point.sum), shown(point.exemplars))
        for labels, point in series.items()
    }


def _family(family: _Family) -> Family:
    series: Mapping[str, Point] = family.numbers
    bounds = family.bounds
    if family.octaves:
        series, bounds = family.octaves, UNSET_BOUNDS
    elif family.kind == "histogram":
        series = family.buckets
        if any(len(each.bucket_counts) != len(bounds) + 1 for each in family.buckets.values()):
            raise ValueError("a histogram has not one count for each bucket")
    return Family(
        name=family.name,
        kind=family.kind,
        unit=family.unit,
        description=family.description,
        source=(family.metric, family.instrument),
        rule=family.rule,
        bounds=bounds,
        series=cast("dict[str, Point]", series),
    )
