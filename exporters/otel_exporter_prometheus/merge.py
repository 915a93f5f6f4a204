"""Metrics data -> families with every series once.

Pure. Points of one name and label set from several scopes become one: sums and histograms are
added, of gauges the newest stays. What cannot stand beside the first metric of a name (another
type, unit or bounds) is left out, and said.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_prometheus.exponential import Octaves, explicit, octaves
from otel_exporter_prometheus.naming import Instrument, metric_name

__all__ = ["FAMILIES_MAX", "Dropped", "Family", "Kind", "LabelsOf", "families"]

FAMILIES_MAX: Final = 2000
"""A page shows at most this many families; further names are left out and counted."""

Kind = Literal["counter", "gauge", "histogram"]
Point = NumberDataPoint | HistogramDataPoint | Octaves
LabelsOf = Callable[[InstrumentationScope, Kind], Callable[[Mapping[str, object] | None], str]]
"""(scope, kind) -> what makes the label part of a series from its attributes."""

_TARGET_INFO: Final = "target_info"


@dataclass(slots=True, kw_only=True)
class Family:
    """What stands under one name. `series` is by label part; `bounds` is a histogram's."""

    name: str
    kind: Kind
    unit: str
    description: str
    source: tuple[str, Instrument]
    bounds: tuple[float, ...] = ()
    series: dict[str, Point] = field(default_factory=dict)

    @property
    def sample_names(self) -> tuple[str, ...]:
        """Every name that no other family may have: of its lines, and `_created`, which
        OpenMetrics keeps for a histogram."""
        if self.kind == "histogram":
            suffixes = ("", "_bucket", "_sum", "_count", "_created")
            return tuple(self.name + suffix for suffix in suffixes)
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A metric or some of its points that the page cannot show. `reason` is one word to count."""

    metric: str
    reason: Literal["delta", "name", "type", "unit", "bounds", "clash", "limit", "junk"]
    message: str


def families(
    data: MetricsData, labels_of: LabelsOf, *, families_max: int = FAMILIES_MAX
) -> tuple[list[Family], list[Dropped]]:
    """Return what the page shows, in order of appearance, and what it cannot show."""
    merged = _Merged(labels_of, families_max)
    for scope, metric in _metrics(data):
        try:
            merged.add(metric, scope)
        except _CannotShowError as error:
            merged.drop(metric, error.reason, str(error))
        except Exception as error:  # noqa: BLE001  # whatever one metric holds, others are shown
            merged.drop(metric, "junk", f"cannot be read: {type(error).__name__}: {error}")
    return merged.shown(), merged.dropped


def _metrics(data: MetricsData) -> Iterator[tuple[InstrumentationScope, Metric]]:
    for resource_metrics in data.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                yield scope_metrics.scope, metric


class _CannotShowError(Exception):
    def __init__(
        self,
        reason: Literal["delta", "name", "type", "unit", "bounds", "clash", "limit"],
        message: str,
    ) -> None:
        super().__init__(message)
        self.reason: Final = reason


class _Merged:
    def __init__(self, labels_of: LabelsOf, families_max: int) -> None:
        self._labels_of = labels_of
        self._families_max = families_max
        self._families: dict[str, Family] = {}
        self._claimed = {_TARGET_INFO: _TARGET_INFO}
        self.dropped: list[Dropped] = []

    def drop(
        self,
        metric: Metric,
        reason: Literal["delta", "name", "type", "unit", "bounds", "clash", "limit", "junk"],
        message: str,
    ) -> None:
        self.dropped.append(Dropped(str(metric.name), reason, message))

    def add(self, metric: Metric, scope: InstrumentationScope) -> None:
        data = metric.data
        if not data.data_points:
            return
        kind, instrument = _kind(data)
        family = self._family(metric, kind, instrument)
        histogram = kind == "histogram"
        series, labels_of = family.series, self._labels_of(scope, kind)
        other_bounds = False
        points: dict[str, Point] = {}
        for given in data.data_points:
            point: Point
            if isinstance(given, ExponentialHistogramDataPoint):
                point = octaves(given)
            elif histogram and not _same_bounds(family, given):
                other_bounds = True
                continue
            else:
                point = given
            labels = labels_of(given.attributes)
            seen = points.get(labels)
            points[labels] = point if seen is None else _combined(seen, point, instrument)
        if not series:
            family.series = points
        else:
            for labels, point in points.items():
                seen = series.get(labels)
                series[labels] = point if seen is None else _combined(seen, point, instrument)
        if other_bounds:
            raise _CannotShowError("bounds", "its buckets differ from those already on the page")

    def _family(self, metric: Metric, kind: Kind, instrument: Instrument) -> Family:
        unit = metric.unit or ""
        try:
            name = metric_name(metric.name, unit, instrument)
        except ValueError as error:
            raise _CannotShowError("name", str(error)) from None
        family = self._families.get(name)
        exponential = isinstance(metric.data, ExponentialHistogram)
        if family is None:
            return self._new_family(name, metric, kind, instrument, unit)
        first, first_instrument = family.source
        if first_instrument != instrument or exponential != (family.bounds == _UNSET_BOUNDS):
            raise _CannotShowError("type", f"{first!r} is already shown as {name}, of another type")
        if family.unit != unit:
            raise _CannotShowError("unit", f"{first!r} is already shown as {name}, of another unit")
        if not family.description:
            family.description = metric.description or ""
        return family

    def _new_family(
        self, name: str, metric: Metric, kind: Kind, instrument: Instrument, unit: str
    ) -> Family:
        if len(self._families) >= self._families_max:
            raise _CannotShowError("limit", f"the page holds {self._families_max} metrics already")
        family = Family(
            name=name,
            kind=kind,
            unit=unit,
            description=metric.description or "",
            source=(metric.name, instrument),
            bounds=_bounds(metric.data),
        )
        for sample_name in family.sample_names:
            owner = self._claimed.get(sample_name)
            if owner is not None:
                raise _CannotShowError(
                    "clash", f"{owner!r} has a series named {sample_name} already"
                )
        self._claimed.update(dict.fromkeys(family.sample_names, metric.name))
        self._families[name] = family
        return family

    def shown(self) -> list[Family]:
        """Return the families, exponential histograms in explicit buckets."""
        shown = [family for family in self._families.values() if family.series]
        for family in shown:
            if family.bounds == _UNSET_BOUNDS:
                points = {
                    labels: point
                    for labels, point in family.series.items()
                    if isinstance(point, Octaves)
                }
                family.bounds, explicit_points = explicit(points)
                family.series = dict(explicit_points)
        return shown


_UNSET_BOUNDS: Final = (float("-inf"),)
"""Stands for the bounds of an exponential histogram until all its points are known."""


def _kind(data: object) -> tuple[Kind, Instrument]:
    if isinstance(data, Gauge):
        return "gauge", "gauge"
    if isinstance(data, Sum | Histogram | ExponentialHistogram):
        if data.aggregation_temporality != AggregationTemporality.CUMULATIVE:
            raise _CannotShowError("delta", "it is not cumulative; Prometheus needs running totals")
        if not isinstance(data, Sum):
            return "histogram", "histogram"
        return ("counter", "counter") if data.is_monotonic else ("gauge", "updowncounter")
    raise TypeError(f"{type(data).__name__} is no kind of metric")


def _bounds(data: object) -> tuple[float, ...]:
    if isinstance(data, ExponentialHistogram):
        return _UNSET_BOUNDS
    if isinstance(data, Histogram) and data.data_points:
        bounds = tuple(data.data_points[0].explicit_bounds)
        if any(not low < high for low, high in pairwise(bounds)):
            raise ValueError("the bounds of its buckets do not rise")
        if bounds and not bounds[0] > -_INFINITY:
            raise ValueError("a bound of its buckets is no number")
        return bounds
    return ()


_INFINITY: Final = float("inf")


def _same_bounds(family: Family, point: NumberDataPoint | HistogramDataPoint) -> bool:
    assert isinstance(point, HistogramDataPoint)
    bounds = point.explicit_bounds
    if bounds is not family.bounds and tuple(bounds) != family.bounds:
        return False
    if len(point.bucket_counts) != len(family.bounds) + 1:
        raise ValueError("it has not one count for each bucket")
    return True


def _combined(one: Point, other: Point, instrument: Instrument) -> Point:
    """Make one point of two that stand under the same labels."""
    if isinstance(one, Octaves) and isinstance(other, Octaves):
        return one.plus(other)
    if isinstance(one, HistogramDataPoint) and isinstance(other, HistogramDataPoint):
        counts: Sequence[int] = [
            mine + theirs
            for mine, theirs in zip(one.bucket_counts, other.bucket_counts, strict=True)
        ]
        return dataclasses.replace(
            one,
            count=one.count + other.count,
            sum=one.sum + other.sum,
            bucket_counts=counts,
            exemplars=[*one.exemplars, *other.exemplars],
        )
    assert isinstance(one, NumberDataPoint)
    assert isinstance(other, NumberDataPoint)
    if instrument == "gauge":
        return one if one.time_unix_nano > other.time_unix_nano else other
    return dataclasses.replace(
        one, value=one.value + other.value, exemplars=[*one.exemplars, *other.exemplars]
    )
