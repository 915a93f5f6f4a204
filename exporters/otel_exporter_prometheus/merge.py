"""Metrics data -> families with every series once; families of several processes -> one set.

Pure. Points of one name and label set from several scopes become one: sums and histograms are
added, of gauges the newest stays. Between processes each family says how (`Rule`). What cannot
stand beside the first metric of a name (another type, unit or bounds) is left out, and said.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import fsum, nextafter
from typing import Final, Literal, cast

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

from otel_exporter_prometheus.exemplars import shown
from otel_exporter_prometheus.exponential import explicit, octaves, plus
from otel_exporter_prometheus.naming import Instrument, metric_name
from otel_exporter_prometheus.points import Buckets, Number, Octaves, Point, Shown

__all__ = [
    "FAMILIES_MAX",
    "UNSET_BOUNDS",
    "Dropped",
    "Family",
    "Kind",
    "LabelsOf",
    "Reason",
    "Rule",
    "families",
    "in_buckets",
    "less",
    "together",
]

FAMILIES_MAX: Final = 2000
"""A page shows at most this many families; further names are left out and counted."""

Kind = Literal["counter", "gauge", "histogram"]
Rule = Literal["sum", "min", "max", "newest"]
"""How the same series of several processes becomes one."""
Reason = Literal["delta", "name", "type", "unit", "bounds", "clash", "limit", "junk"]
LabelsOf = Callable[[InstrumentationScope, Kind], Callable[[Mapping[str, object] | None], str]]
"""(scope, kind) -> what makes the label part of a series from its attributes."""

UNSET_BOUNDS: Final = (float("-inf"),)
"""Stands for the bounds of an exponential histogram until all its points are known."""

_TARGET_INFO: Final = "target_info"
_INFINITY: Final = float("inf")


@dataclass(slots=True, kw_only=True)
class Family:
    """What stands under one name. `series` is by label part; `bounds` is a histogram's, and
    `UNSET_BOUNDS` for an exponential one, whose points are `Octaves` until `in_buckets`."""

    name: str
    kind: Kind
    unit: str
    description: str
    source: tuple[str, Instrument]
    rule: Rule
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
    reason: Reason
    message: str


def families(
    data: MetricsData,
    labels_of: LabelsOf,
    *,
    rules: Mapping[str, Rule] = {},
    families_max: int = FAMILIES_MAX,
) -> tuple[list[Family], list[Dropped]]:
    """Return what the page shows, in order of appearance, and what it cannot show.

    Args:
        data: of one process.
        labels_of: makes the label part of a series.
        rules: by metric, how its series of several processes become one. Without, counters,
            up-down counters and histograms are added, and of a gauge the newest value stays.
        families_max: how many families there may be.
    """
    merged = _Merged(labels_of, rules, families_max)
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


def together(
    parts: Iterable[Iterable[Family]],
    *,
    apart: bool = False,
    families_max: int = FAMILIES_MAX,
    up: bool = False,
) -> tuple[list[Family], list[Dropped]]:
    """Make one set of families of those of several processes, the first of which decides what a
    name is. The parts stay as they are.

    Sums are those of exact arithmetic, rounded once, so that they do not depend on the order of
    the parts: Prometheus takes the last digit of a sum that goes down for a restart from zero.

    Args:
        parts: the families of each process.
        apart: keep families of one name that cannot stand beside each other, each by itself, for
            what is kept of ended processes; which of them a page shows is for the page to decide.
        families_max: how many families there may be.
        up: round sums up, for a sum that stands for its parts in a later one: that is then not
            less than with the parts themselves.
    """
    names = _Names(families_max, apart=apart)
    found: dict[Hashable, list[Mapping[str, Point]]] = {}
    dropped: list[Dropped] = []
    for part in parts:
        for family in part:
            try:
                key = names.key(family)
                mine = names.families.get(key)
                if mine is None:
                    names.add(replace(family))
                    found[key] = [family.series]
                    continue
                _check_same(mine, family.source[1], family.unit, family.bounds)
                found[key].append(family.series)
            except _CannotShowError as error:
                dropped.append(Dropped(family.source[0], error.reason, str(error)))
    for key, series in found.items():
        if len(series) > 1:
            family = names.families[key]
            family.series = _combined_series(series, family.rule, up=up)
    return list(names.families.values()), dropped


def less(families: Iterable[Family], base: Iterable[Family]) -> list[Family]:
    """Return families without what `base`, an earlier state of them, has counted. Of gauges nothing
    is taken, nor of what other processes count, too (`max`)."""
    counted = {(each.name, each.source, each.unit, each.bounds): each.series for each in base}
    left = []
    for family in families:
        before = counted.get((family.name, family.source, family.unit, family.bounds))
        if before is not None and family.rule == "sum":
            series = {
                labels: _less(point, before[labels]) if labels in before else point
                for labels, point in family.series.items()
            }
            family = replace(family, series=series)
        left.append(family)
    return left


def _combined_series(
    parts: Iterable[Mapping[str, Point]], rule: Rule, *, up: bool
) -> dict[str, Point]:
    points: dict[str, list[Point]] = {}
    for part in parts:
        for labels, point in part.items():
            points.setdefault(labels, []).append(point)
    return {
        labels: each[0] if len(each) == 1 else _combined(each, rule, up=up)
        for labels, each in points.items()
    }


def in_buckets(families: Iterable[Family]) -> list[Family]:
    """Return the families as a page shows them: exponential histograms in explicit buckets."""
    converted = []
    for family in families:
        if family.bounds == UNSET_BOUNDS:
            bounds, points = explicit(cast("dict[str, Octaves]", family.series))
            family = replace(family, bounds=bounds, series=cast("dict[str, Point]", points))
        converted.append(family)
    return converted


class _CannotShowError(Exception):
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Final = reason


class _Names:
    """The families of a page by name, and every name that is taken; or, `apart`, those of a name
    that differ each by itself."""

    def __init__(self, families_max: int, *, apart: bool = False) -> None:
        self.families: dict[Hashable, Family] = {}
        self._families_max = families_max
        self._apart = apart
        self._claimed = {_TARGET_INFO: _TARGET_INFO}

    def key(self, family: Family) -> Hashable:
        if self._apart:
            return (family.name, family.source[1], family.unit, family.bounds)
        return family.name

    def add(self, family: Family) -> None:
        if len(self.families) >= self._families_max:
            raise _CannotShowError("limit", f"the page holds {self._families_max} metrics already")
        for sample_name in () if self._apart else family.sample_names:
            owner = self._claimed.get(sample_name)
            if owner is not None:
                raise _CannotShowError(
                    "clash", f"{owner!r} has a series named {sample_name} already"
                )
        self._claimed.update(dict.fromkeys(family.sample_names, family.source[0]))
        self.families[self.key(family)] = family


class _Merged:
    def __init__(self, labels_of: LabelsOf, rules: Mapping[str, Rule], families_max: int) -> None:
        self._labels_of = labels_of
        self._rules = rules
        self._names = _Names(families_max)
        self.dropped: list[Dropped] = []

    def drop(self, metric: Metric, reason: Reason, message: str) -> None:
        self.dropped.append(Dropped(str(metric.name), reason, message))

    def add(self, metric: Metric, scope: InstrumentationScope) -> None:
        data = metric.data
        if not data.data_points:
            return
        kind, instrument = _kind(data)
        family = self._family(metric, kind, instrument)
        histogram = kind == "histogram"
        series, labels_of = family.series, self._labels_of(scope, kind)
        within: Rule = "newest" if instrument == "gauge" else "sum"
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
            points[labels] = point if seen is None else _combined((seen, point), within)
        if not series:
            family.series = points
        else:
            for labels, point in points.items():
                seen = series.get(labels)
                series[labels] = point if seen is None else _combined((seen, point), within)
        if other_bounds:
            raise _CannotShowError("bounds", _OTHER_BOUNDS)

    def _family(self, metric: Metric, kind: Kind, instrument: Instrument) -> Family:
        unit = metric.unit or ""
        try:
            name = metric_name(metric.name, unit, instrument)
        except ValueError as error:
            raise _CannotShowError("name", str(error)) from None
        family = self._names.families.get(name)
        if family is None:
            family = Family(
                name=name,
                kind=kind,
                unit=unit,
                description=metric.description or "",
                source=(metric.name, instrument),
                rule=self._rules.get(metric.name) or _RULES[instrument],
                bounds=_bounds(metric.data),
            )
            self._names.add(family)
            return family
        # Explicit bounds are compared point by point.
        bounds = () if family.bounds == UNSET_BOUNDS else family.bounds
        if isinstance(metric.data, ExponentialHistogram):
            bounds = UNSET_BOUNDS
        _check_same(family, instrument, unit, bounds)
        if not family.description:
            family.description = metric.description or ""
        return family

    def shown(self) -> list[Family]:
        return [family for family in self._names.families.values() if family.series]


_RULES: Final[Mapping[Instrument, Rule]] = {
    "counter": "sum",
    "updowncounter": "sum",
    "histogram": "sum",
    "gauge": "newest",
}


def _check_same(
    family: Family, instrument: Instrument, unit: str, bounds: tuple[float, ...]
) -> None:
    """Raise where a metric cannot stand under the name of a family that is there."""
    first, first_instrument = family.source
    exponential = (bounds == UNSET_BOUNDS) != (family.bounds == UNSET_BOUNDS)
    if first_instrument != instrument or exponential:
        raise _CannotShowError(
            "type", f"{first!r} is already shown as {family.name}, of another type"
        )
    if family.unit != unit:
        raise _CannotShowError(
            "unit", f"{first!r} is already shown as {family.name}, of another unit"
        )
    if family.bounds != bounds:
        raise _CannotShowError("bounds", _OTHER_BOUNDS)


_OTHER_BOUNDS: Final = "its buckets differ from those already on the page"


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
        return UNSET_BOUNDS
    if isinstance(data, Histogram) and data.data_points:
        bounds = tuple(data.data_points[0].explicit_bounds)
        if any(not low < high for low, high in pairwise(bounds)):
            raise ValueError("the bounds of its buckets do not rise")
        if bounds and not bounds[0] > -_INFINITY:
            raise ValueError("a bound of its buckets is no number")
        return bounds
    return ()


def _same_bounds(family: Family, point: NumberDataPoint | HistogramDataPoint) -> bool:
    assert isinstance(point, HistogramDataPoint)
    bounds = point.explicit_bounds
    if bounds is not family.bounds and tuple(bounds) != family.bounds:
        return False
    if len(point.bucket_counts) != len(family.bounds) + 1:
        raise ValueError("it has not one count for each bucket")
    return True


def _combined(points: Sequence[Point], rule: Rule, *, up: bool = False) -> Point:
    """Make one point of those that stand under the same labels."""
    first = points[0]
    if isinstance(first, Number | NumberDataPoint):
        return _combined_numbers(cast("Sequence[Number]", points), rule, up=up)
    histograms = cast("Sequence[Buckets | Octaves]", points)
    sums = [point.sum for point in histograms if point.sum is not None]
    total = _total(sums, up=up) if len(sums) == len(histograms) else None
    exemplars = _exemplars(histograms)
    if isinstance(first, Octaves):
        assert total is not None
        return plus(cast("Sequence[Octaves]", points), total, exemplars)
    counts = zip(*(point.bucket_counts for point in cast("Sequence[Buckets]", points)), strict=True)
    return Buckets(list(map(sum, counts)), total, exemplars)


def _combined_numbers(points: Sequence[Number], rule: Rule, *, up: bool) -> Number:
    if rule == "sum":
        total = _total([point.value for point in points], up=up)
        newest = max(point.time_unix_nano for point in points)
        return Number(total, newest, _exemplars(points))
    if rule == "newest":
        return max(reversed(points), key=lambda point: point.time_unix_nano)
    return (min if rule == "min" else max)(points, key=lambda point: point.value)


def _less(point: Point, before: Point) -> Point:
    """Return what a point has counted since an earlier one of its series."""
    if isinstance(before, Number):
        number = cast("Number", point)
        return Number(number.value - before.value, number.time_unix_nano, shown(point.exemplars))
    if isinstance(before, Octaves):
        octaves = cast("Octaves", point)
        counts = {at: count - before.counts.get(at, 0) for at, count in octaves.counts.items()}
        least = octaves.least - before.least
        return Octaves(least, counts, octaves.sum - before.sum, octaves.exemplars)
    buckets, earlier = cast("Buckets", point), cast("Buckets", before)
    left = [
        now - then for now, then in zip(buckets.bucket_counts, earlier.bucket_counts, strict=True)
    ]
    total = None if buckets.sum is None or earlier.sum is None else buckets.sum - earlier.sum
    return Buckets(left, total, shown(buckets.exemplars))


def _exemplars(points: Sequence[Number | Buckets | Octaves]) -> tuple[Shown, ...]:
    return shown([exemplar for point in points for exemplar in point.exemplars])


def _total(values: Sequence[int | float], *, up: bool) -> int | float:
    if all(type(value) is int for value in values):
        return sum(values)
    try:
        total = fsum(values)
        return nextafter(total, _INFINITY) if up and fsum([*values, -total]) > 0 else total
    except (OverflowError, ValueError):  # past the largest float, or infinities of both signs
        return sum(values)
