"""Exponential histograms in the buckets of a classic one: powers of two.

Pure. Text formats have no exponential buckets. A power of two is a bound at every scale from 0 up,
so that buckets fall together whole, without estimates, and `le` does not change when the SDK
changes a series' scale. Negative observations share the bucket `le="0.0"` with zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from opentelemetry.sdk.metrics.export import Buckets as SdkBuckets
from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint

from otel_exporter_prometheus.exemplars import shown
from otel_exporter_prometheus.points import Buckets, Octaves, Shown

__all__ = ["BOUNDS_MAX", "explicit", "octaves", "plus"]

BOUNDS_MAX: Final = 64
"""At most this many powers of two; a wider range is shown in powers of 4, 16, ..."""

_EXPONENT_MIN: Final = -1074  # the least float
_EXPONENT_MAX: Final = 1024  # no float any more: +Inf


def octaves(point: ExponentialHistogramDataPoint) -> Octaves:
    """Count a point's observations by powers of two."""
    counts: dict[int, int] = {}
    for exponent, count in _exponents(point.positive, point.scale):
        counts[exponent] = counts.get(exponent, 0) + count
    least = point.zero_count + sum(point.negative.bucket_counts)
    return Octaves(least, counts, point.sum, shown(point.exemplars))


def plus(points: Iterable[Octaves], total: float, exemplars: tuple[Shown, ...]) -> Octaves:
    """Add points of the same series; `total` is their sums'."""
    least = 0
    counts: dict[int, int] = {}
    for point in points:
        least += point.least
        for exponent, count in point.counts.items():
            counts[exponent] = counts.get(exponent, 0) + count
    return Octaves(least, counts, total, exemplars)


def _exponents(buckets: SdkBuckets, scale: int) -> list[tuple[int, int]]:
    exponents = []
    for index, count in enumerate(buckets.bucket_counts, buckets.offset):
        if count:
            upper = (index >> scale) + 1 if scale >= 0 else (index + 1) << -scale
            exponents.append((min(max(upper, _EXPONENT_MIN), _EXPONENT_MAX), count))
    return exponents


def explicit(
    points: Mapping[str, Octaves],
) -> tuple[tuple[float, ...], dict[str, Buckets]]:
    """Return one set of bounds for all points of a family, and the points in it."""
    used = [exponent for point in points.values() for exponent in point.counts]
    used = [exponent for exponent in used if exponent < _EXPONENT_MAX]
    if not used:
        return (0.0,), {labels: _classic(point, (), 1) for labels, point in points.items()}
    step = 1
    while _up(max(used), step) // step - _up(min(used), step) // step >= BOUNDS_MAX:
        step *= 2
    exponents = range(_up(min(used), step), _up(max(used), step) + 1, step)
    used_up = tuple(exponent for exponent in exponents if exponent < _EXPONENT_MAX)
    bounds = (0.0, *(2.0**exponent for exponent in used_up))
    return bounds, {labels: _classic(point, used_up, step) for labels, point in points.items()}


def _up(exponent: int, step: int) -> int:
    """Round up to a multiple of `step`."""
    return -(-exponent // step) * step


def _classic(octaves: Octaves, exponents: Sequence[int], step: int) -> Buckets:
    place = {exponent: index for index, exponent in enumerate(exponents, 1)}
    counts = [octaves.least] + [0] * (len(exponents) + 1)
    for exponent, count in octaves.counts.items():
        counts[place.get(_up(exponent, step), len(exponents) + 1)] += count
    return Buckets(counts, octaves.sum, octaves.exemplars)
