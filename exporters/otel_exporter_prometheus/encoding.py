"""Metrics data -> the page, as Prometheus text 0.0.4 or OpenMetrics 1.0.0.

Written for speed: the label part of a series and the lines of a histogram's buckets are kept from
one scrape to the next, found by the identity of the attributes that the SDK hands out each time.
What is kept is bounded by what the last page showed. Not thread-safe: callers take turns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, cast

from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_exporter_prometheus import exemplars
from otel_exporter_prometheus.labels import clean, join, labels_of
from otel_exporter_prometheus.merge import (
    FAMILIES_MAX,
    Dropped,
    Family,
    Kind,
    Rule,
    families,
    in_buckets,
)
from otel_exporter_prometheus.naming import unit_suffix
from otel_exporter_prometheus.numbers import le, sample_value
from otel_exporter_prometheus.points import Buckets, Number

__all__ = ["OPENMETRICS", "TEXT", "Encoder", "Encoding", "Shown", "encode"]

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of Prometheus' text format."""
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""The content type of OpenMetrics."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """One page: its bytes, what it could not show, and how many characters were replaced."""

    body: bytes
    dropped: tuple[Dropped, ...]
    replaced: int


@dataclass(frozen=True, slots=True)
class _Buckets:
    """A histogram series' lines but for the numbers; `template` takes each cumulative count."""

    template: str
    sum_prefix: str
    count_prefix: str


@dataclass(slots=True)
class _Cache:
    """What one scrape used, for the next: by identity, with the attributes that own it."""

    now: dict[int, tuple[object, str]] = field(default_factory=dict)
    last: dict[int, tuple[object, str]] = field(default_factory=dict)

    def turn(self) -> None:
        self.last, self.now = self.now, {}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows, in neither format yet; `infos` are the label parts of `target_info`."""

    families: list[Family] = field(default_factory=list)
    infos: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    replaced: int = 0


def encode(data: MetricsData | None, *, openmetrics: bool = False) -> bytes:
    """Return one page; for more than one, an `Encoder` is faster.

    >>> encode(None, openmetrics=True)
    b'# EOF\\n'
    """
    return Encoder().encode(data, openmetrics=openmetrics).body


class Encoder:
    """Writes pages of one process, and remembers from each what the next will need again.

    Args:
        scope_labels: whether series carry `otel_scope_name`, `_version`, `_schema_url` and the
            scope's attributes. Without, points of several scopes are merged.
        families_max: how many metrics a page shows.
        rules: by metric, how its series of several processes become one (`merge.Rule`).
        omitted: resource attributes that `target_info` does not show; one that ends in `.` stands
            for all that begin so.
    """

    def __init__(
        self,
        *,
        scope_labels: bool = False,
        families_max: int = FAMILIES_MAX,
        rules: Mapping[str, Rule] = {},
        omitted: Sequence[str] = (),
    ) -> None:
        self._scope_labels = scope_labels
        self._families_max = families_max
        self._rules = rules
        self._omitted = tuple(omitted)
        self._caches: dict[tuple[bool, InstrumentationScope | None], _Cache] = {}
        self._buckets: dict[tuple[str, tuple[float, ...]], dict[str, _Buckets]] = {}
        self._buckets_last: dict[tuple[str, tuple[float, ...]], dict[str, _Buckets]] = {}
        self._replaced = 0

    @property
    def remembered(self) -> int:
        """How many series are kept for the next scrape."""
        kept = sum(len(cache.now) + len(cache.last) for cache in self._caches.values())
        for buckets in (self._buckets, self._buckets_last):
            kept += sum(len(series) for series in buckets.values())
        return kept

    def encode(self, data: MetricsData | None, *, openmetrics: bool) -> Encoding:
        """Return the page of `data`. Never raises for what a metric holds: it is left out."""
        return self.write(self.show(data), openmetrics=openmetrics)

    def show(self, data: MetricsData | None) -> Shown:
        """Return what the page of one process's data shows."""
        if data is None:
            return Shown()
        self._replaced = 0
        self._turn_caches()
        shown, dropped = families(
            data, self._labels, rules=self._rules, families_max=self._families_max
        )
        infos = {
            self._cleaned(join(labels_of(self._kept(resource_metrics.resource.attributes))))
            for resource_metrics in data.resource_metrics
        }
        return Shown(shown, tuple(sorted(infos)), tuple(dropped), self._replaced)

    def write(self, shown: Shown, *, openmetrics: bool) -> Encoding:
        """Write what a page shows in one of the formats."""
        self._replaced = shown.replaced
        dropped = [*shown.dropped]
        chunks: list[bytes] = []
        if shown.families or shown.infos:
            self._buckets_last, self._buckets = self._buckets, {}
            in_format = in_buckets(shown.families)
            typed = _typed(in_format) if openmetrics else frozenset()
            info = _target_info(shown.infos, openmetrics=openmetrics, shown=in_format)
            chunks.append(info.encode())
            for family in in_format:
                try:
                    lines = self._lines(family, openmetrics=openmetrics, typed=family.name in typed)
                    chunks.append("".join(lines).encode())
                except Exception as error:  # noqa: BLE001  # one bad family never breaks the page
                    message = f"cannot be written: {type(error).__name__}: {error}"
                    dropped.append(Dropped(family.source[0], "junk", message))
        if openmetrics:
            chunks.append(b"# EOF\n")
        return Encoding(b"".join(chunks), tuple(dropped), self._replaced)

    def _kept(self, attributes: Mapping[str, object]) -> dict[str, object]:
        return {
            key: value
            for key, value in attributes.items()
            if not any(
                key == name or (name[-1] == "." and str(key).startswith(name))
                for name in self._omitted
            )
        }

    def _turn_caches(self) -> None:
        self._caches = {key: cache for key, cache in self._caches.items() if cache.now}
        for cache in self._caches.values():
            cache.turn()

    def _labels(
        self, scope: InstrumentationScope, kind: Kind
    ) -> Callable[[Mapping[str, object] | None], str]:
        histogram = kind == "histogram"
        cache = self._caches.setdefault(
            (histogram, scope if self._scope_labels else None), _Cache()
        )
        now, last = cache.now, cache.last

        def labels(attributes: Mapping[str, object] | None) -> str:
            identity = id(attributes)
            known = last.get(identity)
            if known is None or known[0] is not attributes:
                known = (attributes, self._new_labels(attributes, scope, histogram=histogram))
            now[identity] = known
            return known[1]

        return labels

    def _new_labels(
        self,
        attributes: Mapping[str, object] | None,
        scope: InstrumentationScope,
        *,
        histogram: bool,
    ) -> str:
        labels = labels_of(attributes, reserved="le" if histogram else "")
        if self._scope_labels:
            labels |= labels_of(_scope_attributes(scope))
        return self._cleaned(join(labels))

    def _cleaned(self, text: str) -> str:
        cleaned, replaced = clean(text)
        self._replaced += replaced
        return cleaned

    def _lines(self, family: Family, *, openmetrics: bool, typed: bool) -> list[str]:
        lines = [self._head(family, openmetrics=openmetrics, typed=typed)]
        if family.kind == "histogram":
            self._write_histogram(lines, family, openmetrics=openmetrics)
        elif family.kind == "counter" and openmetrics:
            _write_counter(lines, family, typed=typed)
        else:
            _write_numbers(lines, family)
        return lines

    def _head(self, family: Family, *, openmetrics: bool, typed: bool) -> str:
        name, kind = family.name, str(family.kind)
        if openmetrics and kind == "counter":
            name, kind = (name.removesuffix("_total"), kind) if typed else (name, "unknown")
        description = self._cleaned(family.description).strip() or family.source[0]
        description = description.replace("\\", "\\\\").replace("\n", "\\n")
        if openmetrics:
            description = description.replace('"', '\\"')
        head = f"# HELP {name} {description}\n# TYPE {name} {kind}\n"
        unit = unit_suffix(family.unit)
        if openmetrics and unit and name.endswith("_" + unit):
            head += f"# UNIT {name} {unit}\n"
        return head

    def _write_histogram(self, lines: list[str], family: Family, *, openmetrics: bool) -> None:
        name, bounds = family.name, family.bounds
        sums_allowed = not (openmetrics and bounds and bounds[0] < 0)
        last = self._buckets_last.get((name, bounds), {})
        now = self._buckets[name, bounds] = {}
        for labels, point in cast("dict[str, Buckets]", family.series).items():
            buckets = last.get(labels)
            if buckets is None:
                buckets = _buckets(name, labels, bounds)
            now[labels] = buckets
            counts = tuple(accumulate(point.bucket_counts))
            total = counts[-1]
            if type(total) is not int or min(point.bucket_counts) < 0:
                raise ValueError("a bucket's count is no count")
            text = buckets.template % counts
            if openmetrics and point.exemplars:
                text = _with_exemplars(text, exemplars.by_bucket(point.exemplars, bounds))
            value = point.sum
            # OpenMetrics knows no sum below 0 nor of NaN, and a count only beside a sum.
            if sums_allowed and value is not None and (value >= 0 or not openmetrics):
                sum_ = repr(value) if type(value) is float and value - value == 0.0 else None
                text += f"{buckets.sum_prefix}{sum_ or sample_value(value)}\n"
                text += f"{buckets.count_prefix}{total}\n"
            elif not openmetrics:
                text += f"{buckets.count_prefix}{total}\n"
            lines.append(text)


def _target_info(infos: Sequence[str], *, openmetrics: bool, shown: list[Family]) -> str:
    info = openmetrics and not any(family.name == "target" for family in shown)
    head = "target info" if info else "target_info gauge"
    lines = [f"# HELP {head.split()[0]} Target metadata\n# TYPE {head}\n"]
    lines += [f"target_info{{{labels}}} 1\n" if labels else "target_info 1\n" for labels in infos]
    return "".join(lines)


def _write_numbers(lines: list[str], family: Family) -> None:
    name = family.name
    for labels, point in cast("dict[str, Number]", family.series).items():
        value = point.value
        # The usual numbers are written here, since a call for each would cost as much again.
        if type(value) is float and value - value == 0.0:
            text = repr(value)
        elif type(value) is int and -(2**63) <= value < 2**63:
            text = str(value)
        else:
            text = sample_value(value)
        lines.append(f"{name}{{{labels}}} {text}\n" if labels else f"{name} {text}\n")


def _write_counter(lines: list[str], family: Family, *, typed: bool) -> None:
    """Write a counter for OpenMetrics, which has exemplars, and no counters below 0 nor of NaN."""
    name = family.name
    for labels, point in cast("dict[str, Number]", family.series).items():
        value = point.value
        if typed and not value >= 0:
            continue
        text = sample_value(value)
        if typed and point.exemplars:
            text += exemplars.newest(point.exemplars)
        lines.append(f"{name}{{{labels}}} {text}\n" if labels else f"{name} {text}\n")


def _buckets(name: str, labels: str, bounds: tuple[float, ...]) -> _Buckets:
    braces = f"{{{labels}}}" if labels else ""
    start = f"{name}_bucket{{{labels}," if labels else f"{name}_bucket{{"
    start = start.replace("%", "%%")
    template = "".join(
        [f'{start}le="{le(bound)}"}} %d\n' if bound < _INFINITY else "%.0s" for bound in bounds]
    )
    template += f'{start}le="+Inf"}} %d\n'
    return _Buckets(template, f"{name}_sum{braces} ", f"{name}_count{braces} ")


_INFINITY: Final = float("inf")


def _with_exemplars(text: str, suffixes: Mapping[int, str]) -> str:
    lines = text.split("\n")
    for index, suffix in suffixes.items():
        lines[min(index, len(lines) - 2)] += suffix
    return "\n".join(lines)


def _scope_attributes(scope: InstrumentationScope) -> dict[str, object]:
    attributes: dict[str, object] = {
        f"otel_scope_{key}": value for key, value in (scope.attributes or {}).items()
    }
    attributes["otel_scope_name"] = scope.name
    attributes["otel_scope_version"] = scope.version
    attributes["otel_scope_schema_url"] = scope.schema_url
    return attributes


def _typed(shown: list[Family]) -> frozenset[str]:
    """Return the counters that OpenMetrics can call counters.

    There a counter `x_total` also takes the names `x` and `x_created`. Where another family has
    one of those, the counter keeps its name and loses its type, so that no reader refuses the page.
    """
    taken = {name for family in shown for name in family.sample_names}
    taken |= {"target", "target_info"}
    typed = set()
    for family in shown:
        if family.kind == "counter":
            name = family.name.removesuffix("_total")
            if not taken & {name, name + "_created"}:
                taken |= {name, name + "_created"}
                typed.add(family.name)
    return frozenset(typed)
