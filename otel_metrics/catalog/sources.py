"""Where a catalog file says the values of a service metric come from.

Pure. A refinement of a metric that has a source already need only say what is other than before.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast, get_args

from otel_metrics.catalog.fields import Fields, Report
from otel_metrics.catalog.model import Aggregation, Source, SourceType, Statistic
from otel_metrics.catalog.queries import QUERY_CHARS_MAX, problem_of

__all__ = ["RESOURCE_ID", "source"]

RESOURCE_ID: Final = "service.resource.id"
"""The attribute that tells the values of one source apart."""
INTERVAL_MIN_S: Final = 1.0
"""The shortest time between two samples."""
INTERVAL_MAX_S: Final = 86_400.0
"""The longest time between two samples."""
TIMEOUT_S: Final = 5.0
"""What a sample may take where nothing is said, and the interval is not shorter."""

STATISTICS: Final[Mapping[str, tuple[Statistic, ...]]] = {
    "host": ("cpu", "memory", "disk"),
    "http_server": ("latency_p95", "error_ratio", "request_rate", "saturation"),
}
_ONLY: Final[Mapping[str, tuple[str, ...]]] = {
    "query": ("sql", "prometheus"),
    "url_variable": ("sql", "prometheus"),
    "statistic": tuple(STATISTICS),
    "capacity": ("http_server",),
}
"""Keys that make sense for some types only."""
_KEYS: Final = ("type", "interval", "timeout", "aggregation", "scope", "unit_name", *_ONLY)
_SCOPE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,254}")


def source(fields: Fields, report: Report, *, before: Source | None = None) -> Source | None:
    """Return what an entry's `source` says, None where there is none or it has no type.

    Args:
        before: the source of the metric that is refined; what is not said is as it was, and what
            only another type has is dropped.
    """
    node = fields.node("source")
    if node is None:
        return None
    inner = Fields(node, fields.path("source"), report, known=_KEYS)
    kind = cast(
        SourceType | None,
        inner.choice("type", get_args(SourceType), required=before is None)
        or (before.type if before and not inner.has("type") else None),
    )
    if kind is None:
        return None
    for key, kinds in _ONLY.items():
        if kind not in kinds and inner.has(key):
            inner.refuse(key, f"is for {' and '.join(kinds)}, and this is {kind}", "remove it")
    kept = before if before is None or before.type == kind else _without_type(before)
    return _Reading(inner, kind, kept).source()


def _without_type(before: Source) -> Source:
    return Source(
        type=before.type,
        interval_s=before.interval_s,
        scope=before.scope,
        aggregation=before.aggregation,
        unit_name=before.unit_name,
        timeout_s=before.timeout_s,
    )


class _Reading:
    """The keys of one source, of a type that is known."""

    def __init__(self, fields: Fields, kind: SourceType, before: Source | None) -> None:
        self._fields = fields
        self._kind = kind
        self._before = before

    def source(self) -> Source:
        interval_s = self._interval_s()
        statistic = self._statistic()
        return Source(
            type=self._kind,
            interval_s=interval_s,
            timeout_s=self._timeout_s(interval_s),
            scope=self._scope(),
            aggregation=self._aggregation(),
            unit_name=self._fields.text("unit_name") or self._was("unit_name", ""),
            query=self._query(),
            url_variable=self._url_variable(),
            statistic=statistic,
            capacity=self._capacity(statistic),
        )

    def _was(self, name: str, default: Any) -> Any:  # of any field
        return default if self._before is None else getattr(self._before, name)

    def _interval_s(self) -> float:
        fields = self._fields
        if not fields.has("interval"):
            if self._before is None:
                fields.refuse("interval", "is missing", "add the time between two samples, as 60s")
            return float(self._was("interval_s", INTERVAL_MAX_S))
        seconds = fields.seconds("interval")
        if seconds is None or not INTERVAL_MIN_S <= seconds <= INTERVAL_MAX_S:
            fields.refuse("interval", "is no time from 1s to 1d", "write such as 30s or 5m")
            return INTERVAL_MAX_S
        return seconds

    def _timeout_s(self, interval_s: float) -> float:
        fields = self._fields
        if not fields.has("timeout"):
            return min(float(self._was("timeout_s", TIMEOUT_S)), interval_s)
        seconds = fields.seconds("timeout")
        if seconds is None or not 0 < seconds <= interval_s:
            message = f"is no time up to the interval, {interval_s:g}s"
            fields.refuse("timeout", message, "write a shorter one, such as 500ms or 5s")
            return interval_s
        return seconds

    def _scope(self) -> str:
        fields = self._fields
        if self._before is not None and not fields.has("scope"):
            return self._before.scope
        scope = fields.text("scope", required="say what a value is of, such as host or queue")
        if scope and not _SCOPE.fullmatch(scope):
            remedy = "use small letters, digits and '_', a letter first, at most 63 characters"
            fields.refuse("scope", f"{scope[:80]!r} is no scope", remedy)
        return scope

    def _aggregation(self) -> Aggregation:
        chosen = self._fields.choice("aggregation", get_args(Aggregation))
        return cast(Aggregation, chosen or self._was("aggregation", "avg"))

    def _query(self) -> str | None:
        fields, kind = self._fields, self._kind
        if kind not in _ONLY["query"]:
            return None
        was = self._was("query", None)
        if not fields.has("query") and was:
            return str(was)
        asked = "one SELECT" if kind == "sql" else "an expression of PromQL"
        query = fields.lines("query", required=f"add query: {asked}")
        if len(query) > QUERY_CHARS_MAX:
            fields.refuse("query", f"has {len(query)} characters", f"use {QUERY_CHARS_MAX} at most")
        elif query and kind == "sql":
            problem = problem_of(query)
            if problem:
                fields.refuse("query", *problem)
        return query or None

    def _url_variable(self) -> str | None:
        fields = self._fields
        if self._kind not in _ONLY["url_variable"]:
            return None
        name = fields.text("url_variable")
        if not name:
            was = self._was("url_variable", None)
            return None if was is None else str(was)
        if not _VARIABLE.fullmatch(name):
            remedy = "name the environment variable that holds the URL, such as ORDERS_DB_URL"
            fields.refuse("url_variable", "is no name of a variable", remedy)
        return name

    def _statistic(self) -> Statistic | None:
        choices = STATISTICS.get(self._kind)
        if choices is None:
            return None
        was = self._was("statistic", None)
        required = was is None
        return cast(
            Statistic | None, self._fields.choice("statistic", choices, required=required) or was
        )

    def _capacity(self, statistic: Statistic | None) -> float | None:
        fields = self._fields
        if not fields.has("capacity"):
            was = self._was("capacity", None) if statistic == "saturation" else None
            if statistic == "saturation" and was is None:
                remedy = "add the number of requests at once that are 100 %"
                fields.refuse("capacity", "is missing", remedy)
            return None if was is None else float(was)
        if self._kind != "http_server" or statistic is None:
            return None
        if statistic != "saturation":
            message = f"is for saturation, and this is {statistic}"
            fields.refuse("capacity", message, "remove it")
            return None
        capacity = fields.number("capacity")
        if capacity is not None and capacity <= 0:
            fields.refuse("capacity", "is no number of requests", "make it greater than 0")
        return capacity
