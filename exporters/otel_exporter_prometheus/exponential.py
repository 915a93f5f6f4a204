"""Exponential histograms in the buckets of a classic one: powers of two.

Pure. Text formats have no exponential buckets. A power of two is a bound at every scale from 0 up,
so that buckets fall together whole, without estimates, and `le` does not change when the SDK
changes a series' scale. Negative observations share the bucket `le="0.0"` with zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    Buckets,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
)

__all__ = ["BOUNDS_MAX", "Octaves", "explicit", "octaves"]

BOUNDS_MAX: Final = 64
"""At most this many powers of two; a wider range is shown in powers of 4, 16, ..."""

_EXPONENT_MIN: Final = -1074  # the least float
_EXPONENT_MAX: Final = 1024  # no float any more: +Inf


@dataclass(frozen=True, slots=True)
class Octaves:
    """One point: `counts` is by exponent e of its bucket (2**(e-1), 2**e]; `least` is up to 0."""

    point: ExponentialHistogramDataPoint
    least: int
    counts: Mapping[int, int]

    @property
    def exemplars(self) -> Sequence[Exemplar]:
        """The point's exemplars."""
        return self.point.exemplars

    def plus(self, other: "Octaves") -> "Octaves":
        """Add another point of the same series."""
        counts = dict(self.counts)
        for exponent, count in other.counts.items():
            counts[exponent] = counts.get(exponent, 0) + count
        point = replace(
            self.point,
            sum=self.point.sum + other.point.sum,
            exemplars=[*self.point.exemplars, *other.point.exemplars],
        )
        return Octaves(point, self.least + other.least, counts)


def octaves(point: ExponentialHistogramDataPoint) -> Octaves:
    """Count a point's observations by powers of two."""
    counts: dict[int, int] = {}
    for exponent, count in _exponents(point.positive, point.scale):
        counts[exponent] = counts.get(exponent, 0) + count
    least = point.zero_count + sum(point.negative.bucket_counts)
    return Octaves(point, least, counts)


def _exponents(buckets: Buckets, scale: int) -> list[tuple[int, int]]:
    exponents = []
    for index, count in enumerate(buckets.bucket_counts, buckets.offset):
        if count:
            upper = (index >> scale) + 1 if scale >= 0 else (index + 1) << -scale
            exponents.append((min(max(upper, _EXPONENT_MIN), _EXPONENT_MAX), count))
    return exponents


def explicit(
    points: Mapping[str, Octaves],
) -> tuple[tuple[float, ...], dict[str, HistogramDataPoint]]:
    """Return one set of bounds for all points of a family, and the points in it."""
    used = [exponent for point in points.values() for exponent in point.counts]
    used = [exponent for exponent in used if exponent < _EXPONENT_MAX]
    if not used:
        return (0.0,), {labels: _classic(point, (), 1) for labels, point in points.items()}
    step = 1
    while _up(max(used), step) // step - _up(min(used), step) // step >= BOUNDS_MAX:
        step *= 2
    exponents = range(_up(min(used), step), _up(max(used), step) + 1, step)
    shown = tuple(exponent for exponent in exponents if exponent < _EXPONENT_MAX)
    bounds = (0.0, *(2.0**exponent for exponent in shown))
    return bounds, {labels: _classic(point, shown, step) for labels, point in points.items()}


def _up(exponent: int, step: int) -> int:
    """Round up to a multiple of `step`."""
    return -(-exponent // step) * step


def _classic(octaves: Octaves, exponents: Sequence[int], step: int) -> HistogramDataPoint:
    place = {exponent: index for index, exponent in enumerate(exponents, 1)}
    counts = [octaves.least] + [0] * (len(exponents) + 1)
    for exponent, count in octaves.counts.items():
        counts[place.get(_up(exponent, step), len(exponents) + 1)] += count
    point = octaves.point
    return HistogramDataPoint(
        attributes=point.attributes,
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        count=sum(counts),
        sum=point.sum,
        bucket_counts=counts,
        explicit_bounds=(),
        min=point.min,
        max=point.max,
        exemplars=point.exemplars,
    )
