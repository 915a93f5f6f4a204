"""PromQL over the catalog: selectors and aggregations of metrics that it declares, and of no other.

Pure. What is asked of the catalog and is not in it, a metric, an attribute or a value of one, is a
`KeyError` when the rules are rendered, so that no rule waits for a series that nobody writes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from otel_metrics.catalog.model import Catalog, Metric
from otel_metrics.rejections import OVERFLOW_ATTRIBUTE

__all__ = [
    "EVENTS_LANE",
    "NO_CONDITION",
    "P95",
    "PER_INSTANCE",
    "Queries",
    "added",
    "grown",
    "indented",
    "label",
    "per",
    "share",
]

PER_INSTANCE: Final = ("instance", "pod", "service_instance_id")
"""Labels that tell the instances of one service apart: those of a scrape, of Kubernetes' PodMonitor
and of a promoted resource attribute. What is summed over instances is summed without these."""

EVENTS_LANE: Final = "otlp_logs"
"""The exporter that skips events, which are lost to it; all others skip metrics, of which the next
batch says the same and more."""

P95: Final = 0.95
"""The quantile of durations that rules record and dashboards show."""
_NOT_LABEL = re.compile(r"[^a-zA-Z0-9]+")
NO_CONDITION: Final[Mapping[str, str]] = {}
"""Every series of a metric."""


class Queries:
    """Expressions over one catalog.

    Aggregations go over instances and over every attribute of the metric but those in `keep`, and
    what is over a metric's series budget is in its sums as everything else. They are written with
    `without`, so that labels of the scrape (`job`, `cluster`, …) stay.

    Args:
        scope: matchers that every selector carries besides its own.
    """

    def __init__(self, catalog: Catalog, *, scope: str = "") -> None:
        self._catalog = catalog
        self._scope = (scope,) if scope else ()

    def metric(self, name: str) -> Metric:
        """Return a metric's entry."""
        return self._catalog.metrics[name]

    def selector(
        self, name: str, *, part: str = "", where: Mapping[str, str] = NO_CONDITION
    ) -> str:
        """Return the series of a metric.

        Args:
            part: `bucket`, `sum` or `count`, of a histogram.
            where: by attribute, `=` or `!` and a value: `{"skill.outcome": "=correct"}`.
        """
        metric = self.metric(name)
        if (metric.instrument == "histogram") != bool(part):
            raise KeyError(f"{name} is a {metric.instrument}: part={part!r}")
        suffix = f"_{part}" if part else ""
        conditions = (self._matcher(metric, key, it) for key, it in where.items())
        matchers = ",".join((*self._scope, *conditions))
        return metric.prometheus + suffix + (f"{{{matchers}}}" if matchers else "")

    def over(self, aggregation: str, name: str, keep: Sequence[str], inner: str) -> str:
        """Return an aggregation of an expression over a metric's series."""
        return f"{aggregation} without ({self._without(name, keep)}) (\n{indented(inner)}\n)"

    def rate(
        self,
        name: str,
        keep: Sequence[str],
        window: str,
        *,
        part: str = "",
        where: Mapping[str, str] = NO_CONDITION,
    ) -> str:
        """Return the rate a second of a counter, or of a histogram's part."""
        selector = self.selector(name, part=part, where=where)
        return self.over("sum", name, keep, f"rate({selector}[{window}])")

    def count(
        self,
        name: str,
        keep: Sequence[str],
        window: str,
        *,
        part: str = "",
        where: Mapping[str, str] = NO_CONDITION,
    ) -> str:
        """Return by how much a counter, or a histogram's part, grew in a window."""
        selector = self.selector(name, part=part, where=where)
        return self.over("sum", name, keep, f"increase({selector}[{window}])")

    def risen(
        self,
        name: str,
        keep: Sequence[str],
        window: str,
        *,
        where: Mapping[str, str] = NO_CONDITION,
    ) -> str:
        """Return by how much a counter grew, its first value included."""
        return self.over("sum", name, keep, grown(self.selector(name, where=where), window))

    def quantile(self, quantile: float, name: str, keep: Sequence[str], window: str) -> str:
        """Return a quantile of a histogram; absent, and not NaN, where nothing was observed."""
        rate = self.rate(name, keep, window, part="bucket")
        return f"histogram_quantile(\n  {quantile:g},\n{indented(rate)}\n) >= 0"

    def mean(self, name: str, keep: Sequence[str], window: str) -> str:
        """Return the mean of a histogram; absent where nothing was observed."""
        parts = (self.rate(name, keep, window, part=part) for part in ("sum", "count"))
        return per(*parts)

    def _without(self, name: str, keep: Sequence[str]) -> str:
        attributes = self.metric(name).attributes
        unknown = set(keep).difference(attributes)
        if unknown:
            raise KeyError(f"{name} has no attribute {', '.join(sorted(unknown))}")
        dropped = (key for key in (OVERFLOW_ATTRIBUTE, *attributes) if key not in keep)
        return ", ".join((*PER_INSTANCE, *map(label, dropped)))

    def _matcher(self, metric: Metric, key: str, condition: str) -> str:
        if key not in metric.attributes:
            raise KeyError(f"{metric.name} has no attribute {key}")
        operator, value = ("!=", condition[1:]) if condition[0] == "!" else ("=", condition[1:])
        members = self._catalog.attributes[key].members
        if value and members and value not in {str(member.value) for member in members}:
            raise KeyError(f"{key} is never {value!r}")
        return f'{label(key)}{operator}"{value}"'


def label(key: str) -> str:
    """Return the label of an attribute."""
    return _NOT_LABEL.sub("_", key)


def grown(series: str, window: str) -> str:
    """Return by how much each series of a counter grew, its first value included.

    A counter of errors is first exposed with its first error. `increase` sees no growth in a
    series that begins at 1, so a series that was not there before the window counts whole.
    """
    born = f"({series} unless {series} offset {window}) > 0"
    return f"increase({series}[{window}]) > 0\nor\n{born}"


def per(numerator: str, denominator: str) -> str:
    """Return a quotient; absent where the denominator is zero or is not there."""
    return f"{numerator}\n/\n({denominator} > 0)"


def share(part: str, whole: str) -> str:
    """Return a quotient that is 0 where the part is not there, and absent where the whole is not.

    A counter by attributes has no series for what never happened: without this, the share of
    errors, or of sovereign work, would be absent where it is 0.
    """
    return per(f"(\n{indented(part)}\n  or\n{indented(whole)} * 0\n)", whole)


def added(first: str, second: str) -> str:
    """Return a sum in which what is not there is 0, as long as one of both is."""
    terms = (first, "+", second, "or", first, "or", second)
    return "\n".join(("(", *map(indented, terms), ")"))


def indented(text: str) -> str:
    """Return a text two columns to the right."""
    return "\n".join(f"  {line}" for line in text.splitlines())
